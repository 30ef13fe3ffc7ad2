"""Measures Luisito beside other proxies, and prints a table.

One run compares all proxies: each on the first core, wrk and the app server on the second, in
turns. A proxy that may be missing is left out, with a line that says how to install it. The exit
status is 0 whether the goals are met or not, and 1 when something could not be measured. All takes
some eight minutes, and should have the machine for itself.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from bench import cold, memory, others, peers, simulated, spawn, svg, works
from bench.processes import BenchError, adopt_orphans, end_all
from bench.report import table

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from bench.report import Row


# The load average above which other programs are likely to show in the figures.
_BUSY = 0.5
# Bytes that the access logs and nginx's temporary files may come to.
_SPACE = 2 * 2**30
# The works in which no requests go through a warm proxy.
_MORE = {
    "cold": "what Luisito adds to the boot of an app, with room in the pool and without",
    "crowd": "200 cold sites at once",
    "memory": "what 10,000 sites cost that are allowed and asleep",
    "spawn": "how long an order to start holds the reactor",
    "policy": "the pool's decisions, with 10,000 simulated servers",
}
# What --svg draws, and the line below.
_DRAWN = ("small", "paths")
_NOTE = "CPU time of a proxy per request, on one core; less is better."


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is ended
    adopt_orphans()
    rows: list[Row] = []
    failed = 0
    load = os.getloadavg()[0]
    if load > _BUSY:
        print(f"bench: other programs run here (load average {load:.1f})", file=sys.stderr)
    try:
        peers.require_programs()
        for line in others.left_out(others.GUESTS):
            print(f"bench: {line}", file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix="luisito-bench-", dir=_place()) as folder:
            os.chmod(folder, 0o755)  # the app servers, with another user, go through it
            try:
                # closed here, so that an interrupt ends the proxies in order before end_all
                with contextlib.closing(chosen(Path(folder), options)) as wanted:
                    for work in wanted:
                        try:
                            done = work()
                        except (BenchError, OSError) as error:  # the other works go on
                            print(f"bench: {error}", file=sys.stderr)
                            failed = 1
                        except Exception:  # noqa: BLE001 - one faulty work must not cost the rest
                            traceback.print_exc()
                            failed = 1
                        else:
                            _say(done)
                            rows += done
            finally:
                end_all()
    except KeyboardInterrupt:
        return 130
    except (BenchError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        failed = 1
    if rows:
        _show(rows, load, options)
    return failed


def _place() -> str | None:
    """In memory where there is room for logs and bodies, so that no proxy waits for a disk."""
    memory = "/dev/shm"
    roomy = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _SPACE
    return memory if roomy else None


def chosen(
    folder: Path, options: argparse.Namespace
) -> Generator[Callable[[], list[Row]], None, None]:
    """The works that were asked for, to be done before the next one is taken."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        raise BenchError("two cores are needed: one for the proxy, one for wrk and the app server")
    wanted = set(options.only)
    loads = [work for name, work in works.WORKS.items() if name in wanted]
    if loads:
        yield from _warm(folder, (cores[0], cores[1]), loads, options)
    setup = cold.Setup(folder, options.command)
    if "cold" in wanted:
        yield partial(cold.starts, setup, 6 if options.quick else 30)
    if "crowd" in wanted:
        for word in ("%PORT",) if options.quick else cold.WAYS:
            yield partial(cold.crowd, setup, word, 1 if options.quick else 5)
    if "memory" in wanted:
        yield partial(memory.rows, folder, options.command, 500 if options.quick else memory.SITES)
    if "spawn" in wanted:
        yield partial(spawn.rows, 50 if options.quick else 200)
    if "policy" in wanted:
        yield simulated.rows


def _warm(
    folder: Path,
    cores: tuple[int, int],
    loads: Sequence[works.Work],
    options: argparse.Namespace,
) -> Generator[Callable[[], list[Row]], None, None]:
    """The works with a warm proxy; guests are there only while they are needed."""
    rounds = 2 if options.quick else 7
    with contextlib.ExitStack() as stack:
        bench = stack.enter_context(peers.bench(folder, cores))
        everyone = [stack.enter_context(peers.ours(bench, options.command))]
        if options.against:
            other = peers.ours(bench, options.command, options.against)
            everyone.append(stack.enter_context(other))
        if options.site_files:
            files = peers.ours(bench, options.command, site_files=options.site_files)
            everyone.append(stack.enter_context(files))
        if options.all_on:
            watched = peers.ours(bench, options.command, all_on=True)
            everyone.append(stack.enter_context(watched))
        everyone += [stack.enter_context(peers.beside(bench, other)) for other in others.OTHERS]
        for work in loads:
            with contextlib.ExitStack() as visit:
                taking_part = list(everyone)
                alone = options.against or options.site_files or options.all_on
                for guest in others.GUESTS if work.guests and not alone else ():
                    if guest.missing():
                        continue
                    try:
                        taking_part.append(visit.enter_context(peers.beside(bench, guest)))
                    except (BenchError, OSError) as error:
                        yield partial(_fail, error)  # the others are measured all the same
                yield partial(works.run, work, taking_part, cores[1], rounds)


def _fail(error: Exception) -> NoReturn:
    raise error


def _show(rows: list[Row], load: float, options: argparse.Namespace) -> None:
    versions = peers.versions()
    print(table(rows))
    print(f"\nBy {', '.join(versions)}; load average before: {load:.1f}")
    if options.json:
        record = {"versions": versions, "load": load, "works": [row.as_json() for row in rows]}
        Path(options.json).write_text(json.dumps(record, indent=1) + "\n")
    titles = {works.WORKS[name].title for name in _DRAWN}
    drawn = [row for row in rows if row.work in titles]
    if options.svg and drawn:
        Path(options.svg).write_text(svg.chart(drawn, [_NOTE, ", ".join(versions)]), "utf-8")


def _options() -> argparse.Namespace:
    names = [*works.WORKS, *_MORE]
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        epilog=_listing(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds: two minutes at most")
    parser.add_argument(
        "--only", nargs="+", choices=names, default=names, metavar="NAME", help="do these works"
    )
    parser.add_argument(
        "--against",
        metavar="CHECKOUT",
        type=_checkout,
        help="another Luisito, such as the one before a change, takes part instead of the guests",
    )
    parser.add_argument(
        "--site-files",
        metavar="N",
        type=int,
        default=0,
        help="a Luisito with so many site files takes part instead of the guests",
    )
    parser.add_argument(
        "--all-on",
        action="store_true",
        help="a Luisito with page, metrics, history and hooks takes part instead of the guests",
    )
    parser.add_argument("--json", metavar="FILE", help="write the samples there too")
    parser.add_argument(
        "--svg", metavar="FILE", help=f"draw there what {' and '.join(_DRAWN)} cost a request"
    )
    parser.add_argument("--command", default=peers.COMMAND, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.svg and not set(_DRAWN) & set(options.only):
        parser.error(f"--svg draws the works {' and '.join(_DRAWN)}: name one after --only")
    for path in (options.json, options.svg):  # so that it is said now, and not in eight minutes
        if path and not os.access(os.path.dirname(path) or ".", os.W_OK):
            parser.error(f"{path} cannot be written: there is no such folder, or it is not yours")
    return options


def _checkout(folder: str) -> Path:
    path = Path(folder).resolve()
    if not (path / "luisito" / "__init__.py").exists():
        raise argparse.ArgumentTypeError(f"{folder}: there is no folder luisito in there")
    return path


def _listing() -> str:
    """The works and the proxies, for --help."""
    everyone = ", ".join(["Luisito", *(other.name for other in others.OTHERS)])
    guests = ", ".join(guest.name for guest in others.GUESTS)
    lines = ["works:"]
    for name, work in works.WORKS.items():
        beside = f"; also {guests}" if work.guests else ""
        lines.append(f"  {name:9} {work.title}{beside}")
    lines += [f"  {name:9} {title}" for name, title in _MORE.items()]
    lines += ["", "proxies:"]
    lines.append(f"  {everyone}; in works {', '.join(works.WORKS)}")
    lines.append(f"  {guests}; where installed")
    return "\n".join(lines)


def _say(rows: list[Row]) -> None:
    for row in rows:
        measured = ", ".join(f"{name} {cell}" for name, cell in row.cells.items())
        print(f"{time.strftime('%H:%M:%S')} {row.work}: {measured}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

"""Small Django and Flask sites that sleep, in several ways: `python -m bench.sleepers --help`."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench import svg
from bench.processes import BenchError, adopt_orphans, end_all
from bench.report import Row, table
from bench.sleepers import cold, versions, weight
from bench.sleepers.sites import DJANGO, FLASK
from bench.sleepers.ways import ways

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bench.sleepers.ways import Way

_MORE = """\
cold: from a client's connect to the last byte of the first answer of a site that sleeps, all ways
in turns; then so many Django sites asked at once, and ten sites on three versions of Django (which
are downloaded once). CPU is what the whole of it takes, from the proxy to the server. uWSGI is
asked without a proxy in front of it.
memory: the PSS of an idle site after requests and a full collection of garbage, with its part of
the preloaded interpreter; and of one that is frozen, when all pages that are alike are merged (KSM,
by root: the kernel is told to, and what was found is put back).
The exit status is 0 whether the goals are met or not, and 1 when something could not be measured.
"""
_IN_MEMORY = "/dev/shm"


def main(arguments: list[str]) -> int:
    """Measure, print a table, and draw."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is ended
    os.environ["PATH"] += ":/usr/sbin"  # where Debian keeps servers, outside a user's PATH
    adopt_orphans()
    everyone = [way for way in ways() if not options.ways or way.name in options.ways]
    for way in everyone:
        if way.missing:
            print(f"bench: {way.missing}", file=sys.stderr)
    there = [way for way in everyone if not way.missing]
    rows: list[Row] = []
    failed = 0
    place = _IN_MEMORY if os.access(_IN_MEMORY, os.W_OK) else None
    try:
        for work in _WORKS[options.what](there, options):
            with tempfile.TemporaryDirectory(prefix="luisito-bench-", dir=place) as folder:
                os.chmod(folder, 0o755)  # the app servers, with another user, go through it
                try:
                    done = work(Path(folder))
                except (BenchError, OSError) as error:  # the other works go on
                    print(f"bench: {error}", file=sys.stderr)
                    failed = 1
                else:
                    print(*(f"{row.work}: {row.cells}" for row in done), sep="\n", file=sys.stderr)
                    rows += done
                finally:
                    end_all()
    except KeyboardInterrupt:
        return 130
    if rows:
        _show(rows, options)
    return failed


def _cold(
    ways: Sequence[Way], options: argparse.Namespace
) -> Iterator[Callable[[Path], list[Row]]]:
    python = Path(sys.executable)
    ways = [way for way in ways if not way.hibernates]
    if options.rounds:
        yield partial(cold.starts, python=python, ways=ways, rounds=options.rounds)
    if options.crowd:
        yield partial(cold.crowd, python=python, ways=ways, count=options.crowd)
    if not options.no_versions:
        for way in ways:
            if way.shares:
                yield partial(versions.rows, way=way)


def _memory(
    ways: Sequence[Way], options: argparse.Namespace
) -> Iterator[Callable[[Path], list[Row]]]:
    for kind in options.kinds:
        for count in options.sites:
            yield partial(
                weight.rows,
                python=Path(sys.executable),
                ways=ways,
                kind=kind,
                count=count,
                requests=options.requests,
            )


_WORKS = {"cold": _cold, "memory": _memory}
# What is drawn: the title, the unit, and which rows.
_DRAWN = {
    "cold": ("Time until a site that sleeps has answered, in milliseconds", "ms", ", cold"),
    "memory": ("Memory (PSS) of an idle site, in megabytes", "MB", "PSS of each"),
}


def _show(rows: list[Row], options: argparse.Namespace) -> None:
    print(table(rows, ()))
    print(f"\nLoad average: {os.getloadavg()[0]:.1f}")
    if options.json:
        with contextlib.suppress(FileExistsError):
            Path(options.json).parent.mkdir(parents=True)
        Path(options.json).write_text(json.dumps([row.as_json() for row in rows], indent=1) + "\n")
    title, unit, ending = _DRAWN[options.what]
    drawn = [row for row in rows if row.work.endswith(ending)]
    if options.svg and drawn:
        Path(options.svg).write_text(svg.chart(drawn, [f"{title}; less is better."], title, unit))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.sleepers",
        description=__doc__.partition(":")[0] + ".",
        epilog=_MORE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=_WORKS)
    names = [way.name for way in ways()]
    parser.add_argument("--ways", nargs="+", choices=names, metavar="WAY", help=", ".join(names))
    parser.add_argument("--rounds", type=int, default=15, help="cold starts of each way (15)")
    parser.add_argument("--crowd", type=int, default=100, help="sites asked at once (100)")
    parser.add_argument("--no-versions", action="store_true", help="leave the versions out")
    parser.add_argument(
        "--sites", type=int, nargs="+", default=[1, 10, 50], help="of each kind (1 10 50)"
    )
    kinds = (DJANGO, FLASK)
    parser.add_argument(
        "--kinds", nargs="+", choices=kinds, default=kinds, help="that are weighed (both)"
    )
    parser.add_argument("--requests", type=int, default=50, help="to each before it idles (50)")
    parser.add_argument("--json", metavar="FILE", help="write the samples there too")
    parser.add_argument("--svg", metavar="FILE", help="draw there what was measured")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

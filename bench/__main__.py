"""python -m bench [--quick] [--only NAME ...] [--json FILE]: measures and prints the table.

One run compares all proxies: each on the first core, wrk and the app server on the second, in
turns. The exit status is 0 whether the goals are met or not, and 1 when something could not be
measured.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from bench import cold, peers, simulated, works
from bench.processes import BenchError, adopt_orphans, end_all
from bench.report import Row, table


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is ended
    adopt_orphans()
    # In memory where possible, so that no proxy waits for a disk.
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    try:
        peers.require_programs()
        with tempfile.TemporaryDirectory(prefix="luisito-bench-", dir=place) as folder:
            os.chmod(folder, 0o755)  # the app servers, with another user, go through it
            try:
                rows = measure(Path(folder), options)
            finally:
                end_all()
    except KeyboardInterrupt:
        return 130
    except (BenchError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    versions = peers.versions()
    print(table(rows))
    print("\nBy", ", ".join(versions))
    if options.json:
        record = {"versions": versions, "works": [row.as_json() for row in rows]}
        Path(options.json).write_text(json.dumps(record, indent=1) + "\n")
    return 0


def measure(folder: Path, options: argparse.Namespace) -> list[Row]:
    """The rows of all works that were asked for."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        raise BenchError("two cores are needed: one for the proxy, one for wrk and the app server")
    wanted = set(options.only)
    rows: list[Row] = []
    loads = [name for name in works.WORKS if name in wanted]
    if loads:
        _say("starting the proxies")
        with peers.every_peer(folder, (cores[0], cores[1]), options.command) as everyone:
            for name in loads:
                _say(works.WORKS[name].title)
                row = works.run(works.WORKS[name], everyone, cores[1], 2 if options.quick else 7)
                rows.append(row)
    setup = cold.Setup(folder, options.command)
    if "cold" in wanted:
        _say("cold starts")
        rows += cold.starts(setup, 8 if options.quick else 30)
    if "crowd" in wanted:
        _say("200 cold sites at once")
        ways, rounds = (("%PORT",), 1) if options.quick else (tuple(cold.WAYS), 2)
        rows += cold.crowds(setup, ways, rounds)
    if "policy" in wanted:
        _say("10,000 servers in the policy")
        rows += simulated.rows()
    return rows


def _options() -> argparse.Namespace:
    names = [*works.WORKS, "cold", "crowd", "policy"]
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds: 90 seconds at most")
    parser.add_argument(
        "--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names)
    )
    parser.add_argument("--json", metavar="FILE", help="write the samples there too")
    parser.add_argument("--command", default=peers.COMMAND, help=argparse.SUPPRESS)
    return parser.parse_args()


def _say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

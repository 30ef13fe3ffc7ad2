"""What `luisito advise` foretells, beside what a whole Luisito then does: `python -m bench.advise`.

A made-up week of visits is played to Luisito with real servers, one request after another and as
fast as it answers, with each MAX_SERVERS. How many servers it started is set beside the forecast by
the same requests, and beside what the Luisito with the fewest servers foretells itself.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import peers
from bench.keep.traces import bursty
from bench.measure import ask_over
from bench.origin import APPS
from luisito.control.client import ask
from luisito.core.reuse import Reuse, at_size
from luisito.core.wire import control_path

BOUND = 0.02  # of requests
_FIRST = "s0"  # is asked for until Luisito answers


def play(folder: Path, sites: list[str], servers: int) -> tuple[int, list[tuple[int, float]]]:
    """Play requests; the starts of servers, and what Luisito foretells."""
    script, runtime = folder / "small.py", str(folder / f"run-{servers}")
    shutil.copy(APPS / "small.py", script)
    script.chmod(0o644)
    settings = {
        "CMD_TPL": [os.path.realpath(sys.executable), "-I", "-S", str(script), "fd", "%FD"],
        "ALLOWED_HOSTS": ["*.localhost"],
        "MAX_SERVERS": servers,
        "MIN_ALIVE": 0,
        "RUNTIME_DIR": runtime,
    }
    cores = sorted(os.sched_getaffinity(0))
    with peers.luisito(folder, f"advise-{servers}", settings, cores) as door:
        peers.await_answer(door, folder / f"advise-{servers}.log", host=f"{_FIRST}.localhost")
        with socket.create_connection(("127.0.0.1", door.port), 60) as connection:
            for site in sites:
                ask_over(connection, f"{site}.localhost")
        told = _get(runtime, "/advice")
        curve = [(size, cold) for size, cold in told["cold_starts"]]
        return _get(runtime, "/status")["counters"]["cold"], curve


def _get(runtime: str, target: str) -> Any:  # noqa: ANN401 - JSON
    return ask(control_path(runtime), "GET", target)[1]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.advise", description=__doc__)
    parser.add_argument("--requests", type=int, default=50_000, metavar="N")
    parser.add_argument("--sites", type=int, default=200, metavar="N")
    parser.add_argument("--servers", type=int, nargs="+", default=[40, 100, 150], metavar="N")
    options = parser.parse_args()
    trace = bursty(options.sites, options.requests, 1)
    sites = [_FIRST, *(f"s{site}" for _, site, _ in trace)]
    reuse = Reuse()
    for at, site in enumerate(sites):
        reuse.saw(site, at)
    print(f"{len(sites):,} requests for {reuse.sites:.0f} sites")
    own: list[tuple[int, float]] = []
    worst = 0.0
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="la-")))
        folder.chmod(0o755)
        for servers in sorted(options.servers):
            began = time.monotonic()
            seen, told = play(folder, sites, servers)
            own = own or told
            by_log, by_itself = reuse.cold(servers), at_size(own, servers, 0.0)
            off = [abs(foretold - seen) / len(sites) for foretold in (by_log, by_itself)]
            worst = max(worst, *off)
            print(
                f"{servers} servers: {seen} cold starts; foretold by the requests {by_log:.0f}"
                f" ({off[0]:.2%} of requests off), by Luisito with {min(options.servers)}"
                f" {by_itself:.0f} ({off[1]:.2%}); {time.monotonic() - began:.0f} s"
            )
    return int(worst > BOUND)


if __name__ == "__main__":
    sys.exit(main())

"""What sites that are allowed and asleep cost in memory: Luisito with 10,000 of them and with none.

Luisito's own processes are weighed, the network process and the spawner, not the app servers. All
sites have a folder (PROJECT_PATH), and are listed by name (ALLOWED_HOSTS). A site that was never
asked for is but a name in a list; so each is woken once, sleeps again as soon as the pool has no
room for it, and Luisito is weighed once more.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from bench import peers
from bench.measure import ask
from bench.origin import APPS
from bench.processes import BenchError, resident_bytes
from bench.report import Row, Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from bench.peers import Door

SITES = 10_000
_POOL = 10
_GOAL = 50.0  # MB
# Seconds that the weight has to stay the same, and that it may take to.
_QUIET = 2.0
_PATIENCE = 60.0


def rows(folder: Path, command: str, woken: int = SITES) -> list[Row]:
    """A row for sites that have been asleep from the start, and one after they were woken once.

    Args:
        folder: where files go.
        command: what starts Luisito.
        woken: how many of the sites are woken.

    Raises:
        BenchError: a site did not answer, or Luisito's memory did not settle.
    """
    home = folder / "sites"
    home.mkdir()
    names = [f"site{number:05}.example.com" for number in range(SITES)]
    first = "first.example.com"
    for name in (first, *names):
        _make_folder(home / name)
    script = folder / "brief.pl"
    shutil.copy(APPS / "brief.pl", script)
    script.chmod(0o644)
    settings = {
        "CMD_TPL": ["perl", str(script), "%FD"],
        "PROJECT_PATH": f"{home}/%HOST",
        "MAX_SERVERS": _POOL,
    }
    with contextlib.ExitStack() as stack:

        def weighed(title: str, allowed: list[str]) -> tuple[Door, float]:
            cores = sorted(os.sched_getaffinity(0))
            own = {**settings, "ALLOWED_HOSTS": [first, *allowed]}
            door = stack.enter_context(peers.luisito(folder, title, own, cores, command))
            peers.await_answer(door, folder / f"{title}.log", host=first)
            return door, _megabytes(door)

        _, none = weighed("memory-none", [])
        door, asleep = weighed("memory-sites", names)
        with ThreadPoolExecutor(_POOL) as few:
            list(few.map(partial(ask, door.port), names[:woken]))
        again = _megabytes(door)
    return [
        _row(f"{SITES:,} allowed sites, asleep", none, asleep),
        _row(f"the same, after {woken:,} were woken once", none, again),
    ]


def _make_folder(path: Path) -> None:
    path.mkdir()
    if os.geteuid() == 0:  # no site is served as root
        nobody = pwd.getpwnam("nobody")
        os.chown(path, nobody.pw_uid, nobody.pw_gid)


def _megabytes(door: Door) -> float:
    """What Luisito weighs once that has not changed for some time.

    When nothing is asked of it, the spawner forks a child for the next start, which weighs too.
    """
    deadline = time.monotonic() + _PATIENCE
    seen, since = 0, time.monotonic()
    while (now := time.monotonic()) < since + _QUIET:
        if now > deadline:
            raise BenchError(f"Luisito's memory still changes after {_PATIENCE:g} s")
        time.sleep(0.1)
        weight = resident_bytes(door.pid)
        if weight != seen:
            seen, since = weight, time.monotonic()
    return seen / 1e6


def _row(work: str, without: float, having: float) -> Row:
    return Row(
        work,
        {"Luisito": f"{having:.1f} MB over {without:.1f} MB with none"},
        [Verdict(having - without, _GOAL, " MB more")],
        {"without": without, "with": having},
    )

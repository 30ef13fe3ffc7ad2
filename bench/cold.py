"""Cold starts: what Luisito adds to the boot of an app, one at a time and 200 at once.

The app is apps/small.py. What it takes by itself is measured by starting it straight from here:
from just before the spawn to the end of its first response.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import peers
from bench.measure import ask, ask_over
from bench.origin import APPS
from bench.processes import BenchError
from bench.report import Row, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from bench.peers import Door

# The interpreter itself: the user that app servers run as may not be let into our .venv.
_PYTHON = os.path.realpath(sys.executable)
_BOOT_TIMEOUT = 10.0
# Seconds that a victim takes to stop, and from one round to the next: all victims are gone by then.
_SLOW_STOP = 1.0
_ROUND = 1.6
_FULL = 4
_CROWD = 200


@dataclass(frozen=True)
class Way:
    """A way into an app: the word of the template, small.py's word for it, the goal in ms."""

    word: str
    kind: str
    added: float


WAYS = {
    way.word: way
    for way in (Way("%FD", "fd", 1.0), Way("%PORT", "port", 5.0), Way("%SOCKET", "socket", 5.0))
}


@dataclass(frozen=True)
class Setup:
    """Where files go, and the command that starts Luisito."""

    folder: Path
    command: str


class _Straight:
    """Starts the app with no proxy in between, and ends what it has started.

    The app is given its listening socket, so that the request waits in the kernel for the app.
    Looking every 0.2 ms whether a port of its own answers would make its boot up to half as long
    again on two cores, and Luisito look better for it; what bind(2) takes is Luisito's to bear.
    """

    def __init__(self, app: list[str], folder: Path) -> None:
        self._argv = [*app, "fd", "3"]
        self._folder = folder
        self._pids: list[int] = []

    def start(self) -> float:
        """Seconds from the spawn to the end of the first response; the server stays."""
        place = f"{tempfile.mkdtemp(dir=self._folder)}/socket"
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
            listener.bind(place)
            listener.listen(128)
            client.settimeout(_BOOT_TIMEOUT)
            actions = [
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_DUP2, listener.fileno(), 3),
            ]
            begun = time.perf_counter()
            self._pids.append(
                os.posix_spawn(_PYTHON, self._argv, os.environ, file_actions=actions, setsid=True)
            )
            client.connect(place)
            ask_over(client, "straight.localhost")
            return time.perf_counter() - begun

    def end(self) -> None:
        """Kill and reap all that was started."""
        while self._pids:
            pid = self._pids.pop()
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


@contextlib.contextmanager
def _straight(folder: Path) -> Iterator[_Straight]:
    straight = _Straight(_app(folder), folder)
    try:
        yield straight
    finally:
        straight.end()


def _app(folder: Path) -> list[str]:
    script = folder / "small.py"
    shutil.copy(APPS / "small.py", script)
    script.chmod(0o644)
    return [_PYTHON, "-I", "-S", str(script)]


def _luisito(
    stack: contextlib.ExitStack,
    setup: Setup,
    name: str,
    way: Way,
    slow: float,
    servers: int,
) -> Door:
    settings = {
        "CMD_TPL": [*_app(setup.folder), way.kind, way.word, str(slow)],
        "ALLOWED_HOSTS": ["*.localhost"],
        "MAX_SERVERS": servers,
        "MAX_STARTING": _parallel(),
        # in memory, as /run is, and as the sockets of straight starts are
        "RUNTIME_DIR": str(setup.folder / f"run-{name}-{way.kind}"),
    }
    name = f"{name}-{way.kind}"
    cores = sorted(os.sched_getaffinity(0))
    door = stack.enter_context(peers.luisito(setup.folder, name, settings, cores, setup.command))
    peers.await_answer(door, setup.folder / f"{name}.log")
    return door


def _parallel() -> int:
    return 2 * len(os.sched_getaffinity(0))


def starts(setup: Setup, rounds: int) -> list[Row]:
    """Rows for a start with room to spare, and for one that needs a slow victim to make room.

    Straight starts and both kinds of cold ones take turns; the figures are differences of medians.
    """
    ways = list(WAYS.values())
    boots: list[float] = []
    roomy: dict[Way, list[float]] = {way: [] for way in ways}
    full: dict[Way, list[float]] = {way: [] for way in ways}
    with contextlib.ExitStack() as stack:
        straight = stack.enter_context(_straight(setup.folder))
        doors = {
            way: {
                "roomy": _luisito(stack, setup, "roomy", way, 0.0, rounds + 1),
                "full": _luisito(stack, setup, "full", way, _SLOW_STOP, _FULL),
            }
            for way in ways
        }
        for way in ways:
            for number in range(1, _FULL):
                ask(doors[way]["full"].port, f"early{number}.localhost")
        for number in range(rounds):
            begun = time.monotonic()
            site = f"site{number}.localhost"
            turns = [(way, kind) for way in ways for kind in ("straight", "roomy", "full")]
            random.shuffle(turns)  # who comes first finds the processor's caches cold
            for way, kind in turns:
                if kind == "straight":
                    boots.append(straight.start())
                    straight.end()
                else:
                    door, taken = doors[way][kind], {"roomy": roomy, "full": full}[kind]
                    taken[way].append(ask(door.port, site)[0])
            time.sleep(max(0.0, begun + _ROUND - time.monotonic()))
    rows = [_added(f"cold start, {w.word}", w.added, boots, roomy[w]) for w in ways]
    title = "the pool full, victims take 1 s, {}: more than with room"
    return rows + [_added(title.format(w.word), 5.0, roomy[w], full[w]) for w in ways]


def _added(work: str, limit: float, without: Sequence[float], having: Sequence[float]) -> Row:
    base, whole = (statistics.median(taken) * 1e3 for taken in (without, having))
    return Row(
        work,
        {"Luisito": f"{whole:.1f} ms over {base:.1f} ms"},
        [Verdict(whole - base, limit, " ms added")],
        {"without": list(without), "with": list(having)},
    )


def crowd(setup: Setup, word: str, rounds: int) -> list[Row]:
    """The row for 200 sites asked at once, beside 200 apps started straight, in turns.

    Both start as many at a time as MAX_STARTING lets Luisito.
    """
    alone: list[float] = []
    through: list[float] = []
    lost = 0
    for number in range(rounds):
        with _straight(setup.folder) as straight, ThreadPoolExecutor(_parallel()) as few:
            begun = time.perf_counter()
            list(few.map(lambda _, start=straight.start: start(), range(_CROWD)))
            alone.append(time.perf_counter() - begun)
        with contextlib.ExitStack() as stack, ThreadPoolExecutor(_CROWD) as many:
            door = _luisito(stack, setup, f"crowd{number}", WAYS[word], 0.0, _CROWD)
            begun = time.perf_counter()
            lost += _CROWD - sum(many.map(_answers, [door.port] * _CROWD, range(_CROWD)))
            through.append(time.perf_counter() - begun)
    base, took = statistics.median(alone), statistics.median(through)
    return [
        Row(
            f"{_CROWD} cold sites at once, {word}",
            {"Luisito": f"{took:.2f} s over {base:.2f} s straight"},
            [Verdict(took / base, 1.3, " of straight"), Verdict(lost, 0, " unanswered")],
            {"straight": alone, "Luisito": through},
        )
    ]


def _answers(port: int, number: int) -> bool:
    try:
        ask(port, f"crowd{number}.localhost")
    except (BenchError, OSError):
        return False
    return True

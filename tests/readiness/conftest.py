"""A reactor of each test's own, and real processes of another user."""

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator

import pytest
from twisted.internet.epollreactor import EPollReactor

from luisito.net.switchboard import Switchboard
from luisito.readiness.diag import Diag
from tests.readiness.sockets import OTHER_UID


class Driver:
    """Turns a reactor that is not installed, and not running, until something is so."""

    def __init__(self) -> None:
        self.reactor = EPollReactor()
        self.board = Switchboard(self.reactor)

    def until(self, condition: Callable[[], object], seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it did not happen in time"
            self.reactor.iterate(0.01)

    def turn(self, seconds: float = 0.05) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.reactor.iterate(0.01)


@pytest.fixture
def driver() -> Iterator[Driver]:
    driver = Driver()
    ours = set(driver.reactor._internalReaders)
    yield driver
    assert driver.board._handlers.keys() == driver.board._watched.keys()
    driver.board.close()
    left = driver.reactor.removeAll()
    calls = driver.reactor.getDelayedCalls()
    driver.reactor._poller.close()
    for waker in ours:
        waker.connectionLost(None)
    assert left == []
    assert calls == []


@pytest.fixture
def diag() -> Iterator[Diag]:
    diag = Diag()
    yield diag
    diag.close()


@pytest.fixture
def as_other() -> Iterator[Callable[[Callable[[], object]], int]]:
    """Runs a function in a child of another user; what it returned is kept open until the end."""
    if os.getuid() != 0:
        pytest.skip("needs root to become another user")
    pids = []

    def run(function: Callable[[], object]) -> int:
        done, tell = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.setresgid(OTHER_UID, OTHER_UID, OTHER_UID)
                os.setresuid(OTHER_UID, OTHER_UID, OTHER_UID)
                _kept = function()
                os.write(tell, b"y")
                signal.pause()
            finally:
                os._exit(1)
        os.close(tell)
        pids.append(pid)
        assert os.read(done, 1) == b"y"
        os.close(done)
        return pid

    yield run
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.fixture
def folder() -> Iterator[str]:
    """A folder that other users reach too, as they do not reach into tmp_path."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        yield folder

"""Changes of a real folder, as the kernel tells of them."""

import os
import time

import pytest
from twisted.internet import inotify
from twisted.internet.epollreactor import EPollReactor

from luisito.net.switchboard import Switchboard
from luisito.process import watching
from luisito.process.watching import Watching
from tests.net.turns import descriptors


class Place:
    """A folder that is watched, and a reactor that is turned until something is told."""

    def __init__(self, path):
        self.path, self.told = path, 0
        self.reactor = EPollReactor()
        self.board = Switchboard(self.reactor)
        self.watching = Watching(self.board, str(path), self.tell)

    def tell(self):
        self.told += 1

    def turn(self, seconds, until=lambda: False):
        end = time.monotonic() + seconds
        while time.monotonic() < end and not until():
            self.reactor.runUntilCurrent()
            self.reactor.doIteration(0.02)

    def is_told(self):
        """Waits until something is told."""
        before = self.told
        self.turn(20, lambda: self.told > before)
        return self.told > before

    def is_calm(self):
        """Waits until nothing more is on its way."""
        self.turn(5, lambda: not self.reactor.getDelayedCalls())
        before = self.told
        self.turn(0.3)
        return self.told == before

    def close(self):
        self.watching.close()
        self.board.close()
        self.turn(0.1)
        calls = self.reactor.getDelayedCalls()
        # as twisted.internet.base has it: its own descriptors
        for reader in self.reactor.removeAll() + [*self.reactor._internalReaders]:
            reader.connectionLost(None)
        self.reactor._poller.close()
        return calls


@pytest.fixture
def place(tmp_path):
    before = descriptors()
    folder = tmp_path / "sites"
    folder.mkdir()
    places = []

    def make():
        places.append(Place(folder))
        return places[-1]

    yield make
    for made in places:
        assert made.close() == []
    left = set(descriptors().values()) - set(before.values())
    assert not any("inotify" in each for each in left)


def changes(path):
    """Each is one that may make another site of a file."""
    file = path / "a.toml"
    yield lambda: file.write_text("x")
    yield lambda: file.chmod(0o600)
    yield lambda: os.utime(file)
    yield lambda: file.rename(path / "b.toml")
    yield lambda: (path / "b.toml").rename(path / "c.toml~")
    yield lambda: (path / "c.toml~").rename(path / "d.base.toml")
    yield (path / "d.base.toml").unlink
    yield lambda: path.chmod(0o700)
    yield (path / "e.toml").mkdir


def test_each_change_is_told(place):
    made = place()
    assert made.watching.why_not == ""
    made.watching.start()
    for change in changes(made.path):
        change()
        assert made.is_told()
        assert made.is_calm()


def test_what_is_no_site_file_is_not(place):
    made = place()
    made.watching.start()
    for name in ("a.toml~", ".a.toml.swp", ".b.toml", "4913", "notes.txt"):
        (made.path / name).write_text("x")
        (made.path / name).unlink()
    assert made.is_calm()
    assert made.told == 0


def test_what_happened_before_the_start_is_told(place):
    made = place()
    (made.path / "a.toml").write_text("x")
    made.watching.start()
    assert made.is_told()


def test_many_changes_are_told_once(place):
    made = place()
    made.watching.start()
    for number in range(100):
        (made.path / f"{number}.toml").write_text("x")
        made.turn(0.001)
    assert made.is_told()
    assert made.is_calm()
    assert made.told < 4


def test_it_is_told_although_changes_go_on(place):
    made = place()
    made.watching.start()
    end = time.monotonic() + 20
    while not made.told and time.monotonic() < end:
        (made.path / "a.toml").write_text("x")
        made.turn(0.05)
    assert made.told


@pytest.mark.parametrize("how", ["moved", "removed"])
def test_a_folder_that_has_gone_is_asked_for_until_it_is_back(place, how):
    made = place()
    made.watching.start()
    if how == "moved":
        made.path.rename(f"{made.path}.away")
    else:
        made.path.rmdir()
    made.turn(20, lambda: made.watching.why_not)
    assert made.watching.why_not
    assert made.is_told()
    assert made.watching.why_not
    before = made.told
    made.path.mkdir()
    made.turn(20, lambda: not made.watching.why_not)
    assert made.told > before
    assert made.is_calm()
    (made.path / "a.toml").write_text("x")
    assert made.is_told()


def test_without_inotify_it_is_told_from_time_to_time(place, monkeypatch):
    def none(_self, *_args, **_how):
        raise inotify.INotifyError("there is none")

    monkeypatch.setattr(watching, "_EVERY", 0.2)
    with monkeypatch.context() as patched:
        patched.setattr(inotify.INotify, "watch", none)
        made = place()
        assert made.watching.why_not == "there is none"
        made.watching.start()
        for _ in range(3):
            assert made.is_told()
    made.turn(20, lambda: not made.watching.why_not)
    assert made.is_calm()


def test_nothing_is_told_after_the_end(place):
    made = place()
    made.watching.start()
    (made.path / "a.toml").write_text("x")
    made.turn(20, made.reactor.getDelayedCalls)
    made.watching.close()
    (made.path / "b.toml").write_text("x")
    made.turn(0.5)
    assert made.told == 0

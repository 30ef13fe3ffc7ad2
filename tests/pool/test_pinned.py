"""Pinned sites are in a file, over restarts: with real files and threads."""

from __future__ import annotations

import queue
from types import SimpleNamespace

import pytest
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher

from luisito.core import pins as pure
from luisito.core.orders import Limits
from luisito.pool import KeptSites, Pins, Pool


class World:
    """A pool that can start nothing, and the pins of a folder."""

    def __init__(self, folder, max_servers=3):
        pool = Pool(Clock(), Limits(max_servers=max_servers), SimpleNamespace(preload_idle=60.0))
        self.jobs = queue.SimpleQueue()
        self.kept = KeptSites(pool, max_servers, lambda _site: True)
        self.pins = Pins(self.kept, folder and str(folder), lambda *job: self.jobs.put(job))
        self.pins.read()

    def told(self, deferred):
        """What it is called back with, once threads have written what there is."""
        found = []
        deferred.addCallback(found.append)
        while not found:
            done, *arguments = self.jobs.get(timeout=20)
            done(*arguments)
        return found[0]


@pytest.fixture
def said():
    events = []
    globalLogPublisher.addObserver(events.append)
    yield lambda: [formatEvent(event) for event in events]
    globalLogPublisher.removeObserver(events.append)


def test_they_outlive_the_process(tmp_path):
    world = World(tmp_path)
    first, second = world.pins.pin("a"), world.pins.pin("b")
    assert world.told(first) == world.told(second) == ""
    assert World(tmp_path).pins.sites == {"a", "b"}
    world.told(world.pins.unpin("a"))
    again = World(tmp_path)
    assert "b" in again.pins
    assert "a" not in again.pins
    assert again.kept["b"].value == "pinned"


def test_whoever_makes_way_has_all_written_first(tmp_path):
    """Also what comes meanwhile; but a disk that hangs is not waited for."""
    world, clock = World(tmp_path, max_servers=9), Clock()
    assert world.pins.settle(clock).called
    world.pins.pin("a")
    settled = world.pins.settle(clock)
    world.pins.pin("b")
    world.told(settled)
    assert World(tmp_path).pins.sites == {"a", "b"}
    world.pins.pin("c")
    world.jobs.get(timeout=20)  # it is not told
    settled = world.pins.settle(clock)
    clock.advance(1.9)
    assert not settled.called
    clock.advance(0.1)
    assert settled.called


def test_there_must_be_room(tmp_path):
    world = World(tmp_path, max_servers=2)
    world.told(world.pins.pin("a"))
    world.told(world.pins.pin("a"))
    with pytest.raises(ValueError, match="raise it to 3"):
        world.pins.pin("b")
    assert World(tmp_path).pins.sites == {"a"}


def test_their_number_is_bounded(tmp_path):
    (tmp_path / "pins.json").write_bytes(pure.written(str(n) for n in range(pure.MOST)))
    world = World(tmp_path, max_servers=2 * pure.MOST)
    with pytest.raises(ValueError, match="unpin one"):
        world.pins.pin("a")


def test_without_a_folder_they_end_with_the_process():
    world = World(None)
    words = "STATE_DIR is not set: until Luisito reads its settings again"
    assert world.told(world.pins.pin("a")) == words
    assert world.kept["a"].value == "pinned"


def test_a_file_that_is_wrong_or_cannot_be_written_is_told(tmp_path, said):
    (tmp_path / "pins.json").write_text("{}")
    world = World(tmp_path)
    assert [f"{tmp_path}/pins.json: cannot be read: KeyError: 'version'; which sites were"] == [
        line.partition(" pinned is")[0] for line in said()
    ]
    (tmp_path / "pins.json.new").mkdir()
    why = world.told(world.pins.pin("a"))
    assert why.startswith(f"{tmp_path}/pins.json cannot be written: ")
    assert "a" in world.pins

"""Site files as the spawner tells of them: what counts, when it is asked, and what is logged."""

import re

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, formatEvent, globalLogPublisher

from luisito.core.directory import BROKEN, Directory
from luisito.errors import SettingsError, SpawnerLost
from luisito.process.sitefiles import Change, SiteFiles
from tests.core.directories import USUAL, record


@pytest.fixture
def logged():
    events = []
    globalLogPublisher.addObserver(events.append)
    yield lambda level=LogLevel.info: [
        formatEvent(event) for event in events if event["log_level"] >= level
    ]
    globalLogPublisher.removeObserver(events.append)


class Asked:
    """SiteFiles, and a spawner that answers when it is told to."""

    def __init__(self):
        self.clock, self.asks, self.changes, self.settled = Clock(), [], [], 0
        self.directory = Directory(None, USUAL, files=True)
        self.files = SiteFiles(
            self.clock, self.ask, self.directory, self.changes.append, self.settle
        )

    def settle(self):
        assert len(self.files.records) == len(self.directory)
        self.settled += 1

    def ask(self):
        self.asks.append(Deferred())
        return self.asks[-1]

    def answer(self, sites=(), gone=(), broken=()):
        asked = self.asks.pop(0)
        asked.callback({"sites": list(sites), "gone": list(gone), "broken": list(broken)})
        self.clock.pump([0] * 60)

    def fail(self, why="no"):
        self.asks.pop(0).errback(SettingsError(why))

    def begin(self, *sites, broken=()):
        self.files.first()
        self.answer(sites, broken=broken)
        self.changes.clear()


@pytest.fixture
def asked():
    return Asked()


def test_the_first_look(asked):
    done = []
    asked.files.first().addCallback(done.append)
    assert done == []
    sites = [record(f"s{number}.x") for number in range(250)]
    asked.answer(sites)
    assert done == [None]
    assert asked.settled == 1
    assert len(asked.directory) == len(asked.files.records) == 250
    assert asked.changes[0] == Change("s0.x", None, sites[0])


def test_a_first_look_that_fails(asked):
    done = []
    asked.files.first().addErrback(lambda failure: done.append(str(failure.value)))
    asked.fail("SITES_DIR: no")
    assert done == ["SITES_DIR: no"]
    assert asked.clock.getDelayedCalls() == []


def test_what_has_changed_counts(asked, logged):
    a, b = record("a.x"), record("b.x")
    asked.begin(a, b)
    asked.files.look()
    other = record("a.x", aliases=["c.x"])
    asked.answer([other, record("d.x")], gone=["b.x"])
    assert asked.changes == [
        Change("b.x", b, None), Change("a.x", a, other), Change("d.x", None, record("d.x")),
    ]  # fmt: skip
    assert asked.directory.find("c.x").site == "a.x"
    assert asked.directory.find("b.x").status == 404
    assert asked.files.records.keys() == {"a.x", "d.x"}
    assert logged()[-3:] == [
        "b.x: its site file has gone",
        "a.x: its site file has changed",
        "d.x: its site file is new",
    ]
    asked.files.look()
    asked.answer([record(f"{number}.x") for number in range(12)])
    assert logged()[-1] == "and 2 other site files"


def test_many_changes_are_many_turns(asked):
    asked.begin()
    asked.files.look()
    asked.asks.pop(0).callback(
        {"sites": [record(f"s{number}.x") for number in range(250)], "gone": [], "broken": []}
    )
    assert len(asked.directory) == 100
    asked.files.look()  # waits for the end
    assert asked.asks == []
    asked.clock.advance(0)
    assert len(asked.directory) == 250
    assert len(asked.asks) == 1


def test_broken_files_are_said_once_each(asked, logged):
    bad = ["/sites/a.x.toml", "/sites/a.x.toml:1: no"]
    worse = ["/sites/b.x.toml", "/sites/b.x.toml:7: no"]
    asked.begin(record("b.x"), broken=[bad])
    for broken in ([bad, worse], [bad, worse], [bad, [worse[0], "b: other"]], [bad]):
        asked.files.look()
        asked.answer(broken=broken)
    assert asked.files.broken == dict([bad])
    assert asked.directory.find("a.x").status == BROKEN
    assert asked.directory.find("b.x").status == 0
    assert logged(LogLevel.warn) == [
        f"{bad[1]} (a.x is not served)",
        f"{worse[1]} (b.x is served as its file was before)",
        "b: other (b.x is served as its file was before)",
    ]
    assert logged()[-1] == "/sites/b.x.toml: is not wrong any more"


def test_one_look_at_a_time(asked):
    asked.begin()
    for _ in range(3):
        asked.files.look()
    assert len(asked.asks) == 1
    asked.answer()
    assert len(asked.asks) == 1
    asked.answer()
    assert asked.asks == []


def test_a_look_that_fails_is_tried_again(asked, logged):
    asked.begin(record("a.x"))
    asked.files.look()
    asked.fail("gone")
    assert asked.files.failed == "gone"
    for _ in range(2):
        assert asked.asks == []
        asked.clock.advance(2)
        asked.fail("gone")
    asked.clock.advance(1)
    asked.files.look()  # told before that time
    asked.answer([record("b.x")])
    assert asked.files.failed == ""
    assert asked.files.records.keys() == {"a.x", "b.x"}
    assert asked.clock.getDelayedCalls() == []
    assert logged(LogLevel.warn) == ["gone; all sites stay as they were"]
    assert logged()[-1] == "The site files can be read again"


def test_a_fault_does_not_end_the_looks(asked, logged):
    asked.begin()
    asked.files._changed = None
    asked.files.look()
    asked.answer([record("a.x")])
    assert re.search("could not be dealt with", logged(LogLevel.error)[0])
    asked.files._changed = asked.changes.append
    asked.clock.advance(2)
    asked.answer()
    assert asked.files.failed == ""
    assert asked.directory.of("a.x") is not None


def test_no_look_after_the_end(asked):
    asked.begin()
    asked.files.look()
    asked.fail()
    asked.files.close()
    asked.files.look()
    asked.clock.advance(5)
    assert asked.asks == []


def test_what_is_found_after_the_end_does_not_count(asked):
    asked.begin()
    asked.files.look()
    asked.files.close()
    asked.answer([record("a.x")])
    assert asked.changes == []
    assert asked.clock.getDelayedCalls() == []


def test_a_spawner_that_has_gone_is_asked_no_more(asked):
    asked.begin()
    asked.files.look()
    asked.asks.pop(0).errback(SpawnerLost("gone"))
    assert asked.clock.getDelayedCalls() == []


def test_each_server_of_a_site_and_of_a_mount_is_told_of(asked):
    def of(members, below):
        mounts = [record("a.x/api", mounted="/api", strip=True, members=below)]
        return record("a.x", members=members, mounts=mounts)

    asked.begin(of(1, 2))
    assert sorted(asked.files.by_key) == ["a.x", "a.x/api", "a.x/api#2"]
    asked.files.look()
    asked.answer([of(2, 1)])
    told = {one.site: (one.before is None, one.now is None) for one in asked.changes}
    assert told == {
        "a.x": (False, False),
        "a.x/api": (False, False),
        "a.x#2": (True, False),
        "a.x/api#2": (False, True),
    }
    assert sorted(asked.files.by_key) == ["a.x", "a.x#2", "a.x/api"]
    asked.changes.clear()
    asked.files.look()
    asked.answer(gone=["a.x"])
    assert {one.site for one in asked.changes} == {"a.x", "a.x#2", "a.x/api"}
    assert all(one.now is None for one in asked.changes)
    assert asked.files.by_key == {}


def test_who_waits_for_a_look_is_told_at_the_end_of_one_that_has_begun_since(asked):
    told = []
    asked.begin(record("a.x"))
    asked.files.look()
    for number in (1, 2):
        asked.files.looked().addCallback(lambda _, number=number: told.append(number))
    asked.answer()
    assert told == []
    asked.files.looked().addCallback(lambda _: told.append(3))
    asked.answer()
    assert told == [1, 2]
    asked.fail()
    assert told == [1, 2, 3]
    assert asked.files.failed == "no"
    asked.files.looked().addCallback(lambda _: told.append(4))
    asked.files.close()
    asked.files.looked().addCallback(lambda _: told.append(5))
    assert told == [1, 2, 3, 4, 5]

"""What is kept of sites, written and read by a real thread, and what is said of trouble."""

import contextlib
import os
import queue
import sqlite3
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher

from luisito.core.events import Kind
from luisito.core.orders import Limits
from luisito.errors import NotFoundOut
from luisito.pool import Pool
from luisito.pool.history import History
from luisito.pool.recall import Recall
from tests.harness.threads import none_can_be_started


class Counted:
    def __init__(self, requests):
        self.by_class = [0, 0, requests, 0, 0, 0]
        self.warm, self.cold = [0] * 62, [0] * 62
        self.warm[10] = requests


class Turns(Clock):
    """A clock on which a call for at once has a turn of its own."""

    def callLater(self, delay, function, *arguments):
        return super().callLater(delay or 0.001, function, *arguments)


class World:
    """A pool that can start nothing, and what is kept of it."""

    def __init__(self, folder=None):
        self.clock, self.jobs, self.requests = Turns(), queue.SimpleQueue(), {}
        self.clock.advance(1000)
        self.pool = Pool(self.clock, Limits(max_servers=1), SimpleNamespace(preload_idle=60.0))
        self.history = History(
            self.clock,
            self.pool,
            lambda: {site: Counted(count) for site, count in self.requests.items()},
            None if folder is None else str(folder),
            lambda *job: self.jobs.put(job),
        )
        self.recall = Recall(self.clock, self.history, self.pool.chronicle)
        self.tell = self.pool.chronicle.tell

    def begin(self):
        self.history.take_over()
        self.history.begin()
        if self.history.path is not None:
            self.has_done()
        return self

    def has_done(self, seconds=20):
        """Waits until the thread has done one thing, and has that told."""
        done, *arguments = self.jobs.get(timeout=seconds)
        done(*arguments)

    def get(self, asked):
        """What is called back."""
        found = []
        asked.addBoth(found.append)
        while not found:
            soon = self.clock.seconds() + 0.001
            if any(call.getTime() <= soon for call in self.clock.getDelayedCalls()):
                self.clock.advance(0.001)
            with contextlib.suppress(queue.Empty):
                self.has_done(0.01)
        if hasattr(found[0], "raiseException"):
            found[0].raiseException()
        return found[0]

    def events(self, site=None, kind=None, uid=None, limit=100):
        return self.get(self.recall.events(site, kind, uid, limit))

    def stats(self, site=None, uid=None):
        return {row["site"]: row for row in self.get(self.recall.stats(site, uid))}


def kept(folder, query="SELECT site, kind FROM event ORDER BY id"):
    connection = sqlite3.connect(folder / "history.sqlite")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


@pytest.fixture
def said():
    events = []
    globalLogPublisher.addObserver(events.append)
    yield lambda: [formatEvent(event) for event in events]
    globalLogPublisher.removeObserver(events.append)


@pytest.fixture
def alive(monkeypatch):
    """Servers of the pool that live: a list to be filled."""
    servers = []

    def live(world):
        monkeypatch.setattr(
            type(world.pool.policy),
            "servers",
            property(lambda _: dict(enumerate(servers))),
        )
        return servers

    return live


def test_what_is_new_is_written_every_five_seconds(tmp_path):
    world = World(tmp_path).begin()
    assert kept(tmp_path) == []
    world.clock.advance(5)
    assert world.jobs.empty()
    world.tell(Kind.WAKE, "a", "started")
    world.requests["a"] = 3
    world.clock.advance(4.9)
    assert world.jobs.empty()
    world.clock.advance(0.1)
    world.has_done()
    assert kept(tmp_path) == [("a", "wake")]
    assert kept(tmp_path, "SELECT requests, starts FROM site") == [(3, 1)]
    world.clock.advance(5)
    assert world.jobs.empty()


def test_the_thread_takes_no_signals_and_the_file_is_ours(tmp_path):
    world = World(tmp_path).begin()
    status = (tmp_path / "history.sqlite").stat()
    assert stat.S_IMODE(status.st_mode) == 0o640
    told = []
    thread = "/proc/thread-self/status"
    world.history.desk.ask(lambda _: Path(thread).read_text()).addBoth(told.append)
    world.has_done()
    blocked = int(dict(line.split(":\t") for line in told[0].splitlines())["SigBlk"], 16)
    assert blocked & (1 << 14)


def test_many_events_are_written_before_their_time(tmp_path):
    """Thousands of them come within five seconds, and none is dropped."""
    world = World(tmp_path).begin()
    for number in range(3):
        for _ in range(2500):
            world.tell(Kind.WAKE, "a", "started")
        for _ in range(10):
            world.has_done()
        assert len(kept(tmp_path)) == 2500 * (number + 1)
    assert world.jobs.empty()


def test_whoever_asks_is_told_of_all_until_now(tmp_path):
    world = World(tmp_path).begin()
    world.tell(Kind.WAKE, "a", "started", uid=7)
    world.tell(Kind.REFUSED, "b", "no room", count=4)
    world.requests |= {"a": 3, "c": 1}
    assert [(one["site"], one["kind"]) for one in world.events()] == [
        ("a", "wake"), ("b", "refused"),
    ]  # fmt: skip
    assert [one["number"] for one in world.events("b")] == [2]
    assert [one["process"] for one in world.events(kind="wake")] == [os.getpid()]
    found = world.stats()
    assert {site: row["requests"] for site, row in found.items()} == {"a": 3, "b": 0, "c": 1}
    assert (found["a"]["warm"], found["a"]["starts"], found["b"]["refused"]) == (3, 1, 4)
    world.requests["a"] = 5
    assert world.stats("a")["a"]["warm"] == 5
    assert list(world.stats(uid=7)) == ["a"]
    assert world.recall.told() == {
        "path": f"{tmp_path}/history.sqlite",
        "began": pytest.approx(world.history.began, abs=0.001),
        "unwritten": None,
    }


def test_without_a_folder_all_is_told_from_memory():
    world = World().begin()
    world.tell(Kind.WAKE, "a", "started")
    world.requests["a"] = 3
    assert world.stats()["a"]["requests"] == 3
    assert len(world.events("a")) == 1
    assert world.recall.told()["path"] is None
    assert world.history.end().called


def test_a_site_s_user_is_not_told_for_whom_it_had_to_go(tmp_path):
    world = World(tmp_path).begin()
    words = "stopping pid 5: b.example wants its place"
    world.tell(Kind.EVICTED, "a", words, uid=7, other="b.example")
    (event,) = world.events(uid=7)
    assert event["other"] is None
    assert event["words"] == "stopping pid 5: another site wants its place"
    assert world.events()[0]["other"] == "b.example"


def test_many_sites_are_looked_at_in_turns(tmp_path):
    world = World(tmp_path).begin()
    world.requests = {f"site{number}": 1 for number in range(350)}
    world.clock.advance(5)
    for _ in range(3):
        assert world.jobs.empty()
        world.clock.advance(0.001)
    world.has_done()
    assert len(world.stats()) == 350


def test_the_time_that_servers_live_is_written_each_minute(tmp_path, alive):
    world = World(tmp_path)
    servers = alive(world)
    servers.append(SimpleNamespace(site="a", started_at=990.0))
    world.clock.advance(10)  # another process tells of these
    world.history.take_over()
    world.clock.advance(3)  # it tells what it has
    world.history.begin()
    world.has_done()
    for _ in range(11):
        world.clock.advance(5)
        assert world.jobs.empty()
    world.clock.advance(5)
    world.has_done()
    alive_seconds = "SELECT alive FROM site"
    assert kept(tmp_path, alive_seconds) == [(63,)]
    world.clock.advance(2)
    assert world.stats()["a"]["alive_seconds"] == 65
    world.clock.advance(1)
    world.history.account()  # another process goes on
    servers.clear()
    world.clock.advance(1)
    done = world.history.end()
    world.get(done)
    assert kept(tmp_path, alive_seconds) == [(66,)]


def test_the_end_writes_what_is_left_and_closes_the_file(tmp_path):
    world = World(tmp_path).begin()
    world.tell(Kind.WAKE, "a", "started")
    world.get(world.history.end())
    assert kept(tmp_path) == [("a", "wake")]
    assert [one.name for one in tmp_path.iterdir()] == ["history.sqlite"]
    assert not world.clock.getDelayedCalls()


def test_an_end_without_a_beginning_makes_nothing(tmp_path):
    world = World(tmp_path)
    world.tell(Kind.WAKE, "a", "started")
    assert world.history.end().called
    assert not list(tmp_path.iterdir())


def test_a_disk_that_hangs_holds_up_neither_the_end_nor_whoever_asks(tmp_path, said):
    world = World(tmp_path).begin()
    world.tell(Kind.WAKE, "a", "started", uid=7)
    world.clock.advance(5)
    hangs = world.jobs.get(timeout=20)  # it is not told
    told, refused = [], []
    world.recall.events("a", None, None, 9).addCallback(told.extend)
    world.recall.stats("a", None).addErrback(refused.append)
    world.recall.events("a", None, 7, 9).addErrback(refused.append)
    for _ in range(20):
        world.clock.advance(1)
    assert [one["kind"] for one in told] == ["wake"]
    assert {str(one.value) for one in refused} == {
        f"{tmp_path}/history.sqlite: cannot be read: the disk does not answer"
    }
    assert all(one.check(NotFoundOut) for one in refused)
    ended = world.history.end()
    world.clock.advance(1.9)
    assert not ended.called
    world.clock.advance(0.2)
    assert ended.called
    assert "cannot be written: the disk does not answer. " in said()[0]
    hangs[0](*hangs[1:])


def test_what_cannot_be_written_is_said_once_a_minute_and_kept(tmp_path, said):
    folder = tmp_path / "state"  # which is not there
    world = World(folder).begin()
    for number in range(30):
        world.tell(Kind.WAKE, "a", "started")
        world.requests["a"] = number + 1
        world.clock.advance(5)
        world.has_done()
        assert number or not said()  # one may pass by itself
    warned = [words for words in said() if "cannot be written: " in words]
    assert len(warned) == 3
    assert "No such file or directory" in warned[0]
    assert len(world.events("a")) == 30  # of those that wait
    assert "No such file" in world.recall.told()["unwritten"]
    assert world.stats()["a"]["requests"] == 30  # since this process serves
    with pytest.raises(NotFoundOut, match="cannot be read: "):
        world.stats(uid=7)
    folder.mkdir()
    assert world.stats()["a"]["requests"] == 30
    assert len(kept(folder)) == 30
    assert said()[-1] == f"{folder}/history.sqlite: is written again"
    assert world.recall.told()["unwritten"] is None


def test_statistics_are_told_with_what_cannot_be_written_as_yet(tmp_path):
    world = World(tmp_path).begin()
    world.tell(Kind.EXITED, "a", "pid 5 has gone", seconds=4.0, uid=7)
    world.requests["a"] = 3
    before = world.stats()["a"]
    other = sqlite3.connect(tmp_path / "history.sqlite", isolation_level=None)
    with contextlib.closing(other):
        other.execute("BEGIN IMMEDIATE")
        world.tell(Kind.FAILED, "a", "cannot start")
        world.tell(Kind.WAKE, "b", "started")
        world.requests["a"] = 5
        found = world.stats()
        assert "locked" in world.recall.told()["unwritten"]
        assert list(found) == ["a", "b"]
        a, b = found["a"], found["b"]
        assert (a["requests"], a["warm"], b["starts"]) == (5, 5, 1)
        assert (a["last_exit"], a["last_failure"]) == ("pid 5 has gone", "cannot start")
        assert (a["first_at"], a["pool_seconds"]) == (before["first_at"], 4.0)
        assert a["last_at"] >= b["first_at"] >= before["first_at"]
        assert list(world.stats("b")) == ["b"]
    after = world.stats()
    assert [after[site]["requests"] for site in "ab"] == [5, 0]
    assert after["a"]["warm"] == 5
    assert kept(tmp_path, "SELECT name, requests FROM site") == [("a", 5), ("b", 0)]


def test_one_that_is_no_database_is_set_aside_and_said_once(tmp_path, said):
    (tmp_path / "history.sqlite").write_bytes(b"nothing like it" * 100)
    world = World(tmp_path).begin()
    world.tell(Kind.WAKE, "a", "started")
    assert len(world.events()) == 1
    assert len(said()) == 1
    assert "file is not a database; it is now history.sqlite.aside" in said()[0]


def test_what_never_goes_is_dropped(tmp_path, said):
    world = World(tmp_path).begin()
    world.tell(Kind.WAKE, "a", "started")
    world.requests["a"] = 1
    world.history._accounts._account("a").counts["starts"] = None  # which no column takes
    world.clock.advance(5)
    world.has_done()
    assert any("could not be written" in words for words in said())
    world.tell(Kind.EXITED, "a", "gone")
    assert [one["kind"] for one in world.events()] == ["exited"]


def test_no_thread_can_be_started(tmp_path, monkeypatch):
    none_can_be_started(monkeypatch)
    world = World(tmp_path).begin()
    world.tell(Kind.WAKE, "a", "started")
    world.clock.advance(5)
    world.has_done()
    assert "no thread can be started" in world.history.trouble
    monkeypatch.undo()
    assert len(world.events()) == 1
    assert kept(tmp_path) == [("a", "wake")]

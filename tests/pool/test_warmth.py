"""What is kept of the uses of sites, and who is started for them: with real files and threads."""

from __future__ import annotations

import queue
from types import SimpleNamespace

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher

from luisito.core.orders import Limits
from luisito.core.uses import Used, read, written
from luisito.errors import SettingsError
from luisito.pool import Pool, Warmth
from tests.harness.threads import none_can_be_started


class World:
    """A pool that can start nothing, and what it keeps in a folder."""

    def __init__(self, folder, rewarm=0, is_site=lambda _site: succeed(True)):
        self.clock, self.jobs = Clock(), queue.SimpleQueue()
        self.pool = Pool(self.clock, Limits(max_servers=1), SimpleNamespace(preload_idle=60.0))
        self.warmth = Warmth(
            self.clock,
            self.pool,
            is_site,
            None if folder is None else str(folder),
            rewarm,
            lambda *job: self.jobs.put(job),
        )

    def use(self, site, uses=1.0):
        """As if it had been used so often."""
        self.pool.policy.remember([Used(site, uses)], self.clock.seconds())

    def wrote(self):
        """Waits until a thread has written, and has that told."""
        done, *arguments = self.jobs.get(timeout=20)
        done(*arguments)


def sites(folder):
    return [one.site for one in read((folder / "uses.json").read_bytes())]


@pytest.fixture
def said():
    events = []
    observer = events.append
    globalLogPublisher.addObserver(observer)
    yield lambda: [formatEvent(event) for event in events]
    globalLogPublisher.removeObserver(observer)


def test_it_is_written_once_a_minute_where_anything_is_new(tmp_path):
    made = World(tmp_path)
    made.warmth.begin(fresh=True)
    made.clock.advance(60)
    assert not list(tmp_path.iterdir())
    made.use("a", 2.0)
    made.use("b", 3.0)
    made.clock.advance(59)
    assert not list(tmp_path.iterdir())
    made.clock.advance(1)
    made.wrote()
    assert sites(tmp_path) == ["b", "a"]
    before = (tmp_path / "uses.json").stat()
    made.clock.advance(60)
    assert (tmp_path / "uses.json").stat().st_ino == before.st_ino
    assert before.st_mode & 0o7777 == 0o640

    other = World(tmp_path)
    other.warmth.begin(fresh=False)
    assert [one.site for one in other.pool.policy.used(0.0, 9)] == ["b", "a"]
    assert other.warmth.rewarming is None


def test_what_one_left_that_was_killed_while_it_wrote_is_replaced(tmp_path):
    """And whatever it is, it is not written through."""
    (tmp_path / "aim").write_text("mine")
    (tmp_path / "uses.json.new").symlink_to("aim")
    made = World(tmp_path)
    made.warmth.begin(fresh=True)
    made.use("a")
    made.warmth.stop()
    ended = made.warmth.keep()
    made.wrote()
    assert ended.called
    assert sites(tmp_path) == ["a"]
    assert {one.name for one in tmp_path.iterdir()} == {"aim", "uses.json"}
    assert (tmp_path / "aim").read_text() == "mine"


@pytest.mark.parametrize("data", [b"{", b"x" * 1_100_000])
def test_one_that_is_wrong_is_begun_anew(tmp_path, data, said):
    (tmp_path / "uses.json").write_bytes(data)
    made = World(tmp_path, rewarm=3)
    made.warmth.begin(fresh=True)
    assert "uses.json: cannot be read: " in said()[0]
    assert said()[1:] == ["Rewarming: no uses of sites are known yet"]
    made.use("a")
    made.clock.advance(60)
    made.wrote()
    assert sites(tmp_path) == ["a"]


def test_what_cannot_be_written_is_told_once(tmp_path, said):
    (tmp_path / "uses.json").mkdir()
    (tmp_path / "uses.json" / "in the way").touch()
    made = World(tmp_path)
    made.warmth.begin(fresh=True)
    for _ in range(3):
        made.use("a")
        made.clock.advance(60)
        made.wrote()
    assert sum("uses.json: cannot be written: " in words for words in said()) == 1


def test_what_could_not_be_written_is_written_when_it_can_be(tmp_path):
    """Though nothing is new since."""
    (tmp_path / "uses.json").mkdir()
    made = World(tmp_path)
    made.warmth.begin(fresh=True)
    (tmp_path / "uses.json" / "in the way").touch()
    made.use("a")
    made.clock.advance(60)
    made.wrote()
    (tmp_path / "uses.json" / "in the way").unlink()
    (tmp_path / "uses.json").rmdir()
    made.clock.advance(60)
    made.wrote()
    assert sites(tmp_path) == ["a"]


def writing(folder):
    """One that writes a use, and has another that is to be written."""
    made = World(folder)
    made.warmth.begin(fresh=True)
    made.use("a")
    made.clock.advance(60)
    made.use("b")
    return made


def test_two_who_want_all_to_be_written_are_both_told_when_it_is(tmp_path):
    """A successor waits for it, and then all is to end."""
    made = writing(tmp_path)
    both = [made.warmth.keep(), made.warmth.keep()]
    made.wrote()
    made.use("c")
    made.wrote()
    assert [each.called for each in both] == [True, False]
    made.wrote()
    assert both[1].called
    assert set(sites(tmp_path)) == {"a", "b", "c"}


def test_no_thread_can_be_started(tmp_path, said, monkeypatch):
    none_can_be_started(monkeypatch)
    made = World(tmp_path)
    made.warmth.begin(fresh=True)
    made.use("a")
    made.clock.advance(60)
    assert any("no thread can be started" in words for words in said())
    monkeypatch.undo()
    made.use("a")
    made.clock.advance(60)
    made.wrote()
    assert sites(tmp_path) == ["a"]


def test_a_disk_that_hangs_holds_up_neither_the_next_minute_nor_the_end(tmp_path, said):
    made = World(tmp_path)
    made.warmth.begin(fresh=True)
    made.use("a")
    made.clock.advance(60)
    hangs = made.jobs.get(timeout=20)  # it is not told
    made.use("b")
    made.clock.advance(60)
    made.warmth.stop()
    ended = made.warmth.keep()
    made.clock.advance(1.9)
    assert not ended.called
    made.clock.advance(0.2)
    assert ended.called
    assert said() == [f"{tmp_path}/uses.json: cannot be written: the disk does not answer"]
    hangs[0](*hangs[1:])
    assert sites(tmp_path) == ["a"]
    assert made.jobs.empty()


def test_the_end_waits_for_what_is_being_written(tmp_path):
    made = writing(tmp_path)
    made.warmth.stop()
    ended = made.warmth.keep()
    made.wrote()
    assert not ended.called
    made.wrote()
    assert ended.called
    assert set(sites(tmp_path)) == {"a", "b"}


@pytest.mark.parametrize("folder", [None, "state"])
def test_nothing_is_written_without_a_folder_or_a_beginning(tmp_path, folder):
    made = World(None if folder is None else tmp_path, rewarm=3)
    if folder is None:
        made.warmth.begin(fresh=True)
    made.use("a")
    made.clock.advance(600)
    made.warmth.stop()
    assert made.warmth.keep().called
    assert not list(tmp_path.iterdir())


def test_what_is_no_site_is_passed_over(tmp_path, said):
    def is_site(site):
        if site == "b":
            raise SettingsError("the function has failed")
        return succeed(site != "a")

    used = [Used("a", 4.0), Used("b", 3.0), Used("c", 2.0)]
    (tmp_path / "uses.json").write_bytes(written(used))
    made = World(tmp_path, 1, is_site)
    made.warmth.begin(fresh=True)
    assert said() == ["Rewarming: the sites that are used most, 1 of them"]
    made.clock.pump([0.25] * 4)
    assert said()[1:] == [
        "b is not rewarmed: the function has failed",
        "Rewarmed 0 of 1 sites, 1 without room, 2 passed over",
    ]
    assert made.warmth.rewarming.over


@pytest.mark.parametrize("waits", [False, True])
def test_none_has_its_turn_after_the_end(tmp_path, said, waits):
    asked = Deferred()
    (tmp_path / "uses.json").write_bytes(written([Used("a", 4.0)]))
    made = World(tmp_path, 1, lambda _site: asked)
    made.warmth.begin(fresh=True)
    if waits:
        made.clock.advance(0.25)
    made.warmth.stop()
    made.clock.advance(0.25)
    asked.callback(True)
    made.clock.advance(9)
    assert not made.warmth.rewarming.over
    assert len(said()) == 1
    assert not made.clock.getDelayedCalls()


def test_what_other_sizes_would_have_done_is_kept(tmp_path, said):
    made = World(tmp_path)
    made.warmth.begin(fresh=True)
    reuse = made.pool.policy.reuse(made.clock.seconds())
    for at, site in enumerate("abab"):
        reuse.saw(site, float(at))
    made.clock.advance(300)
    made.wrote()
    reuse.saw("a", 310.0)
    made.warmth.stop()
    ended = made.warmth.keep()
    made.wrote()
    assert ended.called
    next_one = World(tmp_path)
    next_one.warmth.begin(fresh=True)
    again = next_one.pool.policy.reuse(next_one.clock.seconds())
    assert (again.requests, again.cold(1), again.cold(2)) == (5, 5.0, 2.0)
    next_one.clock.advance(300)
    assert next_one.jobs.empty()  # nothing is new
    (tmp_path / "reuse.json").write_text("[1]")
    World(tmp_path).warmth.begin(fresh=True)
    (words,) = said()
    assert words.startswith(f"{tmp_path}/reuse.json: cannot be read: TypeError")
    assert words.endswith("what other sizes would have done is forgotten")

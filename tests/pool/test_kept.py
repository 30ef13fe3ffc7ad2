"""What the pool is told of sites that are kept: as their files say, where there is room."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogLevel, formatEvent, globalLogPublisher

from luisito.core.keeping import Keep
from luisito.core.orders import Limits, Spawn, Terminate
from luisito.pool import KeptSites, Pool
from luisito.process.sitefiles import Change
from tests.core.directories import record


class Files:
    """Site files of a pool that has no server yet, so that nothing is started."""

    def __init__(self, max_servers):
        limits = Limits(max_servers=max_servers, idle_timeout=9.0)
        self.pool = Pool(Clock(), limits, SimpleNamespace(preload_idle=60.0))
        self.kept = KeptSites(self.pool, max_servers, lambda site: site != "gone")
        self.records = {}

    def write(self, *sites, **keys):
        for site in sites:
            before, self.records[site] = self.records.get(site), record(site, **keys)
            self.kept.change(Change(site, before, self.records[site]))
        self.kept.settle(self.records)

    def remove(self, site):
        self.kept.change(Change(site, self.records.pop(site), None))
        self.kept.settle(self.records)

    def limits(self, site):
        limits = self.pool.policy._sites.limits_of(site)
        return limits.min_alive, limits.idle_timeout, limits.queue_limit

    def kept_up(self):
        return self.pool.policy._keeping._on_failure


NEVER = (float("inf"), None)


@pytest.fixture
def warned():
    events = []
    globalLogPublisher.addObserver(events.append)
    yield lambda: [formatEvent(e) for e in events if e["log_level"] >= LogLevel.warn]
    globalLogPublisher.removeObserver(events.append)


def test_limits_and_how_it_is_kept_come_from_the_file(warned):
    files = Files(9)
    files.write("a", limits={"queue_limit": 3, "upstream_max": 5})
    files.write("p", keep="pinned", limits={"queue_limit": 4, "idle_timeout": 5.0})
    files.write("u", keep="always", restart="on-failure")
    assert files.limits("a") == (0, 9.0, 3)
    assert files.limits("p") == (*NEVER, 4)
    assert files.limits("u") == (*NEVER, 100)
    assert files.kept_up() == {"u": True}
    assert [files.kept[site] for site in "apu"] == [Keep.DEMAND, Keep.PINNED, Keep.ALWAYS]
    files.write("p", "u", keep="always")
    assert files.kept_up() == {"u": False, "p": False}
    files.write("u", limits={"queue_limit": 2})
    assert files.limits("u") == (0, 9.0, 2)
    assert files.kept_up() == {"p": False}
    files.remove("p")
    assert files.limits("p") == (0, 9.0, 100)
    assert files.kept_up() == {}
    assert warned() == []


def test_those_that_leave_no_room_for_others_are_on_demand(warned):
    files = Files(3)
    files.write("c", "b", keep="pinned")
    assert files.kept.problem == ""
    files.write("a", keep="always")
    assert files.limits("a")[:2] == files.limits("b")[:2] == NEVER
    assert files.limits("c")[:2] == (0, 9.0)
    assert files.kept["c"] is Keep.DEMAND
    assert files.kept.mend == "raise MAX_SERVERS to 4"
    assert warned() == [f"{files.kept.problem}; {files.kept.mend}"]
    assert "; c is served on demand until there is" in files.kept.problem
    files.write("x")
    files.write("b")
    assert (files.kept.problem, files.kept.mend) == ("", "")
    assert files.limits("c")[:2] == NEVER
    assert len(warned()) == 1


def test_one_that_has_ended_is_started_again_when_its_file_changes():
    files = Files(3)
    files.write("a", keep="always", restart="on-failure")
    keeping = files.pool.policy._keeping
    keeping.rest("a", ended=True)
    files.write("b")
    assert keeping.rests("a")
    files.write("a", keep="always", restart="on-failure", aliases=["x"])
    assert not keeping.rests("a")


def test_the_pool_is_told_how_many_servers_a_site_has():
    files = Files(9)
    files.write("a", members=3, keep="pinned")
    assert files.pool.policy.keys("a") == ("a", "a#2", "a#3")
    files.write("a#2", "a#3", keep="pinned", limits={"queue_limit": 2})
    assert files.limits("a#3") == (*NEVER, 2)
    assert len(files.pool.policy.keys("a")) == 3
    files.remove("a")
    assert files.pool.policy.keys("a") == ("a",)


class Told(Pool):
    """A pool that carries nothing out; `orders` says what it would."""

    def __init__(self, max_servers):
        limits = Limits(max_servers=max_servers, idle_timeout=9.0)
        super().__init__(Clock(), limits, SimpleNamespace(preload_idle=60.0))
        self.orders = []

    def _carry_out(self, orders):
        for order in orders:
            if isinstance(order, Spawn | Terminate):
                self.orders.append((type(order).__name__.lower(), order.server.site))

    def wake(self, site):
        self.request(site, object())
        self.policy.ready(self.policy.server(site), 0.0)


@pytest.mark.parametrize("keep", ["demand", "pinned", "always"])
@pytest.mark.parametrize("changed", [False, True])
def test_more_servers_of_a_site_that_is_awake_are_started_once(keep, changed):
    files = Files(9)
    files.pool = Told(9)
    files.pool.policy.adopt([], 0.0)
    files.kept = KeptSites(files.pool, 9, lambda site: site != "gone")
    files.write("a", members=2, keep=keep)
    files.pool.wake("a")
    files.pool.orders.clear()
    files.pool.policy.stop("a#2", 0.0, "")
    changes = [
        Change("a", files.records["a"], record("a", members=3, keep=keep)),
        Change("a#2", record("a#2", keep=keep), record("a#2", keep=keep, digest="x" * changed)),
        Change("a#3", None, record("a#3", keep=keep)),
    ]
    for one in changes:
        files.records[one.site] = one.now
        files.kept.change(one)
    files.kept.settle(files.records)
    assert sorted(files.pool.orders) == [("spawn", "a#2"), ("spawn", "a#3")]
    assert files.pool.policy.keys("a") == ("a", "a#2", "a#3")


def test_pinned_sites_are_kept_whatever_their_files_say(warned):
    files = Files(5)
    files.write("a", limits={"queue_limit": 3})
    files.kept.pin(frozenset({"a", "b", "gone"}))
    assert files.limits("a") == (*NEVER, 3)
    assert files.limits("b") == (*NEVER, 100)
    assert files.limits("gone") == (0, 9.0, 100)
    assert files.kept["a"] is files.kept["b"] is Keep.PINNED
    files.write("a", limits={"queue_limit": 4}, members=2)
    files.write("a#2", limits={"queue_limit": 4})
    assert files.limits("a") == files.limits("a#2") == (*NEVER, 4)
    files.write("a", keep="always")
    assert files.kept["a"] is Keep.ALWAYS
    files.write("a")
    assert files.kept["a"] is Keep.PINNED
    files.kept.pin(frozenset())
    assert files.limits("a") == files.limits("b") == (0, 9.0, 100)
    assert warned() == []


def test_no_more_are_pinned_than_leave_room_for_others():
    files = Files(3)
    files.kept.pin(frozenset({"a"}))
    assert files.kept.no_room_for("b") == ""
    files.write("c", keep="pinned")
    assert files.kept.no_room_for("a") == ""
    assert files.kept.no_room_for("b") == (
        "b cannot be kept: with all others that are kept it would leave no room in MAX_SERVERS = 3;"
        " raise it to 4"
    )

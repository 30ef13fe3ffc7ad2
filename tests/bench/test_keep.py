"""The simulator of the pool: small traces whose outcome is reckoned by hand, and an LRU apart."""

import itertools
import random
from collections import OrderedDict

import pytest

from bench.keep import __main__ as keep
from bench.keep import ahead
from bench.keep.traces import MB, TRACES, Site, sites
from bench.keep.world import World
from luisito.core.orders import Limits

KINDS = [Site("a", 1.0, 30), Site("b", 2.0, 50), Site("c", 4.0, 40)]


def play(trace, kinds=KINDS, **limits):
    """Play requests that each take a second, at (time, site) by its letter."""
    world = World(kinds, Limits(**limits), jitter=False)
    return world.run([(float(at), "abc".index(site), 1.0) for at, site in trace])


def test_each_first_request_waits_for_its_start_and_no_other_does():
    result = play([(0, "a"), (10, "b"), (20, "a"), (30, "c"), (40, "b")])
    assert (result.requests, result.cold, result.evicted) == (5, 3, 0)
    assert result.waits == [1.0, 2.0, 4.0]
    assert (result.waited, result.p95) == (7.0, 4.0)
    assert (result.most_memory, result.most_servers) == (120, 3)
    # 30 from 0 to 10, 80 to 30, 120 to the last request at 40
    assert result.mean_memory == (30 * 10 + 80 * 20 + 120 * 10) / 40


def test_the_least_recently_used_goes_for_memory():
    # c takes 40 of 100: b goes, since a was used after it
    result = play([(0, "a"), (10, "b"), (20, "a"), (30, "c"), (40, "a"), (50, "b")], max_memory=100)
    assert (result.cold, result.evicted) == (4, 2)
    assert result.waits == [1.0, 2.0, 4.0, 2.0]
    assert (result.most_memory, result.most_servers) == (80, 2)


def test_the_least_recently_used_goes_for_a_place():
    result = play([(0, "a"), (10, "b"), (20, "c"), (30, "b"), (40, "a")], max_servers=2)
    assert (result.cold, result.evicted) == (4, 2)
    assert result.waits == [1.0, 2.0, 4.0, 1.0]


def test_who_comes_while_a_server_starts_waits_for_the_rest():
    result = play([(0, "c"), (1, "c"), (3, "c")])
    assert result.waits == [4.0, 3.0, 1.0]
    assert result.cold == 1


def test_a_busy_server_stays_and_who_wants_its_memory_waits():
    # a is ready at 1 and busy until 2; then b starts, beside the end of a
    result = play([(0, "a"), (0.5, "b")], max_memory=60)
    assert result.waits == [1.0, 3.5]
    assert result.most_memory == 50


def test_a_request_that_finds_no_room_in_time_is_refused():
    result = play([(0, "a"), (0.5, "b")], max_memory=60, queue_timeout=1.0)
    assert (result.waits, result.refused, result.cold) == ([1.0], 1, 1)


@pytest.mark.parametrize("name", TRACES)
def test_a_trace_is_the_same_for_a_seed_and_in_order(name):
    trace = list(TRACES[name](50, 3000, 7))
    assert trace == list(TRACES[name](50, 3000, 7))
    assert trace != list(TRACES[name](50, 3000, 8))
    assert all(one[0] <= other[0] for one, other in itertools.pairwise(trace))
    found = {site for _, site, _ in trace}
    assert found <= set(range(50))
    assert len(found) > 40
    assert 2000 < len(trace) < 4000


@pytest.mark.parametrize("related", [True, False])
def test_sites_differ_within_bounds(related):
    kinds = sites(2000, 3, related=related)
    assert all(10 * MB <= kind.memory <= 400 * MB and 0.05 <= kind.start <= 8 for kind in kinds)
    by_start = sorted(kinds, key=lambda kind: kind.start)
    fast = sum(kind.memory for kind in by_start[:1000])
    slow = sum(kind.memory for kind in by_start[1000:])
    assert (slow > 1.3 * fast) == related
    assert 0.9 * fast < slow


@pytest.mark.parametrize("name", TRACES)
@pytest.mark.parametrize("megabytes", [500, 1500])
def test_memory_is_kept_all_the_time(name, megabytes):
    limits = Limits(max_servers=20, max_memory=megabytes * MB, queue_total=10_000)
    result = World(sites(60, 1), limits).run(TRACES[name](60, 4000, 1))
    assert result.most_memory <= megabytes * MB
    assert result.most_servers <= 20
    assert result.evicted > 100


def reference(trace, kinds, limit):
    """Count the starts of a least-recently-used cache of so many bytes."""
    kept, taken, starts = OrderedDict(), 0, 0
    for site in trace:
        if site in kept:
            kept.move_to_end(site)
            continue
        starts += 1
        while taken + kinds[site].memory > limit:
            taken -= kept.popitem(last=False)[1]
        kept[site] = kinds[site].memory
        taken += kinds[site].memory
    return starts


@pytest.mark.parametrize("seed", range(5))
def test_lru_is_that_of_another_program(seed):
    """Where each request is over before the next one comes, it is a cache of servers."""
    draw = random.Random(seed)
    kinds = [Site(f"s{n}", 0.1, draw.randint(10, 400)) for n in range(40)]
    which = draw.choices(range(40), weights=[1 / (n + 1) for n in range(40)], k=3000)
    trace = [(10.0 * n, site, 1.0) for n, site in enumerate(which)]
    for limit in (400, 1000, 3000):
        # with so much overlap none waits for the end of those that go
        limits = Limits(max_servers=40, max_memory=limit, overlap=40)
        result = World(kinds, limits, jitter=False).run(trace)
        assert result.cold == reference(which, kinds, limit)
        assert result.waited == pytest.approx(0.1 * result.cold)


def test_the_table_is_the_same_for_a_seed(capsys):
    arguments = ["--sites", "30", "--requests", "500", "--memory", "300", "--servers", "5"]
    keep.main(arguments)
    first = capsys.readouterr().out
    assert first.count("| zipf |") >= 2
    assert "| 300 MB |" in first
    assert "| 5 servers |" in first
    keep.main(arguments)
    assert capsys.readouterr().out == first


# -- servers that are started ahead


def idle_times(*minutes, bins=240):
    found = ahead.Histogram(bins)
    for one in minutes:
        found.add(60.0 * one)
    return found.windows()


def test_a_histogram_says_when_a_site_is_asked_for_again():
    """From the 5th percentile, less a tenth, to the end of the 99th's bin and a tenth more."""
    assert idle_times(*[30.0] * 9) == (pytest.approx(27 * 60), pytest.approx((31 * 1.1 - 27) * 60))
    assert idle_times(0.5, *[30.0] * 99).without == pytest.approx(27 * 60)
    assert idle_times(*[0.5] * 50, *[30.0] * 50) == (0.0, pytest.approx(31 * 1.1 * 60))


def test_it_says_nothing_of_what_is_spread_or_longer():
    assert idle_times() is None
    assert idle_times(*range(9), bins=9) is None
    assert idle_times(5.0, 300.0) is not None
    assert idle_times(5.0, 300.0, 300.0) is None


def played(trace, minutes=240, **how):
    """As `play`, ahead of requests, in a pool for one site's server or two; with the world."""
    world = ahead.Ahead(KINDS, Limits(max_memory=80), minutes=minutes, jitter=False, **how)
    requests = [(float(at), "abc".index(site), 1.0) for at, site in trace]
    return world.run(requests), world


HOURLY = [(3600 * n, "a") for n in range(6)]


def test_a_site_that_is_asked_for_each_hour_is_up_when_it_is():
    """After an hour that is known: it is ended meanwhile, and nobody waits but the first."""
    result, world = played(HOURLY, evicts=True)
    assert result.waits == [1.0]
    assert (world.ahead, world.used) == (4, 4)
    assert result.mean_memory < 0.35 * 30


def test_where_it_does_not_end_others_only_what_has_gone_is_started():
    trace = sorted([*HOURLY, *((3600 * n + 60, site) for n in range(5) for site in "bc")])
    lru, _ = played(trace, evicts=True, ends=False, minutes=1)
    assert lru.waits.count(1.0) == 6
    result, world = played(trace, evicts=True, ends=False)
    assert result.waits.count(1.0) < 6
    assert world.used >= 1


def test_without_room_it_starts_none():
    trace = sorted(
        [*HOURLY, *((3600 * n + 600 * m, "b") for n in range(6) for m in (1, 2, 3, 4, 5))]
    )
    world = ahead.Ahead(KINDS, Limits(max_memory=60), evicts=False, jitter=False)
    result = world.run([(float(at), "abc".index(site), 1.0) for at, site in trace])
    assert result.most_memory <= 60


def test_the_table_of_those_started_ahead(capsys):
    ahead.main(["--seeds", "1", "--sites", "20", "--requests", "200", "--memory", "300"])
    table = capsys.readouterr().out
    for name in TRACES:
        assert f"| {name} | 300 MB | lru | " in table
        assert f"| {name} | 300 MB | cost+any | " in table

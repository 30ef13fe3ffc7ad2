"""The simulator of the pool: small traces whose outcome is reckoned by hand, and an LRU apart."""

import itertools
import random
from collections import OrderedDict

import pytest

from bench.keep import __main__ as keep
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

"""Reuse distances tell what a pool of any size would have done: compared with such pools."""

import json
import random
from collections import OrderedDict
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luisito.core.reuse import TIMEOUTS, Reuse, at_size


def lru(requests, servers, idle=None):
    """Cold starts of a pool that is played, request by request."""
    awake, cold = OrderedDict(), 0
    for at, site in requests:
        used = awake.pop(site, None)
        if used is None or (idle is not None and at - used > idle):
            cold += 1
            if len(awake) >= servers:
                awake.popitem(last=False)
        awake[site] = at
    return cold


def reuse_of(requests, sizes=None, **how):
    reuse = Reuse(**how)
    for at, site in requests:
        reuse.saw(site, at, sizes[site] if sizes else 0)
    return reuse


TRACES = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 30)), max_size=150).map(
    lambda found: [(at, f"s{site}") for at, site in sorted(found, key=lambda one: one[0])]
)


@given(TRACES, st.integers(1, 35), st.none() | st.integers(1, 20))
def test_it_is_what_a_pool_would_have_done(requests, servers, idle):
    reuse = reuse_of(requests, idle=idle)
    assert reuse.cold(servers) == lru(requests, servers, idle)
    assert at_size(reuse.curve(), servers, len(requests)) == pytest.approx(reuse.cold(servers))


@given(TRACES, st.integers(1, 100))
def test_servers_of_one_size_are_told_by_their_bytes(requests, memory):
    reuse = reuse_of(requests, {f"s{number}": 3 for number in range(31)})
    assert reuse.cold_in(memory) == reuse.cold(memory // 3)
    assert at_size(reuse.curve_in(), memory, len(requests)) == pytest.approx(reuse.cold_in(memory))


def test_what_others_take_counts():
    requests = [(0, "large"), (1, "small"), (2, "large"), (3, "small")]
    reuse = reuse_of(requests, {"large": 100, "small": 10})
    assert reuse.cold_in(109) == 4
    assert reuse.cold_in(110) == 2


def test_a_server_may_grow():
    reuse = Reuse()
    for at, size in enumerate((10, 10, 50, 50)):
        reuse.saw("a", at, size)
    reuse.saw("b", 4, 1)
    reuse.saw("a", 5, 50)
    assert (reuse.cold_in(49), reuse.cold_in(50), reuse.cold_in(51)) == (5, 3, 2)


@pytest.mark.parametrize("most", [8192, 1000])
def test_long_ones(most):
    """Those looked at are renumbered again and again; a sample is near, but for small pools."""
    draw = random.Random(7)
    weights = [1 / (rank + 3) ** 0.9 for rank in range(4000)]
    which = draw.choices(range(4000), weights, k=20_000)
    requests = [(at, f"site{number}.example") for at, number in enumerate(which)]
    reuse = reuse_of(requests, most=most)
    bound = 0 if most == 8192 else 0.01 * len(requests)
    assert (reuse.rate == 1) is (bound == 0)
    assert len(reuse._uses) <= most
    assert len(reuse._counts) < 4 * most
    for servers in (100, 500, 1000, 2000):
        assert abs(reuse.cold(servers) - lru(requests, servers)) <= bound
    assert reuse.sites == pytest.approx(len(set(which)), rel=0.1 if bound else 0)


def test_one_that_is_looked_at_no_more_is_not_the_last():
    reuse = Reuse(most=1)
    for at, site in enumerate("abcdefgh"):
        reuse.saw(site, at)
        reuse.saw(site, at)
    assert len(reuse._uses) == 1
    assert reuse.requests == 16
    assert 0 < reuse.cold(1) <= 16


@given(TRACES)
def test_servers_that_are_kept_for_a_while(requests):
    requests = [(at * 1000, site) for at, site in requests]
    for timeout, cold, awake in reuse_of(requests).kept():
        assert timeout in TIMEOUTS
        assert cold == lru(requests, 1000, timeout)
        seconds = requests[-1][0] - requests[0][0] if requests else 0
        if seconds:
            ends, alive = {}, 0
            for at, site in requests:
                alive -= max(0, ends.get(site, 0) - at)
                alive += timeout
                ends[site] = at + timeout
            alive -= sum(max(0, end - requests[-1][0]) for end in ends.values())
            assert awake == pytest.approx(alive / seconds)
        else:
            assert awake == 0


def test_nothing_was_seen():
    reuse = Reuse()
    assert (reuse.curve(), reuse.cold(3), reuse.seconds, reuse.sites) == ([], 0, 0, 0)
    assert at_size([], 3, 7.0) == 7.0


# -- over the end of who has seen it


@given(TRACES, TRACES, st.integers(1, 40), st.none() | st.integers(1, 20), st.integers(0, 99))
def test_another_one_goes_on_as_if_it_were_the_same(before, after, most, idle, pause):
    last = before[-1][0] if before else 0
    after = [(at + last, site) for at, site in after]
    one = reuse_of(before, most=most, idle=idle)
    told = json.loads(json.dumps(one.state(float(last))))
    other = Reuse.resumed(told, float(last + pause), most, idle)  # of a clock of its own
    for at, site in after:
        one.saw(site, at)
        other.saw(site, at + pause)
    for told in (Reuse.curve, Reuse.curve_in, Reuse.kept):
        assert [*chain(*told(other))] == pytest.approx([*chain(*told(one))])
    assert (other.requests, other.sites, other.rate) == (one.requests, one.sites, one.rate)
    now = float(last + 200)
    assert other.since(now + pause) == pytest.approx(one.since(now))


def test_what_was_seen_with_another_timeout_is_left_out():
    seen = reuse_of([(0, "a"), (1, "a")], idle=5)
    assert Reuse.resumed(seen.state(1.0), 1.0, idle=6).requests == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"requests": None}, {"below": 0}, {"below": 1 << 33}, {"uses": [["a", 1]]}, {"gaps": [1.0]},
        {"uses": [["a", 1.0, 1], ["b", 1.0, 1]]}, {"by_servers": 3}, {"always": "x"},
    ],
)  # fmt: skip
def test_what_is_none_of_it_is_refused(wrong):
    state = reuse_of([(0, "a")]).state(0.0) | wrong
    with pytest.raises(ValueError, match=r"\w"):
        Reuse.resumed(state, 0.0, most=1)
    del state["idle"]
    with pytest.raises(ValueError, match="KeyError: 'idle'"):
        Reuse.resumed(state, 0.0)


def test_what_is_no_object_is_refused():
    with pytest.raises(ValueError, match="TypeError"):
        Reuse.resumed([], 0.0)

"""Requests are counted by site, class and time, as a plain count of them would have it."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luisito.core import access
from luisito.core.tally import (
    BOUNDS,
    COARSE,
    NOWHERE,
    OTHERS,
    SiteTally,
    Tally,
    cumulated,
    quantile,
)

FORMS = [access.form(text) for text in ("json", "combined", "{site} {status}")]
SITES = ["a.test", "b.test", "b.test/blog", "c.test"]


def plain(counts):
    """Counts by BOUNDS of times, counted one by one."""
    found = [0] * (len(BOUNDS) + 1)
    for one in counts:
        found[sum(bound < one for bound in BOUNDS)] += 1
    return found


def entry(form, site, status, first_byte, total, how=None, client=b"::1"):
    who = form.who(client, site.encode(), b"\r\nUser-Agent: x\r\n")
    ending = form.at_once if how is None else form.how(*how)
    return (b"t", who, form.nothing, status, 1, 2, first_byte, total, ending)


TIMES = st.one_of(
    st.sampled_from([*BOUNDS, 0.0, 1000.0, 0.00012, 3600.0]),
    st.floats(0, 200, allow_subnormal=False),
)
STATUSES = st.sampled_from([200, 200, 204, 301, 304, 404, 500, 503])
SERVED = st.builds(
    lambda site, status, first, more, how: (site, status, first, first + more, how),
    st.sampled_from(SITES),
    STATUSES,
    TIMES,
    st.one_of(st.just(0.0), st.just(0.0), TIMES),
    st.one_of(
        st.none(),
        st.none(),
        st.tuples(
            st.sampled_from([b"warm", b"cold"]),
            TIMES,
            TIMES,
            st.sampled_from([b"", b"the client went away"]),
            st.sampled_from([b"", b"unnoticed", b"refused", b"queue_full"]),
        ),
    ),
)


@given(st.sampled_from(FORMS), st.lists(st.lists(SERVED, max_size=30), max_size=5))
def test_as_a_plain_count_has_it(form, batches):
    tally = Tally(form)
    # so that it does not matter what tells that a host is a site
    tally.add(entry(form, site, 200, 0.0, 0.0) for site in SITES)
    for batch in batches:
        tally.add([entry(form, *one) for one in batch])
    requests = [(site, 200, 0.0, 0.0, None) for site in SITES]
    requests += [one for batch in batches for one in batch]
    assert set(tally.by_site) == set(SITES)
    for site, found in tally.by_site.items():
        its = [one for one in requests if one[0] == site]
        assert found.requests == len(its)
        classes = Counter(status // 100 for _, status, *_ in its)
        assert found.by_class == [classes[one] for one in range(6)]
        assert found.duration == plain(total for *_, total, _ in its)
        assert found.duration_sum == pytest.approx(sum(total for *_, total, _ in its))
        by_start = {b"warm": [], b"cold": []}
        for *_, first, _, how in its:
            start, _, _, end, reason = (b"warm", 0, 0, b"", b"") if how is None else how
            if not end and reason in (b"", b"unnoticed"):
                by_start[start].append(first)
        assert found.warm == plain(by_start[b"warm"])
        assert found.cold == plain(by_start[b"cold"])
        assert found.warm_sum == pytest.approx(sum(by_start[b"warm"]))
        assert found.cold_sum == pytest.approx(sum(by_start[b"cold"]))
        assert found.first_byte_sum == pytest.approx(found.warm_sum + found.cold_sum)
    together = SiteTally()
    for found in tally.by_site.values():
        together.include(found)
    assert together.requests == len(requests)
    for name in ("by_class", "warm", "cold", "duration"):
        columns = zip(*(getattr(found, name) for found in tally.by_site.values()), strict=True)
        assert getattr(together, name) == [sum(column) for column in columns]
    assert together.duration_sum == pytest.approx(
        sum(found.duration_sum for found in tally.by_site.values())
    )
    assert together.first_byte_sum == pytest.approx(
        sum(found.first_byte_sum for found in tally.by_site.values())
    )
    own = Counter(
        how[4].decode()
        for *_, how in requests
        if how is not None and not how[3] and how[4] in (b"refused", b"queue_full")
    )
    assert tally.own == own
    waits = [how[1] for *_, how in requests if how is not None and how[1]]
    if form is FORMS[0]:  # which tells microseconds
        waits = [round(one, 6) for one in waits if round(one, 6)]
    assert sum(tally.queued.counts) == len(waits)
    assert tally.queued.total == pytest.approx(sum(waits), abs=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_what_was_cut_off_before_its_answer_is_of_class_0(form):
    tally = Tally(form)
    tally.add([entry(form, "a.test", 200, 0.1, 0.1)])
    tally.add([entry(form, "a.test", 0, 0.0, 2.0, (b"warm", 0.0, 0.0, b"the client went away"))])
    found = tally.by_site["a.test"]
    assert found.by_class == [1, 0, 1, 0, 0, 0]
    assert sum(found.warm) == 1
    assert found.duration == plain([0.1, 2.0])


# Only a site is counted by name: hosts may be anything.

NO_SITES = [
    (404, (b"", 0.0, 0.0, b"")),  # turned away
    (502, (b"", 0.0, 0.0, b"")),  # nobody can tell whether it is one
    (400, (b"", 0.0, 0.0, b"the request line is malformed")),
    (404, (b"cold", 0.0, 0.1, b"", b"refused")),  # it has no folder
    (404, (b"cold", 0.0, 0.1, b"", b"no_site")),
    (413, (b"warm", 0.0, 0.0, b"", b"refused")),
    (0, (b"cold", 0.0, 0.1, b"the client went away")),
]
OF_SITES = [
    (200, None),
    (404, (b"cold", 0.0, 0.1, b"")),
    (308, (b"", 0.0, 0.0, b"")),
    (503, (b"", 0.0, 0.0, b"", b"maintenance")),
    (503, (b"", 0.0, 0.0, b"", b"waiting")),
    (502, (b"cold", 0.0, 1.0, b"", b"start_failed")),
    (504, (b"warm", 0.0, 0.0, b"", b"refused")),
    (200, (b"warm", 0.0, 0.0, b"the client went away")),
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("status", "how"), NO_SITES)
def test_hosts_that_are_no_sites_are_counted_together(form, status, how):
    tally = Tally(form)
    tally.add([entry(form, f"{at}.test", status, 0.1, 0.1, how) for at in range(3)])
    assert list(tally.by_site) == [NOWHERE]
    assert tally.by_site[NOWHERE].requests == 3
    # what is a site stays one
    tally.add([entry(form, "1.test", 200, 0.1, 0.1), entry(form, "1.test", status, 0.1, 0.1, how)])
    assert tally.by_site["1.test"].requests == 2


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("status", "how"), OF_SITES)
def test_sites_are_counted_by_name(form, status, how):
    tally = Tally(form)
    tally.add([entry(form, f"{at}.test", status, 0.1, 0.1, how) for at in range(3)])
    assert list(tally.by_site) == ["0.test", "1.test", "2.test"]


@pytest.mark.parametrize("form", FORMS)
def test_a_head_that_cannot_be_read_is_of_no_site(form):
    tally = Tally(form)
    how = form.how(b"", 0.0, 0.0, b"the request line is malformed")
    tally.add([(b"t", form.who(b"::1", b"", b""), form.nothing, 400, 0, 9, 0.0, 0.0, how)])
    assert list(tally.by_site) == [NOWHERE]


@pytest.mark.parametrize("form", FORMS)
def test_too_many_sites_are_others(form):
    """And what is remembered of clients is bounded, too."""
    tally = Tally(form, most=3)
    for client in range(3000):
        address = b"%d" % client
        tally.add(entry(form, f"{at}.test", 200, 0.1, 0.1, None, address) for at in range(5))
    assert list(tally.by_site) == ["0.test", "1.test", "2.test", OTHERS]
    assert tally.by_site["0.test"].requests == 3000
    assert tally.by_site[OTHERS].requests == 6000
    assert len(tally._plain) <= 4096


# Quantiles


@given(st.lists(st.floats(0.0001, 100), min_size=1), st.floats(0.01, 1))
def test_a_quantile_is_in_the_step_of_the_true_one(times, q):
    counts = plain(times)
    found = quantile(counts, q)
    rank = q * len(times)
    true = sorted(times)[max(0, min(len(times) - 1, int(-(-rank // 1)) - 1))]
    at = sum(bound < true for bound in BOUNDS)
    lower = BOUNDS[at - 1] if at else 0.0
    assert lower * (1 - 1e-9) <= found <= BOUNDS[at] * (1 + 1e-9)


def test_quantiles_at_the_ends():
    assert quantile([0] * (len(BOUNDS) + 1), 0.5) is None
    assert quantile(plain([1000.0, 2000.0]), 0.5) == 100.0
    assert quantile(plain([0.1]), 1.0) == 0.1
    assert 0.08 <= quantile(plain([0.1]), 0.0) < 0.1


@given(st.lists(TIMES))
def test_prometheus_is_told_how_many_were_not_longer(times):
    told = cumulated(plain(times))
    assert [bound for bound, _ in told] == list(COARSE)
    for bound, count in told:
        assert count == sum(one <= bound for one in times)


def test_the_coarse_bounds_are_some_of_the_others():
    assert set(COARSE) < set(BOUNDS)
    assert COARSE[:4] == (0.0001, 0.00025, 0.0005, 0.001)
    assert COARSE[-3:] == (25.0, 50.0, 100.0)
    assert list(BOUNDS) == sorted(BOUNDS)
    assert len(BOUNDS) == 61

"""What is added up of sites: events, the time that servers live, and requests."""

import json

import pytest

from luisito.core.accounts import ADDED, COLD, LONGEST, MAX_EVENTS, WARM, Accounts, cut
from luisito.core.events import Event, Kind
from luisito.core.tally import BOUNDS, NOWHERE, OTHERS

AT = 1_700_000_000.0


def event(kind, site="a", number=1, **facts):
    facts = {"words": "words", **facts}
    return Event(number=number, at=AT, site=site, kind=kind, **facts)


class Counted:
    """Requests of a site since the beginning."""

    def __init__(self, by_class=(0,) * 6, warm=None, cold=None):
        self.by_class = list(by_class)
        self.warm, self.cold = ([(at or {}).get(i, 0) for i in range(62)] for at in (warm, cold))


def rows(accounts):
    """{site: what is not 0 or None}, and {(site, warmth, place): number}."""
    batch = accounts.take(AT)
    sites = {}
    for name, at, uid, *counts, last_exit, last_failure in json.loads(batch.sites):
        assert at == AT
        found = dict(zip(ADDED, counts, strict=True))
        found |= {"uid": uid, "last_exit": last_exit, "last_failure": last_failure}
        sites[name] = {key: value for key, value in found.items() if value}
    return sites, {(name, *key): n for name, *key, n in json.loads(batch.buckets)}


def test_who_asks_in_another_thread_is_told_of_sites_as_they_are_now():
    accounts = Accounts(100.0)
    accounts.event(event(Kind.READY, "a", seconds=0.5, uid=7), 100.0)
    accounts.event(event(Kind.FAILED, "b", words="it cannot"), 100.0)
    accounts.requests("a", Counted((0, 0, 3, 0, 0, 0), {5: 3}))
    same = accounts.of_sites()
    accounts.event(event(Kind.READY, "a", seconds=1.0), 100.0)
    accounts.requests("a", Counted((0, 0, 4, 0, 0, 0), {5: 4}))
    assert not same.waiting
    sites, buckets = rows(same)
    assert not same
    assert sites["a"] == {"readies": 1, "started": 0.5, "uid": 7, "requests": 3, "c2xx": 3}
    assert sites["b"] == {"failures": 1, "last_failure": "it cannot"}
    assert buckets == {("a", WARM, 5): 3}
    sites, buckets = rows(accounts)
    assert (sites["a"]["readies"], buckets) == (2, {("a", WARM, 5): 4})


def test_each_event_counts_for_its_site():
    accounts = Accounts(100.0)
    assert not accounts
    accounts.event(event(Kind.WAKE), 100.0)
    accounts.event(event(Kind.READY, seconds=0.5, uid=7), 100.5)
    accounts.event(event(Kind.EVICTED, seconds=0.5, other="b"), 109.0)
    accounts.event(event(Kind.EXITED, seconds=9.5, words="pid 5 exited\nwith this"), 109.5)
    accounts.event(event(Kind.REFUSED, "b", count=12), 110.0)
    accounts.event(event(Kind.FAILED, "b", words="it cannot; its last output:\nTraceback"), 110.0)
    accounts.event(event(Kind.STOPPED, "b"), 110.0)
    accounts.event(event(Kind.KILLED, "b"), 110.0)
    assert accounts
    assert len(accounts.waiting) == 8
    sites, buckets = rows(accounts)
    assert sites == {
        "a": {
            "starts": 1, "readies": 1, "started": 0.5, "evictions": 1, "alive": 9.5, "stays": 1,
            "stayed": 9.5, "uid": 7, "last_exit": "pid 5 exited",
        },
        "b": {"refused": 12, "failures": 1, "last_failure": "it cannot"},
    }  # fmt: skip
    assert not buckets
    assert not accounts


def test_a_worker_counts_for_nothing_but_its_site_s_user():
    accounts = Accounts(0.0)
    accounts.event(event(Kind.EXITED, worker="celery", seconds=5.0, uid=7), 9.0)
    assert len(accounts.waiting) == 1
    assert rows(accounts)[0] == {"a": {"uid": 7}}


def test_an_end_of_unknown_age_is_no_stay():
    accounts = Accounts(0.0)
    accounts.event(event(Kind.EXITED), 9.0)
    accounts.event(event(Kind.READY), 9.0)
    assert rows(accounts)[0] == {"a": {"readies": 1, "last_exit": "words"}}


def test_no_second_of_a_server_counts_twice():
    accounts = Accounts(100.0)
    accounts.lived([("a", 40.0), ("a#2", 105.0), ("b", 120.0)], 110.0)
    assert {site: row["alive"] for site, row in rows(accounts)[0].items() if row} == {"a": 15.0}
    accounts.event(event(Kind.EXITED, seconds=74.0), 114.0)
    accounts.lived([("a#2", 105.0)], 120.0)
    assert rows(accounts)[0]["a"]["alive"] == 14.0


def test_only_what_is_new_of_requests_is_added():
    accounts = Accounts(0.0)
    accounts.requests("a", Counted((0, 0, 3, 0, 1, 0), {4: 2}, {20: 1}))
    assert rows(accounts) == (
        {"a": {"requests": 4, "c2xx": 3, "c4xx": 1}},
        {("a", WARM, 4): 2, ("a", COLD, 20): 1},
    )
    accounts.requests("a", Counted((0, 0, 3, 0, 1, 0), {4: 2}, {20: 1}))
    assert not accounts
    accounts.requests("a", Counted((1, 0, 5, 0, 1, 0), {4: 3, 5: 1}, {20: 1}))
    accounts.requests("a#2", Counted((0, 0, 1, 0, 0, 0), {4: 1}))
    assert rows(accounts) == (
        {"a": {"requests": 4, "cut_off": 1, "c2xx": 3}},
        {("a", WARM, 4): 2, ("a", WARM, 5): 1},
    )
    accounts.requests(NOWHERE, Counted((0, 0, 0, 0, 9, 0)))
    assert not accounts


def test_all_places_of_the_tally_are_written():
    counted = Counted((0, 0, 1, 0, 0, 0), {len(BOUNDS): 1})
    accounts = Accounts(0.0)
    accounts.requests("a", counted)
    assert rows(accounts)[1] == {("a", WARM, len(BOUNDS)): 1}


def test_sites_and_events_are_bounded():
    accounts = Accounts(0.0, most=2)
    for number in range(MAX_EVENTS + 3):
        accounts.event(event(Kind.WAKE, f"site{number % 4}", number), 0.0)
    assert accounts.dropped == 3
    assert [one.number for one in accounts.waiting[:2]] == [3, 4]
    assert set(rows(accounts)[0]) == {"site0", "site1", OTHERS}


def test_a_batch_has_not_too_much_at_once():
    accounts = Accounts(0.0)
    for number in range(600):
        accounts.event(event(Kind.WAKE, f"site{number}", number), 0.0)
    batches = []
    while accounts:
        batches.append(accounts.take(AT))
    assert len(batches) == 3
    assert [name for one in batches for name, *_ in json.loads(one.sites)] == [
        f"site{number}" for number in range(600)
    ]
    assert [one.number for each in batches for one in each.waiting] == list(range(600))


def test_events_are_rows_of_their_attributes():
    accounts = Accounts(0.0)
    accounts.event(event(Kind.EXITED, number=5, seconds=1.5, signal=9), 0.0)
    batch = accounts.take(AT)
    assert json.loads(batch.events) == [
        [5, AT, "a", "exited", "words", None, None, None, 1.5, None, None, 1, None, 9]
    ]
    assert [one.number for one in batch.waiting] == [5]


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("plain\nlines", "plain\nlines"),
        ("a \x1b[31m\x00 \udc80", "a \\x1b[31m\\x00 \\udc80"),
        ("x" * 3000, "x" * LONGEST),
    ],
)
def test_words_are_short_and_safe_to_show(words, kept):
    assert cut(event(Kind.FAILED, words=words)).words == kept
    kept.encode()

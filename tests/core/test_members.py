"""Keys of several servers of one site, and which of them is the least busy one."""

from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from luisito.core.keys import key_of, site_of
from luisito.core.members import Members, each, first_of, is_further, is_number, keys_of
from tests.core.directories import record


def test_keys():
    assert keys_of("a.example", 1) == ("a.example",)
    keys = keys_of(key_of("a.example", "/api"), 32)
    assert keys[:2] == ("a.example/api", "a.example/api#2")
    assert len(set(keys)) == 32
    assert {first_of(key) for key in keys} == {"a.example/api"}
    assert {site_of(key) for key in (*keys, *keys_of("a.example", 3))} == {"a.example"}
    assert [is_further(key) for key in keys] == [False] + [True] * 31


def test_what_may_stand_behind_a_key():
    assert all(is_number(key.removeprefix("a")) for key in keys_of("a", 32))
    for odd in ("#", "#1", "#0", "#02", "#x", "#100", "#2#3", "#2 ", "2", "/2", "#\u0662", "#2\n"):
        assert not is_number(odd)


def test_records_of_each():
    (alone,) = each(record("a.example"))
    assert alone == record("a.example")
    said = record("a.example", members=3, processes=[{"name": "w"}], mounts=[1], digest="d")
    first, second, third = each(said)
    assert first is said
    assert second == {**said, "site": "a.example#2", "processes": [], "mounts": []}
    assert third["site"] == "a.example#3"


LEASES = st.lists(st.none() | st.integers(0, 3), min_size=1, max_size=6)


@given(st.lists(LEASES, min_size=1, max_size=10), st.integers(1, 6))
def test_the_least_busy_one(moments, count):
    """Against a plain model: of those that fit, the one after that which was chosen last."""
    keys = keys_of("a", count)
    members = Members(keys)
    last = -1
    for leases in moments:
        there = dict(zip(keys, leases, strict=False))
        ready = {k: SimpleNamespace(leases=n) for k, n in there.items() if n is not None}
        key = members.least_busy({**ready, "b": SimpleNamespace(leases=0)})
        if not ready:
            assert key is None
            continue
        least = min(server.leases for server in ready.values())
        fit = [at for at, k in enumerate(keys) if k in ready and ready[k].leases == least]
        last = min(fit, key=lambda at: (at - last - 1) % count)
        assert key == keys[last]


def test_in_turn():
    members = Members(keys_of("a", 3))
    ready = {key: SimpleNamespace(leases=0) for key in members.keys}
    assert [members.least_busy(ready) for _ in range(4)] == ["a", "a#2", "a#3", "a"]

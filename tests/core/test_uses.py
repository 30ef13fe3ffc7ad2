"""How often sites are used, as it is counted, told, written and read."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luisito.core.lifecycle import Server, State
from luisito.core.uses import HALF_LIFE, VISIT, Used, Uses, read, written

USED = st.builds(
    Used,
    st.text(max_size=40),
    st.floats(0, 1e6).map(lambda uses: round(uses, 4)),
    st.none() | st.integers(0, 2**50),
)


def server(site, number=1):
    made = Server(number, site, 0.0)
    made.state = State.READY
    made.ready_at = made.used_at = 0.0
    return made


def use(of, at, times=1):
    of.released += times
    of.used_at = at


def test_a_site_used_now_and_then_is_hotter_than_one_burst():
    """A hundred requests within a minute are one use; half of them count after a day."""
    uses, burst, habit = Uses(), server("burst"), server("habit")
    use(burst, 10.0, 100)
    for minute in range(1, 6):
        use(habit, minute * VISIT)
        uses.count(habit)
    uses.count(burst)
    (first, most), (second, less) = uses.hottest(5 * VISIT, 9)
    assert (first, second) == ("habit", "burst")
    assert most == pytest.approx(5, rel=0.01)
    assert less == pytest.approx(70 / 60, rel=0.01)
    later = dict(uses.hottest(5 * VISIT + HALF_LIFE, 9))
    assert later["habit"] == pytest.approx(most / 2)
    assert uses.rate(habit, 5 * VISIT) == pytest.approx(most * math.log(2) / HALF_LIFE)


def test_nothing_new_is_no_change():
    uses, one = Uses(), server("a")
    use(one, 5.0)
    uses.count(one)
    before = uses.changes
    uses.count(one)
    one.released += 1
    one.unnoticed += 1
    uses.count(one)
    uses.leave(one)
    assert uses.changes == before


def test_the_servers_of_a_site_count_together():
    uses = Uses()
    uses.remember([("a", 3.0), ("b", 4.0), ("a#2", 2.0), ("b/api", 1.0)], 0.0)
    found = uses.hottest(0.0, 9)
    assert [site for site, _ in found] == ["a", "b", "b/api"]
    assert found[0][1] == pytest.approx(5.0, rel=0.01)
    assert uses.hottest(0.0, 2) == found[:2]


def test_what_was_counted_before_goes_on():
    """Of a server that is adopted one use is counted twice at most; one that is new counts."""
    uses, one = Uses(), server("a")
    uses.remember([("a", 7.0)], 1000.0)
    use(one, 900.0, 50)
    assert uses.count(one)[0] == pytest.approx(7.0, rel=0.01)
    use(one, 1000.0)
    assert uses.count(one)[0] == pytest.approx(8.0, rel=0.01)


@given(st.lists(USED, max_size=20))
def test_what_is_written_can_be_read(used):
    assert read(written(used)) == used


def test_it_is_not_written_without_end():
    used = [Used("s" * 300, 1.0)] * 10_000
    data = written(used)
    assert len(data) < 600_000
    assert 1000 < len(read(data)) < 2000


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"[]", b"7", b"null", b"{}", b'{"version": 2, "sites": []}', b"[" * 100_000,
        b'{"version": 1}', b'{"version": 1, "sites": 3}', b'{"version": 1, "sites": [3]}',
        b'{"version": 1, "sites": [["a"]]}', b'{"version": 1, "sites": [["a", "b", null]]}',
        b'{"version": 1, "sites": [[1, 1.0, null]]}', b'{"version": 1, "sites": [["a", -1, null]]}',
        b'{"version": 1, "sites": [["a", NaN, null]]}', b'{"version": 1, "sites": [["a", 1, -1]]}',
        b'{"version": 1, "sites": [["a", Infinity, 1]]}', b"\xff\xfe\x00",
        b'{"version": 1, "sites": [["a", 1, "1"]]}',
    ],
)  # fmt: skip
def test_what_is_none_of_ours_is_refused(data):
    with pytest.raises(ValueError):  # noqa: PT011 - whatever it says
        read(data)


@given(st.binary(max_size=60))
def test_whatever_is_there_is_read_or_refused(data):
    try:
        read(data)
    except ValueError:
        pass

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from luisito.core.wakes import MINUTE, Wakes


def test_as_many_as_may_be_and_then_when_the_first_is_a_minute_old():
    wakes = Wakes(2)
    assert wakes.admit(b"a", 100.0) == 0
    assert wakes.admit(b"a", 130.0) == 0
    assert wakes.admit(b"a", 131.0) == 29.0
    assert wakes.admit(b"b", 131.0) == 0
    assert wakes.admit(b"a", 159.5) == 0.5
    assert wakes.admit(b"a", 160.0) == 0
    assert wakes.admit(b"a", 160.0) == 30.0


def test_the_oldest_is_forgotten():
    wakes = Wakes(1, places=2)
    assert [wakes.admit(place, 0.0) for place in (b"a", b"b")] == [0, 0]
    assert wakes.admit(b"a", 1.0) > 0  # which is remembered longer for that
    assert wakes.admit(b"c", 1.0) == 0
    assert len(wakes) == 2
    assert wakes.admit(b"a", 1.0) > 0
    assert wakes.admit(b"b", 1.0) == 0


@given(
    st.integers(1, 4),
    st.integers(1, 4),
    st.lists(st.tuples(st.sampled_from(b"abcdef"), st.sampled_from([0.0, 1.0, 20.0, 45.0, 60.0]))),
)
def test_as_a_list_of_all_that_were_counted(most, places, asks):
    """A place that is remembered never has more within a minute; what is told is exact."""
    wakes, now = Wakes(most, places), 0.0
    counted: dict[int, list[float]] = {}
    for place, later in asks:
        now += later
        if place not in counted and len(counted) == places:
            del counted[next(iter(counted))]
        times = counted.pop(place, [])
        counted[place] = times
        lately = [time for time in times if time + MINUTE > now]
        wait = wakes.admit(bytes([place]), now)
        assert (wait == 0) == (len(lately) < most)
        if wait:
            assert wait == lately[-most] + MINUTE - now
        else:
            times.append(now)
        assert len(wakes) == len(counted) <= places

"""Pieces of work that take too long."""

from hypothesis import given
from hypothesis import strategies as st

from luisito.core.stall import Stalls


def test_work_that_is_seen_for_too_long():
    stalls, work = Stalls(50), object()
    assert stalls.look(work, 1000) is None
    assert stalls.look(work, 1020) is None
    assert stalls.look(work, 1050) is None
    stall = stalls.look(work, 1060)
    assert stall.seconds == 60
    assert stalls.look(work, 1500) is stall
    assert stall.seconds == 500
    assert stalls.look(object(), 1600) is None
    assert stall.seconds == 500


def test_many_short_pieces_are_no_stall():
    stalls = Stalls(0.05)
    for look in range(100):
        assert stalls.look(object(), look * 0.02) is None


def test_nothing_is_no_work():
    stalls = Stalls(0.05)
    assert stalls.look(None, 0.0) is None
    assert stalls.look(None, 9.0) is None


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 40)), max_size=30))
def test_a_stall_is_told_exactly_when_looks_at_the_same_work_are_so_far_apart(looks):
    stalls, pieces = Stalls(50), [None, object(), object(), object()]
    now, before, since = 0, None, 0
    for piece, later in looks:
        now += later
        if piece != before:
            before, since = piece, now
        stall = stalls.look(pieces[piece], now)
        held = now - since if piece else 0
        assert (stall.seconds if stall else 0) == (held if held > 50 else 0)

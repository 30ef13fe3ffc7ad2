import pytest
from hypothesis import given
from hypothesis import strategies as st

from luisito.core.bucket import Bucket, Seldom


def test_it_is_full_at_first():
    bucket = Bucket(100, 0.0)
    assert bucket.take(60, 0.0) == 0
    assert bucket.take(40, 0.0) == 0
    assert bucket.take(50, 0.0) == 0.5


def test_what_is_owed_is_paid_by_waiting():
    bucket = Bucket(100, 0.0)
    assert bucket.take(300, 0.0) == 2
    assert bucket.take(0, 1.0) == 1
    assert bucket.take(0, 2.0) == 0
    assert bucket.take(1, 2.0) == pytest.approx(0.01)


def test_it_holds_one_second_s_worth():
    bucket = Bucket(100, 0.0)
    bucket.take(100, 0.0)
    assert bucket.take(100, 1000.0) == 0
    assert bucket.take(1, 1000.0) > 0


def test_a_clock_that_goes_back_adds_nothing():
    bucket = Bucket(100, 10.0)
    bucket.take(100, 10.0)
    assert bucket.take(0, 5.0) == 0
    assert bucket.take(100, 5.0) == 1
    assert bucket.take(0, 6.0) == 0


@given(
    rate=st.integers(1, 10**9),
    steps=st.lists(st.tuples(st.integers(1, 65536), st.floats(0, 5)), max_size=50),
)
def test_whoever_waits_as_told_keeps_to_the_rate(rate, steps):
    bucket, now, taken, owed = Bucket(rate, 0.0), 0.0, 0, 0.0
    for amount, pause in steps:
        now += max(pause, owed)
        owed = bucket.take(amount, now)
        taken += amount
        assert taken <= rate * (now + 1) * (1 + 1e-9) + amount
        assert owed >= 0


def test_what_happens_often_is_told_seldom():
    seldom = Seldom(10)
    assert [seldom.happened(now) for now in (0, 0, 9.9, 10, 10, 25)] == [1, 0, 0, 3, 0, 2]

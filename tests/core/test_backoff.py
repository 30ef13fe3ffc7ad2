from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luisito.core.backoff import BackOff


@pytest.mark.parametrize(
    ("failures", "least", "most"),
    [(1, 0.5, 1), (2, 1, 2), (3, 2, 4), (6, 16, 32), (7, 30, 60), (8, 30, 60), (10**9, 30, 60)],
)
def test_it_doubles_up_to_the_cap_and_half_of_it_is_random(failures, least, most):
    assert BackOff().delay(failures, lambda: 0.0) == least
    assert BackOff().delay(failures, lambda: 1.0) == most


def test_a_factor_of_one_is_a_constant_delay():
    assert BackOff(base=3, factor=1).delay(10**9, lambda: 1.0) == 3


def test_a_base_above_the_cap_is_capped():
    assert BackOff(base=100, cap=10).delay(1, lambda: 1.0) == 10


@given(
    failures=st.integers(1, 5000),
    base=st.floats(0.001, 100),
    factor=st.floats(1, 1e6),
    cap=st.floats(0.001, 1e6),
    jitter=st.floats(0, 1),
)
def test_it_stays_in_its_bounds_and_never_shrinks(failures, base, factor, cap, jitter):
    back_off = BackOff(base=base, factor=factor, cap=cap)
    delay = back_off.delay(failures, lambda: jitter)
    assert min(base, cap) / 2 <= delay <= cap
    assert delay <= back_off.delay(failures + 1, lambda: jitter)


@pytest.mark.parametrize("wrong", [{"base": 0}, {"factor": 0.5}, {"cap": 0}, {"steady": -1}])
def test_senseless_figures_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        BackOff(**wrong)


def test_a_failure_is_remembered_beyond_its_delay():
    back_off = BackOff()
    assert back_off.forget > back_off.delay(1000, lambda: 1.0)

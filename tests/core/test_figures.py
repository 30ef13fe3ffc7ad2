"""What is told of a site's statistics."""

import pytest

from luisito.core.accounts import ADDED
from luisito.core.figures import figures
from luisito.core.tally import BOUNDS

NOW = 1_700_000_000.0


def row(**counts):
    about = {"name": "a", "first_at": NOW - 86_400.0, "last_at": NOW, "uid": None}
    return {**about, **dict.fromkeys(ADDED, 0), "last_exit": None, "last_failure": None, **counts}


def test_a_site_of_which_nothing_is_known_tells_nothing():
    found = figures(row(first_at=NOW), "", "", NOW)
    assert [name for name, value in found.items() if value is None] == [
        "requests_a_day", "pool_seconds", "start_seconds", "warm_p50_seconds", "warm_p95_seconds",
        "cold_p50_seconds", "cold_p95_seconds", "cold_share", "last_exit", "last_failure",
    ]  # fmt: skip


def test_means_shares_and_quantiles():
    counts = {"requests": 6, "c2xx": 5, "cut_off": 1, "stays": 2, "stayed": 90.0, "alive": 100.5}
    counts |= {"readies": 4, "started": 2.0, "starts": 5, "failures": 1, "evictions": 2}
    warm, cold = BOUNDS.index(0.01), BOUNDS.index(1.0)
    found = figures(row(**counts), f"{warm}:3,{warm - 1}:0", f"{cold}:1", NOW)
    assert found["requests_a_day"] == 6
    assert found["by_class"] == [1, 0, 5, 0, 0, 0]
    assert (found["pool_seconds"], found["start_seconds"]) == (45.0, 0.5)
    assert found["alive_seconds"] == 100.5
    assert (found["warm"], found["cold"], found["cold_share"]) == (3, 1, 0.25)
    assert 0.008 < found["warm_p50_seconds"] < found["warm_p95_seconds"] <= 0.01
    assert 0.8 < found["cold_p50_seconds"] <= 1.0


@pytest.mark.parametrize(("seconds", "a_day"), [(3599.0, None), (3600.0, 240.0), (43_200.0, 20.0)])
def test_requests_a_day_are_told_after_an_hour(seconds, a_day):
    found = figures(row(requests=10, first_at=NOW - seconds), "", "", NOW)
    assert found["requests_a_day"] == a_day


def test_places_that_another_luisito_had_are_passed_over():
    found = figures(row(), f"{len(BOUNDS)}:1,{len(BOUNDS) + 1}:4", "", NOW)
    assert found["warm"] == 1

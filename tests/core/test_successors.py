"""Who serves, who comes next: facts in, orders out."""

import pytest

from luisito.core.succession import (
    AGAIN,
    CRASHES,
    CRASHES_WITHIN,
    HUNG_FOR,
    LONGEST_QUIET,
    QUIET,
    READY_WITHIN,
    YIELD_WITHIN,
    End,
    Kill,
    NotReplaced,
    Start,
    Succession,
    Take,
    Yield,
)


@pytest.fixture
def served():
    """The first one, N0, serves; one that crashes is replaced."""
    made = Succession("N0")
    assert made.ready("N0", 0.0) == [Take("N0", None)]
    made.replaces = True
    return made


def asked(succession, now):
    """A successor is asked for, and is to be started."""
    succession.asked(now)
    assert succession.tick(now) == []
    due = succession.deadline()
    assert succession.tick(due) == [Start(crashed=False)]
    return due


def test_the_first_one_takes_as_soon_as_it_could(served):
    assert served.serving == "N0"
    assert served.deadline() is None


def test_one_after_the_other(served):
    now = asked(served, 1.0)
    assert served.started("N1", now) == []
    assert served.deadline() == now + READY_WITHIN
    assert served.ready("N1", now) == [Yield("N0", "N1")]
    assert served.yielding
    assert served.yielded("N1") == []
    assert served.yielded("N0") == [Take("N1", "N0")]
    assert served.yielded("N0") == []
    assert served.lost("N0", "it ended", now) == []
    assert served.serving == "N1"
    assert served.deadline() is None


def test_41_many_wishes_are_one(served):
    for number in range(100):
        served.asked(number / 1000)
    assert served.deadline() == pytest.approx(0.099 + QUIET)
    assert served.tick(0.3) == []
    assert served.tick(0.4) == [Start(crashed=False)]
    assert served.deadline() is None


def test_wishes_without_end_do_not_put_it_off(served):
    now = 0.0
    while not served.tick(now):
        served.asked(now)
        now += QUIET / 2
    assert now == pytest.approx(LONGEST_QUIET, abs=QUIET)


def test_a_wish_while_one_starts_leads_to_one_more(served):
    now = asked(served, 1.0)
    served.started("N1", now)
    served.asked(now)
    assert served.tick(now + 2) == []
    served.ready("N1", now + 2)
    served.yielded("N0")
    assert served.tick(now + 2) == [Start(crashed=False)]


def test_a_wish_before_the_first_one_serves_waits_for_it():
    made = Succession("N0")
    made.asked(0.0)
    assert made.deadline() is None
    made.ready("N0", 5.0)
    assert made.tick(5.0) == [Start(crashed=False)]


def test_one_that_fails_changes_nothing(served):
    now = asked(served, 1.0)
    served.started("N1", now)
    assert served.lost("N1", "no such setting", now) == [NotReplaced("N0", "no such setting")]
    assert served.ready("N1", now) == []
    now = asked(served, 2.0)
    assert served.not_started("no memory", now) == [NotReplaced("N0", "no memory")]


def test_one_that_is_late_is_killed(served):
    now = asked(served, 1.0)
    served.started("N1", now)
    assert served.tick(now + READY_WITHIN) == [Kill("N1")]
    assert served.ready("N1", now + READY_WITHIN) == []
    (told,) = served.lost("N1", "it was killed", now + READY_WITHIN)
    assert told == NotReplaced("N0", "its successor could not serve within 60 s")


def test_one_that_does_not_yield_is_followed_all_the_same(served):
    now = asked(served, 1.0)
    served.started("N1", now)
    served.ready("N1", now)
    assert served.deadline() == now + YIELD_WITHIN
    assert served.tick(now + YIELD_WITHIN) == [Take("N1", "N0")]


def followed_all_the_same(succession):
    """N0 has not yielded, and N1 serves; returns when N0 is given up."""
    now = asked(succession, 1.0)
    succession.started("N1", now)
    succession.ready("N1", now)
    succession.tick(now + YIELD_WITHIN)
    due = now + YIELD_WITHIN + HUNG_FOR
    assert succession.deadline() == due
    return due


def test_one_that_hangs_is_killed(served):
    due = followed_all_the_same(served)
    assert served.tick(due - 1) == []
    assert served.tick(due) == [Kill("N0")]
    assert served.tick(due) == []
    assert served.deadline() is None


@pytest.mark.parametrize("how", ["it yields after all", "it ends"])
def test_one_that_hangs_no_more_is_not_killed(served, how):
    due = followed_all_the_same(served)
    orders = served.lost("N0", "", due) if how == "it ends" else served.yielded("N0")
    assert orders == []
    assert served.deadline() is None
    assert served.tick(due) == []


def test_one_that_dies_while_it_yields_is_followed_at_once(served):
    now = asked(served, 1.0)
    served.started("N1", now)
    served.ready("N1", now)
    assert served.lost("N0", "a fault", now) == [Take("N1", None)]


def test_whoever_was_yielded_to_dies(served):
    """The one that has yielded has let go of all: another one is started at once."""
    now = asked(served, 1.0)
    served.started("N1", now)
    served.ready("N1", now)
    assert served.lost("N1", "a fault", now) == [Start(crashed=True)]
    served.started("N2", now)
    assert served.yielded("N0") == []
    assert served.ready("N2", now) == [Take("N2", "N0")]


def test_whoever_was_yielded_to_dies_before_that_is_told(served):
    now = asked(served, 1.0)
    served.started("N1", now)
    served.ready("N1", now)
    served.lost("N1", "a fault", now)
    served.started("N2", now)
    assert served.ready("N2", now) == []
    assert served.yielded("N0") == [Take("N2", "N0")]


def test_both_die_while_one_yields(served):
    now = asked(served, 1.0)
    served.started("N1", now)
    served.ready("N1", now)
    served.lost("N1", "a fault", now)
    served.started("N2", now)
    assert served.lost("N0", "a fault", now) == []
    assert served.ready("N2", now) == [Take("N2", None)]


def test_30_a_crash_is_replaced(served):
    assert served.lost("N0", "killed", 1.0) == [Start(crashed=True)]
    served.started("N1", 1.0)
    assert served.terminated() is None
    assert served.ready("N1", 1.0) == [Take("N1", None)]


def test_30_a_crash_is_the_end(served):
    served.replaces = False
    (end,) = served.lost("N0", "killed", 1.0)
    assert end == End(1, "the network process has ended without being told to: killed")


def test_a_crash_while_a_successor_starts(served):
    now = asked(served, 1.0)
    served.started("N1", now)
    assert served.lost("N0", "killed", now) == []
    assert served.ready("N1", now) == [Take("N1", None)]


def test_too_many_crashes_are_the_end(served):
    link = served.serving
    for now in range(CRASHES - 1):
        assert served.lost(link, "killed", now) == [Start(crashed=True)]
        link = object()
        served.started(link, now)
    (end,) = served.lost(link, "killed", CRASHES)
    assert end.status == 1
    assert "5 network processes have crashed within 60 s, the last one: killed" in end.words


def test_a_start_that_fails_where_nobody_serves_is_tried_again(served):
    """A moment later: what there was none of just now may have come free."""
    assert served.lost("N0", "killed", 1.0) == [Start(crashed=True)]
    assert served.not_started("no memory", 1.0) == []
    assert served.deadline() == 1.0 + AGAIN
    assert served.tick(1.0 + AGAIN / 2) == []
    assert served.tick(1.0 + AGAIN) == [Start(crashed=True)]
    served.started("N1", 1.0 + AGAIN)
    assert served.deadline() == 1.0 + AGAIN + READY_WITHIN
    assert served.ready("N1", 5.0) == [Take("N1", None)]


def test_starts_that_fail_time_and_again_are_the_end(served):
    now = 1.0
    assert served.lost("N0", "killed", now) == [Start(crashed=True)]
    for _ in range(CRASHES - 2):
        assert served.not_started("no memory", now) == []
        now += AGAIN
        assert served.tick(now) == [Start(crashed=True)]
    (end,) = served.not_started("no memory", now)
    assert end.status == 1
    assert end.words.endswith("no memory")


def test_crashes_that_are_far_between_are_not(served):
    link = served.serving
    for number in range(3 * CRASHES):
        now = number * CRASHES_WITHIN / (CRASHES - 1)
        assert served.lost(link, "killed", now) == [Start(crashed=True)]
        link = object()
        served.started(link, now)
        served.ready(link, now)


def test_the_first_one_cannot_start():
    assert Succession("N0").lost("N0", "", 0.0) == [End(1, "")]


def test_the_first_one_is_stopped_while_it_starts():
    made = Succession("N0")
    assert made.terminated() == "N0"
    assert made.stops("N0") == []
    assert made.lost("N0", "", 0.0) == [End(0, "")]


def test_42_nobody_follows_one_that_stops(served):
    now = asked(served, 1.0)
    served.started("N1", now)
    served.asked(now)
    assert served.terminated() == "N0"
    assert served.stops("N0") == [Kill("N1")]
    assert served.lost("N1", "killed", now) == []
    served.asked(now)
    assert served.deadline() is None
    (end,) = served.lost("N0", "a fault", now)
    assert end.status == 1
    assert "while it was stopping: a fault" in end.words


def test_one_that_stops_does_not_yield(served):
    now = asked(served, 1.0)
    served.started("N1", now)
    served.ready("N1", now)
    assert served.stops("N0") == [Kill("N1")]
    assert served.yielded("N0") == []
    assert served.stops("N0") == [Kill("N1")]


def test_one_that_has_made_way_crashes(served):
    """Whoever waits for it can go on with the next one only."""
    assert served.orphaned() == [Start(crashed=True)]
    served.started("N1", 1.0)
    assert served.orphaned() == []  # that one will do
    assert served.ready("N1", 1.0) == [Yield("N0", "N1")]
    assert served.yielded("N0") == [Take("N1", "N0")]
    assert served.lost("N1", "killed", 2.0) == [Start(crashed=True)]
    assert served.orphaned() == []
    served.started("N2", 2.0)
    served.ready("N2", 2.0)
    served.stops("N2")
    assert served.orphaned() == []

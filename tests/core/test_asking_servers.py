"""Servers that are asked before they are stopped: beside the model, in single steps."""

import pytest

from luisito.core.busy import Said
from luisito.core.lifecycle import State
from luisito.core.memory import FIRST_GUESS
from luisito.core.orders import AskToStop
from tests.core.test_policy import Talk


def talk(**limits):
    return Talk(**{"pre_stop": "/may-stop", "busy_max": 100, **limits})


def answer(t, number, *, not_yet=False):
    return t.hear(t.policy.may_stop(t.servers[number], t.now, not_yet=not_yet))


def test_room_is_asked_for():
    t = talk(max_servers=1, overlap=1)
    t.awake("a")
    assert t.ask("b1") == ["ask a1"]
    assert t.servers[1].state is State.READY
    assert answer(t, 1) == ["terminate a1", "spawn b2"]
    assert answer(t, 1) == []


def test_who_says_not_yet_is_asked_again_until_its_time_is_over():
    t = talk(max_servers=2, overlap=1, busy_max=40)
    t.awake("a", "b")
    t.now = 10
    assert t.ask("c1") == ["ask a1"]
    assert t.ask("d1") == []  # one at a time
    assert answer(t, 1, not_yet=True) == ["ask b2"]
    assert t.policy.said(t.servers[1]) == Said(40, False, 0)
    assert answer(t, 2) == ["terminate b2", "spawn c3"]
    t.exited(2)
    assert t.policy.deadline() == 40
    assert t.at(40) == ["ask a1"]
    assert answer(t, 1, not_yet=True) == []
    assert t.policy.deadline() == 50
    assert t.at(50) == ["terminate a1", "spawn d4"]


def test_after_a_while_in_which_nobody_wanted_it_the_time_begins_anew():
    t = talk(idle_timeout=5, busy_max=20)
    t.awake("a")
    assert t.at(6) == ["ask a1"]
    assert answer(t, 1, not_yet=True) == []
    t.policy.limit("a", t.policy.limits.of_site(idle_timeout=90))
    assert t.at(26) == []
    assert t.at(91) == ["ask a1"]
    assert answer(t, 1, not_yet=True) == []
    assert t.at(111) == ["terminate a1"]


def test_a_use_cancels_the_question():
    t = talk(idle_timeout=5)
    t.awake("a")
    assert t.at(6) == ["ask a1"]
    assert t.policy.take("a") is t.servers[1]
    assert answer(t, 1) == []
    assert t.release(1) == []
    assert t.at(11) == ["ask a1"]
    assert t.policy.take("a") is t.servers[1]
    assert t.release(1) == []
    assert answer(t, 1, not_yet=True) == []
    assert t.servers[1].leases == 0


def test_one_without_an_idle_timeout_and_one_that_may_not_keep_itself():
    t = talk(max_servers=1, overlap=1, busy_max=0)
    t.awake("a")
    assert t.ask("b1") == ["ask a1"]
    assert answer(t, 1, not_yet=True) == ["terminate a1", "spawn b2"]


def test_one_that_is_replaced_is_asked_when_it_is_idle():
    t = talk(max_servers=2, busy_max=40)
    t.awake("a")
    assert t.policy.take("a") is t.servers[1]
    assert t.hear(t.policy.changed("a", t.now)) == ["spawn a2"]
    assert t.ready(2) == []
    assert t.servers[1].state is State.DRAINING
    assert t.release(1) == ["ask a1"]
    t.policy.busy(t.servers[1], t.now)
    assert answer(t, 1) == []
    assert t.hear(t.policy.busy_no_more(t.servers[1], t.now)) == ["ask a1"]
    assert answer(t, 1, not_yet=True) == []
    assert t.at(t.now + 30) == ["ask a1"]
    assert answer(t, 1) == ["terminate a1"]
    t.exited(1)
    # an idle one at once
    assert t.hear(t.policy.changed("a", t.now)) == ["spawn a3"]
    assert t.ready(3) == ["ask a2"]
    assert t.servers[2].state is State.DRAINING
    assert answer(t, 2) == ["terminate a2"]


@pytest.mark.parametrize("not_yet", [None, True])
def test_it_is_not_asked_where_somebody_says_stop(not_yet):
    t = talk(max_servers=2, idle_timeout=5)
    t.awake("a", "b")
    assert t.at(7) == ["ask a1", "ask b2"]
    if not_yet:
        assert answer(t, 1, not_yet=True) == []
    assert t.hear(t.policy.stop("a", t.now, "asked to")) == ["terminate a1"]
    assert t.hear(t.policy.shutdown(t.now)) == ["terminate b2"]
    assert answer(t, 1) == answer(t, 2) == []


def test_one_that_drains_goes_at_the_end():
    t = talk(max_servers=2)
    t.awake("a")
    assert t.hear(t.policy.changed("a", t.now)) == ["spawn a2"]
    assert t.ready(2) == ["ask a1"]
    assert t.hear(t.policy.shutdown(t.now)) == ["terminate a2", "terminate a1"]


def test_memory_is_asked_for():
    t = talk(max_servers=3, max_memory=4 * FIRST_GUESS)
    t.awake("a", "b")
    assert t.weighed(3 * FIRST_GUESS, 3 * FIRST_GUESS) == ["ask a1"]
    assert answer(t, 1, not_yet=True) == ["ask b2"]
    assert answer(t, 2, not_yet=True) == []
    assert t.at(t.now + 30) == ["ask a1"]
    assert answer(t, 1) == ["terminate a1"]


def test_a_question_is_an_order():
    t = talk(max_servers=1)
    t.awake("a")
    (order,) = t.policy.requested("b", "b1", t.now)
    assert order == AskToStop(t.servers[1], "room was needed for b")

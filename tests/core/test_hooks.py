"""Hooks, purely: what a command is told, what has come of it, and in which order they are run."""

import json

import attrs
import pytest

from luisito.core import hooks
from luisito.core.events import Event, Kind
from luisito.core.hookfailures import HookFailures
from luisito.core.hookqueue import AT_ONCE, MOST, OF_A_SITE, Job, Queue, jobs
from luisito.core.siteindex import PRELOAD

EVENT = Event(
    number=7,
    at=1000.12345,
    site="a.example",
    kind=Kind.EVICTED,
    words="stopping pid 5: for b.example",
    pid=5,
    uid=1000,
    seconds=1.23456,
    other="b.example",
    memory=2**20,
)
RECORD = {"tenant": None, "hooks": {"eviction": True, "ready": "https://c.example/x"}}


def job(site="a.example", number=1, *, own=False, url="", event="ready"):
    told = attrs.evolve(EVENT, site=site, number=number)
    return Job(event, own, url, told)


# -- what a command is told


def test_its_variables():
    told = hooks.environ("eviction", "a.example", job(event="eviction").facts())
    assert told == {
        "LUISITO_EVENT": "eviction",
        "LUISITO_SITE": "a.example",
        "LUISITO_AT": "1000.123",
        "LUISITO_WORKER": "",
        "LUISITO_PID": "5",
        "LUISITO_UID": "1000",
        "LUISITO_REASON": "stopping pid 5: for b.example",
        "LUISITO_SECONDS": "1.235",
        "LUISITO_OTHER": "b.example",
        "LUISITO_MEMORY": "1048576",
        "LUISITO_CODE": "",
        "LUISITO_SIGNAL": "",
    }
    assert set(told) == {f"LUISITO_{name}" for name in ("EVENT", "SITE", *hooks.FACTS)}
    bare = Event(number=1, at=1.0, site="a", kind=Kind.READY, words="x")
    assert Job("ready", True, "", bare).facts() == {"AT": "1.0", "REASON": "x"}


def test_they_hold_no_control_characters_and_have_an_end():
    assert hooks.plain("a\n\x1b[1m\0\u202eb\udcff\u20ac") == "a  [1m  b \u20ac"
    told = job()._replace(told=attrs.evolve(EVENT, words="x" * 5000)).facts()
    assert len(told["REASON"]) == hooks.LONGEST
    assert hooks.plain("x" * 5000) == "x" * hooks.LONGEST


@pytest.mark.parametrize(
    ("event", "facts", "why"),
    [
        ("ready", {"PID": "1"}, None),
        ("evicted", {}, "event 'evicted' is none of start, ready, "),
        ("ready", {"PATH": "/tmp"}, "fact 'PATH' is none of AT, "),
        ("ready", {"REASON": "x" * 4001}, "a fact has more than 4000 characters"),
    ],
)
def test_an_order_is_not_believed(event, facts, why):
    found = hooks.wrong(event, facts)
    assert found is None if why is None else found.startswith(why)


@pytest.mark.parametrize(
    ("code", "signal", "output", "late", "said"),
    [
        (0, None, "well\n", None, ""),
        (3, None, "one\n\n two \n\n", None, "exited with code 3; its last words: two"),
        (3, None, "", None, "exited with code 3"),
        (None, 15, "", None, "was killed by SIGTERM (15)"),
        (127, None, "luisito: no such program", None, "no such program"),
        (127, None, "sh: x", None, "exited with code 127; its last words: sh: x"),
        (
            None,
            9,
            "a\x1bb",
            2.5,
            "did not end within HOOK_TIMEOUT = 2.5 s, and was killed; its last words: a b",
        ),
    ],
)
def test_what_has_come_of_it(code, signal, output, late, said):
    assert hooks.outcome(code, signal, output, late=late) == said


def test_its_last_words_have_an_end():
    assert len(hooks.outcome(1, None, "x" * 5000, late=None)) < 400


# -- which hooks an event has


def test_those_of_the_settings_and_of_the_site():
    common, own = jobs(EVENT, {"eviction": "", "ready": "https://d.example/"}, RECORD)
    assert common == Job("eviction", False, "", EVENT)
    assert own == Job("eviction", True, "", EVENT)
    ready = attrs.evolve(EVENT, kind=Kind.READY)
    assert [one.url for one in jobs(ready, {}, RECORD)] == ["https://c.example/x"]
    assert [one.name for one in jobs(EVENT, {"eviction": ""}, RECORD)] == [
        'HOOKS["eviction"]',
        "a.example: hooks.eviction",
    ]


@pytest.mark.parametrize("kind", [Kind.STOPPED, Kind.KILLED, Kind.REFUSED])
def test_other_events_have_none(kind):
    every = dict.fromkeys(hooks.EVENTS, "")
    assert not list(jobs(attrs.evolve(EVENT, kind=kind), every, None))


def test_preloaded_interpreters_have_none_and_other_workers_do():
    every = dict.fromkeys(hooks.EVENTS, "")
    assert not list(jobs(attrs.evolve(EVENT, worker=PRELOAD), every, RECORD))
    (one,) = jobs(attrs.evolve(EVENT, worker="mail"), every, {"tenant": None})
    assert one.facts()["WORKER"] == "mail"


def test_a_tenant_is_not_told_for_whom_the_server_went():
    record = {**RECORD, "tenant": "alice"}
    common, own = jobs(EVENT, {"eviction": ""}, record)
    assert common.told == EVENT
    assert "OTHER" not in own.facts()
    assert own.facts()["REASON"] == "stopping pid 5: for another site"
    (alone,) = jobs(attrs.evolve(EVENT, other=None), {}, record)
    assert alone.told.words == EVENT.words


def test_what_a_webhook_is_sent():
    sent = json.loads(job(event="eviction", url="https://c.example/").body())
    assert sent == {"event": "eviction", **attrs.evolve(EVENT, number=1).as_dict()}
    assert sent["kind"] == "evicted"


# -- in which order they are run


def taken(queue):
    found = []
    while (one := queue.next()) is not None:
        found.append(one)
    return found


def test_a_few_at_a_time_and_those_of_a_site_in_turn():
    queue = Queue()
    for number in (1, 2):
        for site in "abcdef":
            assert not queue.add(job(site, number))
    first = taken(queue)
    assert [(one.told.site, one.told.number) for one in first] == [(site, 1) for site in "abcd"]
    assert (queue.running, queue.waiting) == (AT_ONCE, 8)
    queue.done(first[0])
    queue.done(first[1])
    assert [one.told.site for one in taken(queue)] == ["e", "f"]


def test_the_next_of_a_site_waits_for_the_one_before():
    queue = Queue()
    queue.add(job(number=1))
    queue.add(job(number=2))
    (one,) = taken(queue)
    queue.add(job(number=3))
    assert taken(queue) == []
    queue.done(one)
    (two,) = taken(queue)
    queue.done(two)
    (three,) = taken(queue)
    queue.done(three)
    assert [one.told.number for one in (one, two, three)] == [1, 2, 3]
    assert (queue.running, queue.waiting, queue.dropped) == (0, 0, 0)


def test_a_sites_own_do_not_wait_for_those_of_the_settings():
    queue = Queue()
    queue.add(job())
    queue.add(job(own=True))
    assert len(taken(queue)) == 2


def test_of_too_many_for_one_site_the_oldest_is_left_out():
    queue = Queue()
    queue.add(job(number=0))
    (runs,) = taken(queue)
    left_out = [queue.add(job(number=number)) for number in range(1, OF_A_SITE + 3)]
    assert left_out == [False] * OF_A_SITE + [True, True]
    assert (queue.waiting, queue.dropped) == (OF_A_SITE, 2)
    queue.done(runs)
    assert [one.told.number for one in taken(queue)] == [3]


def test_of_too_many_in_all_one_of_the_longest_line_is_left_out():
    queue = Queue()
    for number in (1, 2, 3):
        queue.add(job("long", number))
    for number in range(MOST - 3):
        assert not queue.add(job(f"s{number}"))
    assert queue.add(job("new"))
    assert queue.waiting == MOST
    assert taken(queue)[0].told == job("long", 2).told


def test_where_all_lines_are_short_the_oldest_line_goes():
    queue = Queue()
    for number in range(MOST):
        queue.add(job(f"s{number}"))
    assert queue.add(job("new"))
    assert queue.add(job("newer"))
    first = taken(queue)
    assert [one.told.site for one in first] == ["s2", "s3", "s4", "s5"]
    for one in first:
        queue.done(one)
    assert (queue.running, queue.waiting, queue.dropped) == (0, MOST - 4, 2)


def test_a_line_that_runs_and_is_emptied_goes_on():
    queue = Queue()
    queue.add(job("runs", 1))
    (runs,) = taken(queue)
    queue.add(job("runs", 2))
    for number in range(MOST - 1):
        queue.add(job(f"s{number}"))
    assert queue.add(job("new"))  # for which the second of the first line goes
    queue.done(runs)
    queue.add(job("runs", 3))
    assert "runs" not in [one.told.site for one in taken(queue)]
    assert queue.waiting == MOST - AT_ONCE


# -- which have failed


def test_a_failure_is_known_until_it_goes_well():
    failures = HookFailures()
    assert failures.failed("a.example: hooks.ready", "x", "exited", 0.0) == "exited"
    failures.failed("a.example: hooks.exit", "y", "exited", 0.0)
    failures.failed("b.example: hooks.exit", "y", "late", 0.0)
    failures.well("b.example: hooks.exit")
    failures.well("c.example: hooks.exit")
    assert failures.now == dict.fromkeys(
        ("a.example: hooks.ready", "a.example: hooks.exit"), "exited"
    )
    assert failures.count == 3
    failures.forget("a.example")
    assert failures.now == {}


def test_each_is_said_once_a_minute():
    failures = HookFailures()
    said = [failures.failed("h", "u", "late", now) for now in (0.0, 1.0, 59.0, 60.0, 61.0, 200.0)]
    assert said == ["late", None, None, "late (so have 2 more)", None, "late (so have 1 more)"]
    assert failures.say("v", "other", 61.0) == "other"


def test_what_is_remembered_has_an_end():
    failures = HookFailures()
    for number in range(1001):
        failures.failed(str(number), str(number), "late", 0.0)
    assert len(failures.now) == 1000
    assert failures.say("0", "again", 1.0) == "again"
    assert failures.say("1000", "again", 1.0) is None

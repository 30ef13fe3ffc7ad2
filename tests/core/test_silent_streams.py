"""FAULTS 46: event streams and tunnels keep their server, and silent ones end for room alone."""

from __future__ import annotations

import pytest

from luisito.core.lifecycle import State
from tests.core.test_policy import Talk


class Stream:
    """A stream that somebody else keeps."""

    def __init__(self, talk, number):
        self.talk, self.number = talk, number
        self.active = talk.now
        self.asked = 0
        talk.policy.streamed(talk.servers[number], self, talk.now)

    def active_at(self, now):
        self.asked += 1
        return self.active

    def over(self):
        self.talk.policy.stream_over(self.talk.servers[self.number], self, self.talk.now)
        return self.talk.release(self.number)


def talk(*streaming, **limits):
    """A full pool of servers with one stream each, begun a second apart."""
    t = Talk(max_servers=len(streaming), **{"stream_idle": 60, "queue_timeout": 500, **limits})
    t.awake(*streaming)
    streams = []
    for number, site in enumerate(streaming, 1):
        assert t.policy.take(site) is t.servers[number]
        t.now += 1
        streams.append(Stream(t, number))
    return t, *streams


def test_a_silent_stream_ends_when_somebody_waits():
    t, stream = talk("a")
    t.now = 200
    assert t.ask("b1") == ["end 1 of a1 for b"]
    assert t.last[0].streams == (stream,)
    assert t.state(1) is State.DRAINING
    assert stream.over() == ["terminate a1", "spawn b2"]
    assert t.last[0].reason == "room was needed for b"


def test_it_ends_as_soon_as_it_was_silent_for_long_enough():
    t, stream = talk("a")
    assert t.ask("b1") == []
    assert t.policy.deadline() == stream.active + 60
    stream.active = t.now = t.now + 50
    assert t.at(t.policy.deadline()) == []
    assert t.policy.deadline() == stream.active + 60
    assert t.at(stream.active + 60 - 0.01) == []
    assert t.at(stream.active + 60) == ["end 1 of a1 for b"]


def test_nobody_is_asked_while_nobody_waits():
    t, stream = talk("a")
    t.at(5000)
    t.policy.take("a")
    t.release(1)
    assert t.policy.deadline() is None
    assert stream.asked == 0
    assert t.state(1) is State.READY


def test_the_silent_ones_stay_while_there_is_other_room():
    t, *_ = talk("a", "b", max_starting=1)
    t.policy.take("b")
    t.now = 500
    t.exited(2)
    assert t.ask("c1") == ["spawn c3"]
    assert t.ask("d1") == []  # only one may be starting at a time
    assert t.ready(3) == ["grant c1 c3", "end 1 of a1 for d"]


@pytest.mark.parametrize("idle", [True, False])
def test_an_idle_server_or_an_abandoned_start_goes_first(idle):
    t = Talk(max_servers=2, stream_idle=60)
    t.awake("a")
    t.policy.take("a")
    Stream(t, 1)
    t.now = 500
    if idle:
        t.awake("b")
    else:
        t.ask("b1")
        t.cancel("b1")
    assert t.ask("c1") == ["terminate b2", "spawn c3"]


def test_the_least_recently_active_goes_first():
    t, a, b, c = talk("a", "b", "c")
    a.active, b.active, c.active = 300, 100, 200
    t.now = 1000
    assert t.ask("d1") == ["end 1 of b2 for d"]
    assert b.over() == ["terminate b2", "spawn d4"]
    assert t.exited(2) == []
    assert t.ask("e1") == ["end 1 of c3 for e"]


def test_a_request_counts_as_activity_in_that_order():
    t, a, b = talk("a", "b")
    a.active, b.active = 100, 200
    t.now = 500
    t.policy.take("a")
    t.release(1)
    t.now = 1000
    assert t.ask("c1") == ["end 1 of b2 for c"]


def test_each_of_a_servers_streams_must_be_silent():
    t, silent = talk("a")
    t.policy.take("a")
    active = Stream(t, 1)
    active.active = t.now = 500
    assert t.ask("b1") == []
    assert t.policy.deadline() == 560
    assert active.over() == []
    assert t.policy.deadline() == 501
    assert t.at(501) == ["end 1 of a1 for b"]
    assert t.last[0].streams == (silent,)


def test_a_request_in_flight_keeps_the_server_and_its_streams():
    """It comes and goes on the warm path, so it is looked for once a second."""
    t, _ = talk("a")
    t.policy.take("a")
    t.now = 500
    assert t.ask("b1") == []
    assert t.policy.deadline() == 501
    assert t.at(501) == []
    assert t.release(1) == []
    assert t.policy.deadline() == 502
    assert t.at(502) == ["end 1 of a1 for b"]


def test_only_as_many_end_as_are_needed():
    t, a, b = talk("a", "b")
    t.now = 500
    assert t.ask("c1") == ["end 1 of a1 for c"]
    assert t.ask("d1") == []
    assert a.over() == ["terminate a1", "spawn c3"]  # overlap is 1: d waits for the reaping
    assert t.exited(1) == ["end 1 of b2 for d"]
    assert b.over() == ["terminate b2", "spawn d4"]


def test_one_for_each_who_waits():
    t, a, b = talk("a", "b", overlap=2)
    t.now = 500
    t.ask("c1")
    t.ask("d1")
    assert a.over() == ["terminate a1", "spawn c3", "end 1 of b2 for d"]
    assert b.over() == ["terminate b2", "spawn d4"]


def test_min_alive_holds_for_them_too():
    t, _ = talk("a", min_alive=300)
    t.now = 200
    assert t.ask("b1") == []
    assert t.policy.deadline() == 1 + 300
    assert t.at(301) == ["end 1 of a1 for b"]


def test_they_never_end_without_stream_idle():
    t, stream = talk("a", stream_idle=None)
    t.now = 5000
    assert t.ask("b1") == []
    assert t.policy.deadline() == 5500
    assert t.at(5500) == ["refuse b1 QUEUE_TIMEOUT"]
    assert stream.over() == []


def test_those_of_a_server_that_drains_end_too():
    """It holds a place, and nobody else can get a lease on it."""
    t, stream = talk("a")
    t.stop("a")
    t.now = 500
    assert t.ask("b1") == ["end 1 of a1 for b"]
    assert stream.over() == ["terminate a1", "spawn b2"]
    assert t.last[0].reason == "asked to"


def test_who_waits_may_leave_before_the_end():
    t, stream = talk("a")
    t.now = 500
    assert t.ask("b1") == ["end 1 of a1 for b"]
    assert t.cancel("b1") == []
    assert stream.over() == ["terminate a1"]


def test_a_server_that_dies_meanwhile_makes_room():
    t, stream = talk("a")
    t.now = 500
    t.ask("b1")
    assert t.exited(1) == ["spawn b2"]
    assert stream.over() == []


def test_a_stream_of_a_server_that_starts_is_none():
    """A server that answers is ready; one that is not told so keeps its streams."""
    t = Talk(max_servers=1, stream_idle=60, start_timeout=1000, queue_timeout=1000)
    t.ask("a1")
    t.started(1, early=True)
    stream = Stream(t, 1)
    t.ready(1)
    t.now = 500
    assert t.ask("b1") == []
    t.at(900)
    assert t.state(1) is State.READY
    assert stream.asked == 0


def test_many_streams_are_asked_once_a_second_at_most():
    """Whoever waits, and however many streams end meanwhile."""
    t, first = talk("a", queue_limit=1000)
    streams = [first]
    for _ in range(50):
        t.policy.take("a")
        streams.append(Stream(t, 1))
    t.policy.take("a")
    t.now = 500
    for number in range(100):
        t.ask(f"b{number}")
    for stream in streams[1:]:
        stream.over()
        t.ask(f"c{id(stream)}")
    assert sum(stream.asked for stream in streams) == 51

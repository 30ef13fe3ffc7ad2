import pytest

from luisito.core.adoption import Known
from luisito.core.busy import Said
from luisito.core.handover import Held
from luisito.core.inheritance import inherited
from luisito.core.lease import Refused
from luisito.core.lifecycle import State
from luisito.core.orders import Refusal, Refuse

ROW = {
    "server": 3,
    "site": "a.example",
    "pid": 77,
    "port": None,
    "way": "fd",
    "uid": 1000,
    "gid": 1000,
    "started": 50_000_000,
    "ready": 1,
    "stopping": 0,
    "current": 1,
}
HELD = Held(
    server=3,
    state="ready",
    lease=7,
    early=True,
    connected=True,
    ipv6=False,
    released=12,
    started_at=60_000_000,
    ready_at=61_000_000,
    used_at=90_000_000,
    signalled_at=None,
    killed=False,
    heard="bye",
)
HOLDER = object()


def test_what_only_the_spawner_can_tell():
    one = inherited(ROW, 100.0)
    assert (one.number, one.pid, one.uid, one.way, one.port) == (3, 77, 1000, "fd", None)
    assert (one.holders, one.connected, one.heard) == ((), False, "")
    assert one.known == Known(
        "a.example", State.READY, started_at=50, ready_at=50, used_at=50, signalled_at=100
    )


def test_what_the_spawner_does_not_tell():
    """Only who runs, and where."""
    row = {name: ROW[name] for name in ("server", "site", "pid", "port", "way", "uid", "gid")}
    known = inherited(row, 100.0).known
    assert (known.state, known.current, known.started_at) == (State.STARTING, True, 100)


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"ready": 0}, State.STARTING),
        ({"way": "socket"}, State.READY),
        ({"way": "socket", "uid": None}, State.STARTING),
        ({"way": "port", "port": 20001, "ipv6": 1}, State.READY),
        ({"stopping": 1}, State.STOPPING),
        ({"stopping": 1, "ready": 0}, State.STOPPING),
    ],
)
def test_the_state_by_the_spawner_alone(changes, state):
    assert inherited({**ROW, **changes}, 100.0).known.state is state


def test_what_it_has_said_by_the_spawner():
    row = {"busy_until": 2_000_000, "busy": 1, "extended": 3_000_000, "said_ready": 1}
    assert inherited({**ROW, **row}, 100.0).known.said == Said(2, True, 3, True)
    assert inherited(ROW, 100.0).known.said == Said()


def test_nobody_is_blamed_for_a_signal_that_may_have_been_ours():
    assert inherited({**ROW, "stopping": 1}, 100.0).killed
    assert not inherited(ROW, 100.0).killed
    assert not inherited({**ROW, "stopping": 1}, 100.0, HELD).killed


def test_what_is_told_of_it_counts_more():
    one = inherited(ROW, 100.0, HELD, [HOLDER])
    assert (one.holders, one.connected, one.loopback, one.heard) == (
        (HOLDER,),
        True,
        "127.0.0.1",
        "bye",
    )
    assert one.known == Known(
        "a.example",
        State.READY,
        leases=1,
        released=12,
        early=True,
        started_at=60,
        ready_at=61,
        used_at=90,
        signalled_at=100,
    )


def test_who_gave_the_leases_has_crashed():
    """What was not ready yet when it was leased is ready when the spawner says so."""
    two = [HOLDER, object()]
    for ready in (0, 1):
        one = inherited({**ROW, "ready": ready}, 100.0, None, two)
        assert one.holders == tuple(two)
        assert (one.known.state, one.known.leases, one.known.early) == (State.READY, 2, False)
        assert one.known.ready_at == one.known.started_at
        known = inherited({**ROW, "ready": ready}, 100.0, None, [HOLDER], early=True).known
        state = State.READY if ready else State.STARTING
        assert (known.state, known.leases, known.early) == (state, 1, True)


def test_a_lease_without_its_holder_counts_no_more():
    assert inherited(ROW, 100.0, HELD).known.leases == 0


@pytest.mark.parametrize(
    ("held", "changes", "state"),
    [
        ({"state": "starting", "ready_at": None}, {}, State.STARTING),
        ({"state": "starting"}, {}, State.STARTING),
        ({"ready_at": None}, {}, State.STARTING),
        ({"ready_at": None}, {"way": "port", "port": 20001}, State.STARTING),
        ({"state": "draining"}, {}, State.DRAINING),
        ({"state": "stopping"}, {}, State.STOPPING),
        ({}, {"stopping": 1}, State.STOPPING),
        ({}, {"way": "port", "port": 20001}, State.READY),
        ({}, {"way": "port", "port": 20001, "uid": None}, State.STARTING),
    ],
)
def test_the_state_that_is_told(held, changes, state):
    known = inherited({**ROW, **changes}, 100.0, HELD._replace(**held), [HOLDER]).known
    assert known.state is state
    assert not (state is State.STARTING and known.ready_at)


@pytest.mark.parametrize("way", ["fd", "socket", "port"])
def test_only_a_socket_handed_over_can_be_connected_to_early(way):
    held = HELD._replace(state="starting")
    assert inherited({**ROW, "way": way}, 100.0, held, [HOLDER]).known.early == (way == "fd")


def test_more_that_is_told():
    held = HELD._replace(ipv6=True, signalled_at=95_000_000, killed=True)
    one = inherited({**ROW, "current": 0, "way": "port", "port": 20001}, 100.0, held, [HOLDER])
    assert (one.loopback, one.port, one.killed) == ("::1", 20001, True)
    assert (one.known.current, one.known.signalled_at) == (False, 95)


def test_a_refusal_says_why():
    refused = Refused.by(Refuse("a", Refusal.START_FAILED, 2.0, "it ended"))
    words = "the server ended before it was ready: it ended"
    assert refused == Refused(502, words, 2.0, "start_failed")
    assert Refused.by(Refuse("a", Refusal.QUEUE_FULL, None, "")).detail == "too many requests wait"

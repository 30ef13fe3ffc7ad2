import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luisito.core import handover
from luisito.errors import WireError

HELD = handover.Held(
    3, "ready", 7, True, True, False, 12, 10, 11, 12, None, False, "last words \u20ac"
)
TOLD = [
    handover.Begin(1),
    HELD,
    HELD._replace(state="starting", lease=None, ready_at=None, signalled_at=9),
    handover.Lent(3, 8, True),
    handover.Want(1, "a.example", None),
    handover.Want(1, "a.example", 5),
    handover.Failed("a.example", "digest", "it ended", 5, 1, 9),
    handover.Took([{"site": "a.example", "memory": 5}]),
    handover.Handed(),
    handover.Unwant(1),
    handover.Connected(1),
    handover.Answered(1),
    handover.Released(1),
    handover.Client(8080),
    handover.OwnClient(8080, "a.test"),
]
REPLIES = [
    handover.Granted(1, 8, 3, True, "/run/luisito/0/3", None, None, 5),
    handover.Granted(1, 8, 3, False, "::1", 20001, 1000, 5),
    handover.Refused(1, 503, "too many requests wait", 5000),
    handover.Refused(1, 404, "no such site", None),
    handover.Withdrawn(7, 502, "it ended"),
]


@pytest.mark.parametrize("told", TOLD, ids=lambda told: type(told).__name__)
def test_what_is_told_comes_back_as_it_was(told):
    decoded = handover.decode_told(handover.encode(told))
    assert (decoded, type(decoded)) == (told, type(told))


@pytest.mark.parametrize("reply", REPLIES, ids=lambda reply: type(reply).__name__)
def test_a_reply_comes_back_as_it_was(reply):
    decoded = handover.decode_reply(handover.encode(reply))
    assert (decoded, type(decoded)) == (reply, type(reply))


@pytest.mark.parametrize(
    "change",
    [
        {"state": "absent"},
        {"state": "failed"},
        {"state": 1},
        {"lease": -1},
        {"lease": "7"},
        {"used_at": None},
        {"used_at": 1.5},
        {"early": 1},
        {"more": 1},
    ],
)
def test_a_server_that_is_told_wrongly(change):
    fields = {**json.loads(handover.encode(HELD)), **change}
    with pytest.raises(WireError):
        handover.decode_told(json.dumps(fields).encode())


def test_neither_says_what_only_the_other_may():
    for told in TOLD:
        with pytest.raises(WireError, match="unknown message"):
            handover.decode_reply(handover.encode(told))
    for reply in REPLIES:
        with pytest.raises(WireError, match="unknown message"):
            handover.decode_told(handover.encode(reply))


def test_the_longest_message_fits():
    handover.encode(HELD._replace(heard="\U0001f600" * (handover.MAX_TEXT // 2)))
    handover.encode(handover.Refused(1, 502, "\x00" * handover.MAX_TEXT, None))


@given(st.floats(0, 1e9))
def test_times_are_kept_to_the_microsecond(time):
    assert handover.seconds(handover.micros(time)) == pytest.approx(time, abs=1e-6)


def test_no_time_is_before_the_clock_began():
    assert handover.micros(-1.0) == 0


def test_what_sites_took_is_read():
    rows = [{"site": "a", "memory": 5}, {"site": "b", "memory": 0}]
    assert handover.sizes(handover.Took(rows)) == [("a", 5), ("b", 0)]


@pytest.mark.parametrize("row", [{}, {"site": "a"}, {"site": "a", "memory": None}, {"memory": 1}])
def test_a_row_without_a_site_and_its_bytes_is_refused(row):
    with pytest.raises(WireError, match="names no site and its bytes"):
        handover.sizes(handover.Took([row]))

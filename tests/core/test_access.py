"""Lines of the access log: one a request, whatever the request holds."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luisito.core import access


def line(target=b"/", *, total=0.25, client=b"1.2.3.4", ending=access.AT_ONCE):
    return access.line(
        (
            b"2024-05-01T12:00:00.000Z",
            access.who(client, b"a.example"),
            access.asked(b"GET", target),
            200,
            10,
            20,
            total / 2,
            total,
            ending,
        )
    )


def test_what_a_line_says():
    assert line().endswith(b"}\n")
    assert json.loads(line()) == {
        "time": "2024-05-01T12:00:00.000Z",
        "client": "1.2.3.4",
        "site": "a.example",
        "method": "GET",
        "target": "/",
        "status": 200,
        "in": 10,
        "out": 20,
        "first_byte": 0.125,
        "total": 0.25,
        "start": "warm",
        "waited": 0.0,
        "end": "",
    }


def test_of_a_request_that_had_to_wait_and_failed():
    ending = access.how(b"cold", 1.5, b'the "client"\nwent away')
    text = access.line((b"t", access.who(b"unix", b""), access.NOTHING, 0, 0, 0, 0.0, 12.5, ending))
    read = json.loads(text)
    assert (read["start"], read["waited"], read["total"]) == ("cold", 1.5, 12.5)
    assert read["end"] == 'the "client"\nwent away'
    assert text.count(b"\n") == 1


@pytest.mark.parametrize("total", [0.0, 0.0000014, 0.5, 0.9999996, 1.0, 61.25])
def test_times_are_told_to_the_microsecond(total):
    read = json.loads(line(total=total))
    assert read["total"] == pytest.approx(total, abs=1e-6)
    assert read["first_byte"] == pytest.approx(total / 2, abs=1e-6)


def test_a_query_is_left_out():
    """Tokens travel there."""
    assert json.loads(line(b"/a?token=b"))["target"] == "/a"
    assert b"token" not in line(b"/a?token=b")


# What `request_line` lets pass (RFC 3986, and bytes that are not ASCII).
TARGETS = st.binary(max_size=20).map(
    lambda rest: b"/" + bytes(byte for byte in rest if byte > 32 and byte not in b'"#<>?\x7f')
)


@given(TARGETS, st.binary(max_size=20))
def test_whatever_is_asked_for_takes_one_line_of_ascii(target, anything):
    """FAULTS 62."""
    lines = (
        line(target),
        line(ending=access.how(b"warm", 0.0, anything)),
        line(client=anything),
    )
    for text in lines:
        assert text.isascii()
        assert text[:-1].decode().isprintable()
        assert text[-1:] == b"\n"
    read = [json.loads(text) for text in lines]
    assert read[0]["target"] == target.decode("latin-1")
    assert read[1]["end"] == anything.decode("latin-1")
    assert read[2]["client"] == anything.decode("latin-1")

"""Lines of the access log: one a request, whatever the request holds."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luisito.core import access


def warm(target=b"/", *, total=0.25, first_byte=0.125, client=b"1.2.3.4"):
    return access.warm_line(
        b"2024-05-01T12:00:00.000Z", access.who(client, b"a.example"), b"GET", target, 200, 10, 20,
        first_byte, total,
    )  # fmt: skip


def thorough(target=b"/", *, end=b"", total=0.25, client=b"1.2.3.4"):
    return access.line(
        b"2024-05-01T12:00:00.000Z", access.who(client, b"a.example"), b"GET", target, 200, 10, 20,
        0.125, total, start=b"warm", waited=0.0, end=end,
    )  # fmt: skip


def test_what_a_line_says():
    assert warm().endswith(b"}\n")
    assert json.loads(warm()) == {
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
    line = access.line(
        b"t", access.who(b"unix", b""), b"", b"", 0, 0, 0, 0.0, 12.5,
        start=b"cold", waited=1.5, end=b'the "client"\nwent away',
    )  # fmt: skip
    read = json.loads(line)
    assert (read["start"], read["waited"], read["total"]) == ("cold", 1.5, 12.5)
    assert read["end"] == 'the "client"\nwent away'
    assert line.count(b"\n") == 1


@pytest.mark.parametrize("total", [0.0, 0.0000014, 0.5, 0.9999996, 1.0, 61.25])
def test_the_quick_way_says_what_the_thorough_one_says(total):
    first_byte = total / 2
    read = json.loads(warm(total=total, first_byte=first_byte))
    assert read["total"] == pytest.approx(total, abs=1e-6)
    assert read["first_byte"] == pytest.approx(first_byte, abs=1e-6)
    assert json.loads(thorough(total=total)).keys() == read.keys()


def test_a_query_is_left_out():
    """Tokens travel there."""
    for line in (warm(b"/a?token=b"), thorough(b"/a?token=b")):
        assert json.loads(line)["target"] == "/a"
        assert b"token" not in line


@given(st.binary(max_size=20).map(lambda rest: b"/" + rest.replace(b"?", b"")))
def test_whatever_is_asked_for_takes_one_line_of_ascii(target):
    """FAULTS 62."""
    assert warm(target) == thorough(target)
    for line in (warm(target), thorough(target, end=target), warm(client=target)):
        assert line.isascii()
        assert line[:-1].decode().isprintable()
        assert line[-1:] == b"\n"
    assert json.loads(warm(target))["target"] == target.decode("latin-1")
    assert json.loads(thorough(end=target))["end"] == target.decode("latin-1")
    assert json.loads(warm(client=target))["client"] == target.decode("latin-1")

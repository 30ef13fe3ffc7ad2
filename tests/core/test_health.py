"""What a server is asked that starts, and what its answer says."""

import pytest

from luisito.core import health


@pytest.mark.parametrize("path", ["/", "/health", "/a/b?c=d&e", "/%20", "/!~", "/" + "a" * 1023])
def test_paths(path):
    assert health.is_path(path)


@pytest.mark.parametrize(
    "path", ["", "health", "/a b", "/a#b", "/ü", "/a\r\nX: y", "/a\n", "/\0", "/" + "a" * 1024]
)
def test_what_is_no_path(path):
    assert not health.is_path(path)


def test_it_is_asked_as_its_site():
    asked = health.request("a.test/api", "/up?x")
    assert asked.startswith(b"GET /up?x HTTP/1.1\r\nHost: a.test\r\n")
    assert asked.endswith(b"\r\nConnection: close\r\n\r\n")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", None),
        (b"HTTP/1.1 200 OK\r", None),
        (b"HTTP/1.1 200 OK\r\n", 200),
        (b"HTTP/1.0 204\r\nX", 204),
        (b"HTTP/1.1 503 \r\n\r\n", 503),
        (b"HTTP/1.1 100 Continue\r\n", None),
        (b"HTTP/1.1 100 Continue\r\n\r\n", None),
        (b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 302 Found\r\n", 302),
        (b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 100 C\r\n\r\nHTTP", None),
        (b"HTTP/1.1 2000 OK\r\n", 0),
        (b"HTTP/2 200\r\n", 0),
        (b"\x16\x03\x01\r\n", 0),
        (b"x" * health.LARGEST, 0),
        (b"HTTP/1.1 100 C\r\n" + b"x" * health.LARGEST, 0),
    ],
)
def test_what_was_answered(data, status):
    assert health.status(data) == status


def test_which_is_well():
    assert [s for s in (0, 101, 199, 200, 399, 400, 503) if health.is_well(s)] == [200, 399]


def test_it_is_asked_less_and_less_often():
    pauses = [health.pause(tries) for tries in (1, 2, 3, 4, 5, 6, 7, 10_000)]
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]


def test_interim_answers_without_end_are_no_answer():
    """Who sends them would have all of them read again with each that comes."""
    assert health.status(b"HTTP/1.1 100 \r\n\r\n" * 100) is None
    assert health.status(b"HTTP/1.1 100 \r\n\r\n" * 2000) == 0

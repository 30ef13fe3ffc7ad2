"""The cookie of one of several servers: what is read, passed on and set."""

from __future__ import annotations

from http.cookies import SimpleCookie

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luisito.core.members import keys_of
from luisito.core.sticky import Sticky, name_of

KEYS = keys_of("shop.example", 3)
STICKY = Sticky("c", KEYS)


def pair(key, sticky=STICKY):
    """As a browser sends it back."""
    line = sticky.told(b"", key, secure=True)
    assert line.startswith(b"Set-Cookie: ")
    (cookie,) = SimpleCookie(line.strip().partition(b": ")[2].decode()).values()
    assert (cookie["path"], cookie["httponly"], cookie["samesite"]) == ("/", True, "Lax")
    assert cookie["secure"] is True
    return f"{cookie.key}={cookie.value}".encode()


def head(*cookies):
    return b"\r\nHost: x\r\n" + b"".join(b"Cookie: %s\r\n" % one for one in cookies) + b"A: b\r\n"


def test_it_comes_back():
    for key in KEYS:
        assert STICKY.liked(head(pair(key))) == key
        assert Sticky("c", KEYS).liked(head(pair(key))) == key  # of another process
        assert b"shop" not in pair(key)
    assert len({pair(key) for key in KEYS}) == 3


@pytest.mark.parametrize(
    "forged",
    [b"", b"c", b"c=", b"c=x", b"c=000000000000", b"C=1", b"cc=1", b"=", b"c=\xff", b"c=;c=1"],
)
def test_what_is_made_up_is_as_good_as_none(forged):
    assert STICKY.liked(head(forged)) is None
    assert STICKY.liked(head(forged, b"a=1;%s" % pair(KEYS[1]))) == KEYS[1]


def test_another_name_is_another_cookie():
    other = pair(KEYS[1]).replace(b"c=", b"d=")
    assert STICKY.liked(head(other)) is None
    assert STICKY.without(head(other)) == head(other)
    # nor is it read from another header
    assert STICKY.liked(b"\r\nX: Cookie: %s\r\n" % pair(KEYS[1])) is None
    assert STICKY.liked(b"\r\nX-Cookie: %s\r\n" % pair(KEYS[1])) is None


@pytest.mark.parametrize(
    ("sent", "passed"),
    [
        (["a=1; OURS; b=2"], ["a=1; b=2"]),
        (["OURS; b=2"], ["b=2"]),
        (["a=1;OURS"], ["a=1"]),
        (["OURS"], []),
        (["OURS", "a=1"], ["a=1"]),
        (["a=1; c=mine"], ["a=1; c=mine"]),
        (["c=000000000000; a=1"], ["a=1"]),  # of a server that is no more
        (["a=1"], ["a=1"]),
    ],
)
def test_it_is_not_passed_on(sent, passed):
    ours = pair(KEYS[0])
    lines = head(*(one.encode().replace(b"OURS", ours) for one in sent))
    assert STICKY.without(lines).replace(b"Cookie:  ", b"Cookie: ") == head(
        *(one.encode() for one in passed)
    ).replace(b"Cookie:  ", b"Cookie: ")


PIECES = st.sampled_from(
    [b"a=1", b";", b"; ", b"c=", pair(KEYS[0]), pair(KEYS[2]), b"c", b"=", b" ", b"\t", b'"', b"\r"]
)


@given(st.lists(st.lists(PIECES, max_size=6).map(b"".join), max_size=3))
def test_all_else_stays(cookies):
    """Whatever is sent: no token is left, and nothing but tokens has gone."""
    lines = head(*cookies)
    passed = STICKY.without(lines)
    assert STICKY.without(passed) == passed
    assert STICKY.liked(passed) is None
    assert passed.endswith(b"\r\nA: b\r\n")

    def kept(data):
        return [
            one.strip(b" \t")
            for line in data.split(b"\r\n")
            if line.startswith(b"Cookie:")
            for one in line[7:].split(b";")
            if one.strip(b" \t") not in map(pair, KEYS)
        ]

    if b"\r" not in b"".join(cookies):
        assert kept(passed) == kept(lines)


def test_it_is_set_once_and_not_for_everybody():
    lines = b"HTTP/1.1 200 OK\r\nA: b\r\n"
    told = STICKY.told(lines, KEYS[0], secure=False)
    assert told.startswith(lines)
    assert told.count(b"\r\n") == 3
    assert b"Secure" not in told
    assert STICKY.told(lines, "else", secure=False) == lines
    for control in (b"Cache-Control: public", b"cache-control: max-age=1, S-MAXAGE=3"):
        public = lines + control + b"\r\n"
        assert STICKY.told(public, KEYS[0], secure=False) == public
    for control in (b"Cache-Control: private", b"Cache-Control: publication", b"X: public"):
        assert b"Set-Cookie" in STICKY.told(lines + control + b"\r\n", KEYS[0], secure=False)


def test_names():
    assert name_of("c", "") == "c"
    assert name_of("c", "/a/b.c") == "c~a~b.c"
    assert len({name_of("c", path) for path in ("", "/a/b", "/a.b", "/a-b")}) == 4

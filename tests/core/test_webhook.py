"""Webhooks: their addresses, what is sent, and which answers are none."""

import pytest

from luisito.core import webhook
from luisito.core.webhook import Target


@pytest.mark.parametrize(
    ("url", "target", "origin", "address"),
    [
        (
            "https://a.example/x?y=1",
            (True, "a.example", 443, "/x?y=1"),
            "https://a.example",
            "a.example",
        ),
        ("HTTP://A.Example", (False, "a.example", 80, "/"), "http://a.example", "a.example"),
        ("http://[::1]:8080?q", (False, "[::1]", 8080, "/?q"), "http://[::1]:8080", "::1"),
        (
            "https://127.0.0.1:444/",
            (True, "127.0.0.1", 444, "/"),
            "https://127.0.0.1:444",
            "127.0.0.1",
        ),
    ],
)
def test_an_address(url, target, origin, address):
    found = Target.parse(url)
    assert (found, found.origin, found.address) == (target, origin, address)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example/", "https://", "https://u@a.example/", "https://a.example/#x",
        "https://a.example/a b", "https://a.example/\r\nX: y", "https://a\n.example/",
        "https://a.example/\u00e9", "https://\u00e9.example/", "https://a.example:0/",
        "https://a.example:65536/", "https://-/", "x https://a.example/",
        "https://a.example/" + "x" * 2000,
    ],
)  # fmt: skip
def test_what_is_none(url):
    with pytest.raises(ValueError, match="must be a URL"):
        Target.parse(url)


def test_what_is_sent():
    assert Target.parse("http://a.example:81/x").request(b"{}") == (
        b"POST /x HTTP/1.1\r\nHost: a.example:81\r\nUser-Agent: Luisito\r\n"
        b"Content-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
    )


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (200, ""),
        (299, ""),
        (307, "it was answered 307, and redirects are not followed; write where it leads"),
        (404, "it was answered 404"),
        (500, "it was answered 500"),
        (0, "it was not answered in HTTP"),
    ],
)
def test_an_answer(status, said):
    assert webhook.refusal(status) == said

"""The page that browsers are shown while a site wakes."""

import base64
import hashlib
import re

import pytest

from luisito.core.waiting import is_navigation, own_page, page
from tests.core.test_policy import Talk

HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "mode", "yes"),
    [
        (HTML, None, True),
        (HTML, "navigate", True),
        (HTML, "cors", False),  # fetch(), whatever it accepts
        (HTML, "no-cors", False),
        ("Text/HTML ; q=0.5", None, True),
        ("application/json, text/html;level=1", None, True),
        ("text/html;q=0", None, False),
        ("text/html; q=0.000", None, False),
        ("text/html;q=0.001", None, True),
        ("*/*", None, False),
        ("text/*", None, False),
        ("application/json", "navigate", False),
        (None, None, False),
    ],
)
def test_who_is_a_browser(accept, mode, yes):
    lines = "\r\nHost: a\r\n"
    lines += "" if accept is None else f"Accept: {accept}\r\n"
    lines += "" if mode is None else f"sec-fetch-mode: {mode}\r\n"
    assert is_navigation(b"GET", lines.encode()) is yes
    for method in (b"HEAD", b"POST"):
        assert not is_navigation(method, lines.encode())


def test_the_page():
    head, _, body = page("a.test", close=True).decode().partition("\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
    assert head.startswith("HTTP/1.1 503 Service Unavailable\r\n")
    assert (fields["Retry-After"], fields["Cache-Control"]) == ("1", "no-store")
    assert fields["Connection"] == "close"
    assert int(fields["Content-Length"]) == len(body)
    assert "<title>a.test is waking up</title>" in body
    assert 'role="status"' in body
    assert "Connection" not in page("a.test", close=False).decode().partition("\r\n\r\n")[0]


def test_nothing_in_it_is_allowed_but_what_stands_there():
    head, _, body = page("a.test", close=False).decode().partition("\r\n\r\n")
    policy = re.search(r"Content-Security-Policy: (.*)", head)[1]
    assert policy.startswith("default-src 'none'; ")
    for element, source in (("style", "style-src"), ("script", "script-src")):
        (text,) = re.findall(rf"<{element}>(.*?)</{element}>", body, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{source} 'sha256-{digest}'" in policy
    assert not re.search(r"(src|href)=|url\(|https?:", body)


@pytest.mark.parametrize(
    ("target", "refresh"),
    [
        (b"/p;a?b", '1; url="/p;a?b"'),
        (b"/", '1; url="/"'),
        (b"//x/p", "1"),
        (b"/\\x/p", "1"),
        (b'/p"q', "1"),
        (b"/\xe4", "1"),
        (b"*", "1"),
    ],
)
def test_a_sites_own_page_is_sent_as_it_is(target, refresh):
    head, _, body = own_page(b"<p>ours", target, close=True).decode().partition("\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
    assert (body, fields["Refresh"], fields["Retry-After"]) == ("<p>ours", refresh, "1")
    assert fields["Cache-Control"] == "no-store"


def test_a_site_has_failed_until_it_was_forgiven():
    t = Talk()
    assert not t.policy.has_failed("a")
    t.ask("a1")
    assert not t.policy.has_failed("a")
    t.exited(1)
    assert t.policy.has_failed("a")
    t.now = 5
    t.ask("a2")
    assert t.policy.has_failed("a")  # as long as it has not been shown that it is well

"""What access logs of nginx, Apache, Luisito and that of 2012 tell, and what is said of others."""

import gzip

import pytest

from luisito.advice.logs import LogError, read
from luisito.core.access import form

COMBINED = '192.0.2.7 - - [29/Nov/2026:14:00:0{0} +0100] "GET / HTTP/1.1" 200 5 "-" "Mozilla/5.0"\n'
VHOST = "{1}:443 " + COMBINED
JSON = (
    '{{"time":"2026-11-29T13:00:0{0}Z","client":"192.0.2.7","site":"{1}","method":"GET",'
    '"target":"/","status":200,"start":"{2}"}}\n'
)
AT = 1795957200.0  # 2026-11-29 13:00 UTC


def trace(tmp_path, text, name="access.log", **how):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    found = read([str(tmp_path / name)], **how)
    return [(at - AT, found.names[site]) for at, site in found]


@pytest.mark.parametrize("line", [VHOST, JSON.replace("{2}", "warm"), "{1} " + COMBINED])
def test_lines_with_a_host(tmp_path, line):
    text = line.format(1, "a.example") + line.format(2, "B.example") + line.format(4, "a.example")
    assert trace(tmp_path, text) == [(1, "a.example"), (2, "b.example"), (4, "a.example")]


def test_luisitos_own_lines(tmp_path):
    json = form("json")
    who, asked = json.who(b"192.0.2.7", b"a.example", b""), json.asked(b"GET", b"/", 1)
    line = json.line((b"2026-11-29T13:00:03Z", who, asked, 200, 1, 2, 0.1, 0.2, json.at_once))
    assert trace(tmp_path, line) == [(3, "a.example")]


def test_requests_that_asked_for_no_server(tmp_path):
    text = JSON.format(1, "a.example", "") + JSON.format(2, "a.example", "cold")
    assert trace(tmp_path, text) == [(2, "a.example")]


@pytest.mark.parametrize(
    "name",
    [
        "shop.example.log",
        "shop.example",
        "shop.example-access.log",
        "shop.example.access.log.2",
        "access.shop.example.log-20261129",
        "shop.example_ssl_access_log",
    ],
)
def test_files_named_as_their_site(tmp_path, name):
    assert trace(tmp_path, COMBINED.format(1), name) == [(1, "shop.example")]


def test_that_of_2012_and_the_host_that_is_given(tmp_path):
    """twisted.web's combined format, with quotes around the client in some versions."""
    old = COMBINED.format(1) + COMBINED.format(2).replace("192.0.2.7", '"192.0.2.7"')
    found = trace(tmp_path, old, "twistd-access.log", host="Old.example")
    assert found == [(1, "old.example"), (2, "old.example")]


def test_gzip_and_the_order_of_files(tmp_path):
    new, old = tmp_path / "access.log", tmp_path / "access.log.1.gz"
    new.write_text(VHOST.format(5, "a.example"))
    old.write_bytes(gzip.compress(VHOST.format(1, "b.example").encode()))
    found = read([str(new), str(old)])
    assert [(at - AT, found.names[site]) for at, site in found] == [
        (1, "b.example"),
        (5, "a.example"),
    ]


def test_the_same_second_is_counted_once(tmp_path):
    path = tmp_path / "log"
    path.write_text(VHOST.format(1, "a.example") * 3 + VHOST.format(1, "b.example"))
    found = read([str(path)])
    assert (len(found.times), found.requests, found.skipped) == (2, 4, 0)


def test_lines_that_tell_nothing(tmp_path):
    path = tmp_path / "log"
    text = VHOST.format(1, "a.example") * 300
    text += VHOST.format(2, "-bad-") + "torn\n" + VHOST.replace("Nov", "Nix").format(3, "a.example")
    path.write_text(text)
    found = read([str(path)])
    assert (found.requests, found.skipped) == (300, 3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\nnonsense\n", ":2: 'nonsense'...: expected is nginx's or Apache's combined format"),
        (COMBINED.format(1), ":1: its lines have no host. If they are of one site, give --host"),
        (VHOST.format(1, "a.example") + "x\ny\n", ":2: this line and 1 others are of another"),
        (b"\x1f\x8bnonsense", "log: "),
    ],
)
def test_what_is_no_such_log(tmp_path, text, words):
    with pytest.raises(LogError) as caught:
        trace(tmp_path, text)
    assert f"{tmp_path}/access.log"[:-3] in str(caught.value)
    assert words in str(caught.value)


def test_what_cannot_be_read(tmp_path):
    with pytest.raises(LogError, match=r"/none: No such file"):
        read([f"{tmp_path}/none"])
    with pytest.raises(LogError, match=r"--host -: no host"):
        read([], "-")

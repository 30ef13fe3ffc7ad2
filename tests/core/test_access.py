"""Lines of the access log: one a request, whatever the request holds."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luisito.core import access
from luisito.errors import TemplateError

LINES = b"\r\nUser-Agent: curl/8\r\nreferer: https://b.example/c?token=d\r\nCookie: id=secret\r\n"


def line(form, target=b"/", *, total=0.25, client=b"1.2.3.4", how=None, lines=LINES):
    return form.line(
        (
            b"2024-05-01T12:00:00Z",
            form.who(client, b"a.example", lines if form.of_agents else b""),
            form.asked(b"GET", target, 1),
            200,
            10,
            20,
            total / 2,
            total,
            form.at_once if how is None else form.how(*how),
        )
    )


JSON = access.form("json")


def written(text, *arguments, **keywords):
    return line(access.form(text), *arguments, **keywords)[:-1].decode()


# JSON


def test_what_a_line_says():
    assert line(JSON).endswith(b"}\n")
    assert json.loads(line(JSON)) == {
        "time": "2024-05-01T12:00:00Z",
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
        "queued": 0.0,
        "starting": 0.0,
        "end": "",
        "reason": "",
    }


def test_of_a_request_that_had_to_wait_and_failed():
    ending = JSON.how(b"cold", 1.5, 0.25, b'the "client"\nwent away', b"wakes")
    entry = (b"t", JSON.who(b"unix", b"", b""), JSON.nothing, 0, 0, 0, 0.0, 12.5, ending)
    text = JSON.line(entry)
    read = json.loads(text)
    assert (read["start"], read["queued"], read["starting"]) == ("cold", 1.5, 0.25)
    assert (read["method"], read["target"], read["total"]) == ("", "", 12.5)
    assert read["end"] == 'the "client"\nwent away'
    assert read["reason"] == "wakes"
    assert text.count(b"\n") == 1


@pytest.mark.parametrize("total", [0.0, 0.0000014, 0.5, 0.9999996, 1.0, 61.25])
def test_times_are_told_to_the_microsecond(total):
    read = json.loads(line(JSON, total=total))
    assert read["total"] == pytest.approx(total, abs=1e-6)
    assert read["first_byte"] == pytest.approx(total / 2, abs=1e-6)


# What `request_line` lets pass (RFC 3986, and bytes that are not ASCII).
TARGETS = st.binary(max_size=20).map(
    lambda rest: b"/" + bytes(byte for byte in rest if byte > 32 and byte not in b'"#<>?\x7f')
)


@given(TARGETS, st.binary(max_size=20))
def test_whatever_is_asked_for_takes_one_line_of_ascii(target, anything):
    """FAULTS 62."""
    lines = (
        line(JSON, target),
        line(JSON, how=(b"warm", 0.0, 0.0, anything)),
        line(JSON, client=anything),
    )
    for text in lines:
        assert text.isascii()
        assert text[:-1].decode().isprintable()
        assert text[-1:] == b"\n"
    read = [json.loads(text) for text in lines]
    assert read[0]["target"] == target.decode("latin-1")
    assert read[1]["end"] == anything.decode("latin-1")
    assert read[2]["client"] == anything.decode("latin-1")


# Forms of one's own


def test_combined():
    assert written("combined", b"/a?b") == (
        '1.2.3.4 - - [01/May/2024:12:00:00 +0000] "GET /a HTTP/1.1" 200 20'
        ' "https://b.example/c" "curl/8"'
    )


def test_the_time_of_many_lines_is_composed_once():
    form = access.form("{clf_time}")
    assert line(form) == line(form) == b"01/May/2024:12:00:00 +0000\n"


def test_combined_of_a_head_that_cannot_be_read():
    form = access.form("combined")
    assert form.of_agents
    how = form.how(b"", 0.0, 0.0, b"the request line is malformed")
    entry = (b"2024-12-31T00:00:00Z", form.who(b"::1", b"", b""), form.nothing)
    assert form.line((*entry, 0, 0, 0, 0.0, 0.0, how)) == (
        b'::1 - - [31/Dec/2024:00:00:00 +0000] "- - -" 000 0 "-" "-"\n'
    )


def test_every_field():
    text = " ".join(f"{name}={{{name}}}" for name in access.FIELDS)
    assert written(text, how=(b"cold", 1.0, 0.5, b"it broke off")) == (
        "time=2024-05-01T12:00:00Z client=1.2.3.4 site=a.example referer=https://b.example/c"
        " agent=curl/8 method=GET target=/ protocol=HTTP/1.1 status=200 in=10 out=20"
        " first_byte=0.125000 total=0.250000 start=cold queued=1.000000 starting=0.500000"
        " end=it broke off reason=- clf_time=01/May/2024:12:00:00 +0000"
    )


def test_fields_may_come_twice_or_not_at_all():
    assert written("{site} 100% {{{site}}} {start}") == "a.example 100% {a.example} warm"
    assert written("nothing") == "nothing"
    assert not access.form("{site}").of_agents


def test_what_was_not_sent_is_a_dash():
    assert written("{agent} {referer} {end}", lines=b"") == "- - -"
    form = access.form("{start} {site}")
    entry = (b"t", form.who(b"", b"", b""), form.nothing, 0, 0, 0, 0.0, 0.0)
    with pytest.raises(ValueError, match="unpack"):  # the time is none
        form.line((*entry, form.at_once))
    assert form.how(b"", 0.0, 0.0, b"") == (b"-", 0.0, 0.0, b"-", b"-")


@pytest.mark.parametrize("text", ["json", "combined", "{target} {agent} {referer} {client} {end}"])
def test_tokens_and_cookies_are_never_logged(text):
    """They travel in queries and in Cookie."""
    said = line(access.form(text), b"/a?token=b")
    assert b"token" not in said
    assert b"secret" not in said


@given(st.binary(max_size=20).filter(lambda value: not set(value) & set(b"\r\n")), TARGETS)
def test_whatever_is_sent_stays_in_its_field(anything, target):
    """FAULTS 62: newlines, ESC and quotes in path or User-Agent."""
    form = access.form('"{agent}" "{client}" "{target}" "{end}"')
    lines = b"\r\nuser-agent:" + anything + b"\r\n"
    text = line(form, target, client=anything, lines=lines, how=(b"", 0.0, 0.0, anything))
    assert re.fullmatch(rb'("[ !#-~]+" ?){4}\n', text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{sight}", r"\{sight\} is none, the nearest is \{site\}"),
        ("{cookie}", r"must have no field but time, client, "),
        ("{site:>10}", "must have no field but"),
        ("{site!r}", "must have no field but"),
        ("{}", "must have no field but"),
        ("{site", "must have its fields in braces"),
        ("site}", "must have its fields in braces"),
        ("{site}\n{status}", "must be one line"),
    ],
)
def test_forms_that_are_refused(text, why):
    with pytest.raises(TemplateError, match=why):
        access.form(text)

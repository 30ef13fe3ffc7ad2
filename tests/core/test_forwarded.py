"""The fields that tell an app server who its client is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luisito.core.forwarded import forwarded_lines
from luisito.core.request import request_fields


def lines(*args):
    text = forwarded_lines(*args)
    assert text.endswith(b"\r\n")
    return text[:-2].split(b"\r\n")


def test_a_plain_client():
    assert lines(b"1.2.3.4", b"http", b"a.example", 8080) == [
        b"X-Forwarded-For: 1.2.3.4",
        b"X-Forwarded-Proto: http",
        b"X-Forwarded-Host: a.example",
        b"X-Forwarded-Port: 8080",
        b"Forwarded: for=1.2.3.4;host=a.example;proto=http",
    ]


def test_a_prefix_takes_the_place_of_the_one_that_was_sent():
    told = b"X-Forwarded-Prefix: /out/api\r\n"
    sent = ((b"x-forwarded-prefix", b"/out"),)
    ours = lines(b"1.2.3.4", b"http", b"a", 0, sent, told)
    assert [line for line in ours if b"Prefix" in line] == [told.rstrip()]
    assert not any(line.startswith(b"Forwarded: ") for line in ours)
    kept = lines(b"1.2.3.4", b"http", b"a", 0, sent)
    assert [line for line in kept if b"Prefix" in line] == [b"X-Forwarded-Prefix: /out"]
    assert b"Forwarded: for=1.2.3.4;host=a;proto=http" in lines(
        b"1.2.3.4", b"http", b"a", 0, (), told
    )


def test_an_address_in_brackets_and_a_host_with_a_port():
    """RFC 7239 sections 4 and 6: what holds a colon is quoted."""
    assert lines(b"2001:db8::1", b"https", b"[::1]:443", 443) == [
        b"X-Forwarded-For: 2001:db8::1",
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-Host: [::1]:443",
        b"X-Forwarded-Port: 443",
        b'Forwarded: for="[2001:db8::1]";host="[::1]:443";proto=https',
    ]


def test_quotes_are_escaped():
    assert b'host="a\\"\\\\b"' in lines(b"", b"http", b'a"\\b', 0)[-1]
    assert b'host=""' in lines(b"", b"http", b"", 0)[-1]


def test_a_unix_socket():
    assert lines(b"", b"http", b"a", 0) == [
        b"X-Forwarded-Proto: http",
        b"X-Forwarded-Host: a",
        b"Forwarded: for=unknown;host=a;proto=http",
    ]


def test_what_a_trusted_peer_sent_is_extended_or_stands():
    """FAULTS 58."""
    sent = (
        (b"x-forwarded-for", b"1.1.1.1"),
        (b"x-forwarded-for", b"2.2.2.2, 3.3.3.3"),
        (b"x-forwarded-proto", b"https"),
        (b"x-forwarded-host", b"b"),
        (b"x-forwarded-port", b"443"),
        (b"forwarded", b"for=1.1.1.1"),
        (b"forwarded", b'for="[::1]:1" ; proto=http,by=_x'),
        (b"x-real-ip", b"0.0.0.0"),
        (b"x-real-ip", b"1.1.1.1"),
        (b"x-forwarded-ssl", b"on"),
    )
    assert lines(b"4.4.4.4", b"http", b"a", 80, sent) == [
        b"X-Forwarded-For: 1.1.1.1, 2.2.2.2, 3.3.3.3, 4.4.4.4",
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-Host: b",
        b"X-Forwarded-Port: 443",
        b'Forwarded: for=1.1.1.1, for="[::1]:1" ; proto=http,by=_x, for=4.4.4.4;host=a;proto=http',
        b"X-Real-Ip: 1.1.1.1",
        b"X-Forwarded-Ssl: on",
    ]
    assert lines(b"", b"http", b"a", 0, sent)[0] == b"X-Forwarded-For: 1.1.1.1, 2.2.2.2, 3.3.3.3"
    assert b"X-Forwarded-Port: 443" in lines(b"", b"http", b"a", 0, sent)


def test_a_peer_that_speaks_in_x_forwarded_alone_is_not_contradicted():
    """An app that reads Forwarded first would take the client's https for the peer's http."""
    sent = ((b"x-forwarded-for", b"1.1.1.1"), (b"x-forwarded-proto", b"https"))
    assert lines(b"4.4.4.4", b"http", b"a", 80, sent) == [
        b"X-Forwarded-For: 1.1.1.1, 4.4.4.4",
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-Host: a",
        b"X-Forwarded-Port: 80",
    ]


@pytest.mark.parametrize(
    "name",
    [b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"forwarded", b"x-real-ip"],
)
def test_an_empty_field_says_nothing(name):
    plain = lines(b"1.2.3.4", b"http", b"a", 80)
    assert lines(b"1.2.3.4", b"http", b"a", 80, ((name, b""),)) == plain


@pytest.mark.parametrize(
    "value",
    [b'for="', b'for="_x, for=1', b"for", b"for=", b"=x", b";", b",", b"for=a for=b", b'for="a"b',
     b'for="\\""', b"for=a,", b"for=a;;by=b"],
)  # fmt: skip
def test_a_malformed_forwarded_cannot_swallow_what_is_added(value):
    """FAULTS 58: a proxy may pass on what its client wrote."""
    sent = ((b"forwarded", b"for=1.1.1.1"), (b"forwarded", value))
    assert lines(b"1.2.3.4", b"http", b"a", 80, sent) == lines(b"1.2.3.4", b"http", b"a", 80)


VALUE = st.one_of(
    st.lists(
        st.one_of(
            st.sampled_from([9, 34, 92, 44, 59, 61]), st.integers(32, 126), st.integers(128, 255)
        ),
        max_size=12,
    ).map(bytes),
    st.sampled_from([b"for=a", b'for="[::1]"', b"1.1.1.1"]),
)
NAME = st.sampled_from(
    [b"X-Forwarded-For", b"x-forwarded-proto", b"X-Forwarded-Host", b"Forwarded", b"X-Real-IP",
     b"X-Forwarded-Port", b"X-Forwarded-%"]
)  # fmt: skip


def elements(value):
    """Splits Forwarded at the commas outside of quotes, a byte at a time."""
    parts, quoted, escaped = [b""], False, False
    for byte in value:
        char = bytes([byte])
        if escaped:
            escaped = False
        elif quoted and char == b"\\":
            escaped = True
        elif char == b'"':
            quoted = not quoted
        elif char == b"," and not quoted:
            parts.append(b"")
            continue
        parts[-1] += char
    assert not quoted
    return [part.strip() for part in parts]


@given(
    st.lists(st.tuples(NAME, VALUE), max_size=6),
    st.sampled_from([b"", b"1.2.3.4", b"::1", b"fe80::1%eth0", b"::ffff:1.2.3.4"]),
    st.sampled_from([b"a", b"a.example:80", b"[::1]:8080", b"xn--a_b.c"]),
    st.sampled_from([0, 80, 65535]),
)
def test_whatever_was_sent_the_last_element_is_ours(sent, peer, host, port):
    """FAULTS 57, 58: as it comes from a head that is accepted, it survives in one piece."""
    block = b"\r\nHost: " + host + b"".join(b"\r\n%s: %s" % pair for pair in sent) + b"\r\n"
    fields = request_fields(block)
    assert len(fields.forwarded) == len(sent)
    text = forwarded_lines(peer, b"http", fields.host, port, fields.forwarded)
    # the head that goes on is accepted again, and says the same
    again = request_fields(fields.lines[:-2] + b"\r\n" + text)
    names = [name for name, _ in again.forwarded]
    assert len(set(names)) == len(names)
    found = dict(again.forwarded)
    node = b'"[%s]"' % peer if b":" in peer else peer or b"unknown"
    shown = b'"%s"' % host if b":" in host else host
    said = {name for name, value in fields.forwarded if value}
    if b"forwarded" in said or not said:
        assert elements(found[b"forwarded"])[-1] == b"for=%s;host=%s;proto=http" % (node, shown)
    else:
        assert b"forwarded" not in found
    if peer:
        assert found[b"x-forwarded-for"].split(b", ")[-1] == peer

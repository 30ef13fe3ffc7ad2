"""Hosts and authorities: what is read as which site key, and what is refused (FAULTS 49-55)."""

from ipaddress import IPv6Address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from luisito.core.host import normalize, split_authority
from luisito.errors import BadHost

LABEL = st.from_regex(r"[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?", fullmatch=True)
NAME = st.builds(
    lambda labels, last: ".".join([*labels, last]),
    st.lists(LABEL, max_size=2),
    st.from_regex(r"[a-wyzA-WYZ]{1,20}", fullmatch=True),
)


@pytest.mark.parametrize(
    ("raw", "host", "port"),
    [
        (b"localhost", "localhost", None),
        (b"A.Example.", "a.example", None),  # 50
        (b"a.example:8080", "a.example", 8080),  # 50
        (b"A.EXAMPLE.:8080", "a.example", 8080),
        (b"a_b.example", "a_b.example", None),
        (b"xn--bcher-kva.example", "xn--bcher-kva.example", None),  # 52
        (b"1.example", "1.example", None),
        (b"127.0.0.1:80", "127.0.0.1", 80),
        (b"127.0.0.1.", "127.0.0.1", None),
        (b"[::1]:80", "[::1]", 80),  # 51
        (b"[0:0:0:0:0:0:0:1]", "[::1]", None),
        (b"[2001:DB8::0001]", "[2001:db8::1]", None),
        (b"a:1", "a", 1),
        (b"a:65535", "a", 65535),
        (b"a:00080", "a", 80),
        (b"a" * 63, "a" * 63, None),
        (b".".join([b"a" * 49] * 5) + b".bcd.:65535", ".".join(["a" * 49] * 5) + ".bcd", 65535),
    ],
)
def test_one_key_for_each_way_to_write_a_host(raw, host, port):
    """FAULTS 50, 51."""
    assert split_authority(raw) == (host, port)
    assert normalize(raw) == host


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "empty"),
        (b":80", "empty"),
        (b".", "label ''"),
        (b"..", "label ''"),  # 49
        (b"../x", "label ''"),
        (b"/etc/x", "label '/etc/x'"),
        (b"%2e%2e", "label '%2e%2e'"),
        (b"a\0.example", "label 'a\\x00'"),
        (b"a\\b", "label"),
        (b"a.example\n", "label 'example\\n'"),
        (b"a.example\r\n", "label"),
        (b"a..example", "label ''"),
        (b"a.example..", "label ''"),
        (b"[::1", "is not `name`"),  # 51
        (b"::1", "is not `name`"),
        (b"[::1]x", "is not `name`"),
        (b"[::1].", "is not `name`"),
        (b"[::1]:", "is not `name`"),
        (b"[]", "no IPv6"),
        (b"[::g]", "no IPv6"),
        (b"[127.0.0.1]", "no IPv6"),
        (b"[v1.x]", "no IPv6"),
        (b"[ ::1]", "no IPv6"),
        (b"[\xd9\xa1::]", "no IPv6"),
        (b"[fe80::1%eth0]", "has a zone"),
        (b"a:", "is not `name`"),
        (b"a:0", "port 0"),
        (b"a:65536", "port 65536"),
        (b"a:000080", "is not `name`"),
        (b"a:+80", "is not `name`"),
        (b"a:8_0", "is not `name`"),
        (b"a: 80", "is not `name`"),
        (b"a:80:80", "is not `name`"),
        (b"a:80\n", "is not `name`"),
        (b"user@a.example", "label 'user@a'"),
        (b"user:pw@a.example", "is not `name`"),
        (b"a.example,b.example", "label"),
        (b"a.example b.example", "label"),
        (b" a.example", "label"),
        ("bücher.example".encode(), "as an A-label"),  # 52
        ("a。example".encode(), "as an A-label"),
        ("\u212aelvin.example".encode(), "as an A-label"),
        (b"\xc9.example", "as an A-label"),
        (b"a" * 64, "1 to 63"),  # 53
        (b".".join([b"a" * 49] * 5) + b".abcd", "is 254 bytes long"),
        (b"a" * 100_000, "is 100000 bytes long"),
        (b"a;id", "label"),  # 55
        (b"$(id)", "label"),
        (b"-rf.example", "label '-rf'"),
        (b"rf-.example", "label 'rf-'"),
        (b"%PORT", "label"),
        (b"127.1", "no IPv4"),
        (b"256.0.0.1", "no IPv4"),
        (b"127.0.0.01", "no IPv4"),
        (b"1.2.3.4.5", "no IPv4"),
        (b"2130706433", "no IPv4"),
        (b"0x7f000001", "no IPv4"),
        (b"127.0.0.0x1", "no IPv4"),
        (b"a.0x", "no IPv4"),
        (b"a.1", "no IPv4"),
    ],
)
def test_refused_with_a_reason(raw, why):
    """FAULTS 49, 51, 52, 53, 55."""
    with pytest.raises(BadHost) as caught:
        normalize(raw)
    assert why in str(caught.value)
    assert len(str(caught.value)) < 1500
    assert str(caught.value).isprintable()


@given(NAME, st.none() | st.integers(1, 65535), st.booleans())
def test_every_good_name_is_read(name, port, dot):
    raw = name + "." * dot + ("" if port is None else f":{port}")
    assert split_authority(raw.encode()) == (name.lower(), port)


@given(st.integers(0, 2**128 - 1).map(IPv6Address))
def test_every_ipv6_address_has_one_key(address):
    key = normalize(f"[{address.exploded}]".encode())
    assert key == normalize(f"[{address.compressed}]".encode())
    assert IPv6Address(key[1:-1]) == address


@given(st.binary(max_size=80) | st.text("aA0-_.:[]%/@ ", max_size=20).map(str.encode))
@example(b"1.2.3.4")
def test_whatever_comes_the_key_is_safe_and_its_own_key(raw):
    """FAULTS 49, 55: no key is an option, a path, or anything but itself when read again."""
    try:
        key = normalize(raw)
    except BadHost:
        return
    assert normalize(key.encode()) == key == key.lower()
    assert not key.startswith(("-", "."))
    assert not set(key) - set("abcdefghijklmnopqrstuvwxyz0123456789-_.:[]")
    assert ".." not in key
    assert len(key) <= 253

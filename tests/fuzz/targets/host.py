"""Hosts and ALLOWED_HOSTS: each host has one key, which is safe, and is a site or is not.

An input is the host and then the patterns, each on a line of its own.
"""

import ipaddress
import re

from luisito.core.host import normalize, split_authority
from luisito.core.routing import Routes
from luisito.errors import BadHost, SettingsError

WORDS = (
    b"a.example|A.EXAMPLE.|*.example|!*.a.example|*|!*|!|localhost|127.0.0.1|127.1|0x7f.1|[::1]|"
    b"[|]|"
    b"[::ffff:1.2.3.4]|%eth0|:80|:0|:65536|:|.|..|-|_|xn--bcher-kva|\n|@|/|\\|%2e|\0|\xc3\xbc|"
    b"\xe2\x84\xaa|"
    b"2130706433|1.2.3.4|0.0.0.0|a:1"
).split(b"|")  # fmt: skip

_key = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*"
    r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?|\[[0-9a-f:.]{2,45}\]"
).fullmatch


def run(data: bytes) -> None:
    raw, *patterns = data.split(b"\n")
    try:
        key, port = split_authority(raw)
    except BadHost as refused:
        assert str(refused).isprintable()
        assert len(str(refused)) < 2500
        key = "a.example"
    else:
        _check_key(raw, key, port)
    _check_routes(key, [pattern.decode("utf-8", "surrogateescape") for pattern in patterns])


def _check_key(raw: bytes, key: str, port: int | None) -> None:
    assert normalize(raw) == key
    assert normalize(key.encode()) == key
    assert _key(key), key
    rest = raw.lower().decode("latin-1")
    if port is not None:
        rest, _, digits = rest.rpartition(":")
        assert digits.isascii()
        assert digits.isdigit()
        assert int(digits) == port
        assert 1 <= port <= 65535
    if key.startswith("["):
        assert ipaddress.IPv6Address(rest[1:-1]) == ipaddress.IPv6Address(key[1:-1])
    else:
        assert key == rest.removesuffix(".")
        if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", key.rpartition(".")[2]):
            assert str(ipaddress.IPv4Address(key)) == key


def _check_routes(key: str, patterns: list[str]) -> None:
    try:
        routes = Routes(patterns)
    except SettingsError as refused:
        assert "ALLOWED_HOSTS" in str(refused)
        return
    allowing = [pattern for pattern in patterns if not pattern.startswith("!")]
    forbidding = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    allowed = _fits_any(key, allowing) and not _fits_any(key, forbidding)
    verdict = routes.explain(key)
    assert routes.allows(key) == verdict.allowed == allowed, (key, patterns)
    assert not verdict.pattern or verdict.pattern in patterns
    assert bool(verdict.pattern) == (allowed or _fits_any(key, forbidding)), (key, verdict)


def _fits_any(key: str, patterns: list[str]) -> bool:
    return any(_fits(key, pattern.lower().removesuffix(".")) for pattern in patterns)


def _fits(key: str, pattern: str) -> bool:
    """As the documentation has it, by comparing texts."""
    return pattern == "*" or key == pattern or (pattern[:2] == "*." and key.endswith(pattern[1:]))

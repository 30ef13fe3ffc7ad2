"""The cookie that leads a client to the same one of several servers (RFC 6265)."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

NAME: Final = "luisito_server"
"""Of the cookie, where nothing else is said."""

_SIZE: Final = 6  # bytes
_token = re.compile(rb"[0-9a-f]{%d}" % (2 * _SIZE)).fullmatch
_cookies = re.compile(rb"\r\n(cookie:)([^\r\n]*)", re.IGNORECASE)
# What a cache keeps for everybody (RFC 9111 section 5.2.2) must lead nobody anywhere.
_public = re.compile(rb"\r\ncache-control:[^\r\n]*\b(public|s-maxage)\b", re.IGNORECASE).search


def name_of(name: str, mounted: str) -> str:
    """The name of the cookie of a mount; that of its site where `mounted` is "".

    All that a host sends has all its cookies, and those of a site and its mounts are several.
    """
    return name + mounted.replace("/", "~")


class Sticky:
    """The cookie of one site.

    What it says of a server tells nothing else, and stays the same when that is started anew. One
    that somebody has made up is as good as none.

    Args:
        name: of the cookie.
        keys: of the servers.
    """

    def __init__(self, name: str, keys: Iterable[str]) -> None:
        self._name = name.encode("ascii")
        self._tokens = {
            key: hashlib.blake2s(key.encode(), digest_size=_SIZE).hexdigest().encode()
            for key in keys
        }
        self._keys = {token: key for key, token in self._tokens.items()}

    def liked(self, lines: bytes) -> str | None:
        """The server that a client is to have, by its key; None where none is told.

        Args:
            lines: of the request's header, each ended by CRLF, with a CRLF before the first.
        """
        if self._name not in lines:
            return None
        for match in _cookies.finditer(lines):
            for pair in match[2].split(b";"):
                token = self._value(pair)
                if token in self._keys:
                    return self._keys[token]
        return None

    def without(self, lines: bytes) -> bytes:
        """The same lines without the cookie, for the app server."""
        return _cookies.sub(self._less, lines) if self._name in lines else lines

    def _less(self, match: re.Match[bytes]) -> bytes:
        pairs = match[2].split(b";")
        kept = [pair for pair in pairs if not _token(self._value(pair))]
        if len(kept) == len(pairs):
            return match[0]
        return b"\r\n%s%s" % (match[1], b";".join(kept)) if kept else b""

    def _value(self, pair: bytes) -> bytes:
        """What a pair gives the cookie; nothing where it is another's."""
        name, _, value = pair.strip(b" \t").partition(b"=")
        return value if name == self._name else b""

    def told(self, lines: bytes, key: str, *, secure: bool) -> bytes:
        """The head of an answer that sets the cookie.

        Args:
            lines: of the answer, each ended by CRLF.
            key: of the server that has answered; of one that is no more nothing is told.
            secure: the client came by https.
        """
        token = self._tokens.get(key)
        if token is None or _public(lines):
            return lines
        ending = b"; Secure" if secure else b""
        terms = b"Path=/; HttpOnly; SameSite=Lax"
        return b"%sSet-Cookie: %s=%s; %s%s\r\n" % (lines, self._name, token, terms, ending)

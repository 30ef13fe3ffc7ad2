"""Webhooks: their addresses, and the request that is sent to one."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from luisito.core.host import split_authority
from luisito.errors import BadHost

LONGEST: Final = 2000  # characters of an address
_PORTS: Final = {"http": 80, "https": 443}
# RFC 3986, less userinfo and fragment; what the host may hold is judged afterwards.
_form = re.compile(r"(https?)://([^/?#@\s]+)([/?][!-\"$-~]*)?", re.IGNORECASE).fullmatch


class Target(NamedTuple):
    """The address of a webhook, taken apart.

    Attributes:
        tls: it is spoken to over TLS.
        host: as `core.host.normalize` has it.
        port: of that.
        path: what is asked for, with its query.
    """

    tls: bool
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, url: str) -> Target:
        """Read an address (RFC 3986).

        Raises:
            ValueError: it is none; the message says what it must be.
        """
        found = _form(url)
        if len(url) > LONGEST or not url.isascii() or found is None:
            raise ValueError(
                f"must be a URL like https://example.com/path, of at most {LONGEST} characters of"
                " ASCII, with no user and no #"
            )
        scheme, authority, path = found[1].lower(), found[2], found[3] or ""
        try:
            host, port = split_authority(authority.encode())
        except BadHost:
            raise ValueError("must be a URL of a host, with a port of 1 to 65535 or none") from None
        path = path if path.startswith("/") else f"/{path}"
        return cls(scheme == "https", host, port or _PORTS[scheme], path)

    @property
    def origin(self) -> str:
        """Scheme, host and port: all of it that is no secret."""
        scheme = "https" if self.tls else "http"
        usual = self.port == _PORTS[scheme]
        return f"{scheme}://{self.host}{'' if usual else f':{self.port}'}"

    @property
    def address(self) -> str:
        """The host as it is connected to."""
        return self.host.strip("[]")

    def request(self, body: bytes) -> bytes:
        """The request that brings a body of JSON (RFC 9112)."""
        lines = (
            f"POST {self.path} HTTP/1.1",
            f"Host: {self.origin.partition('//')[2]}",
            "User-Agent: Luisito",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            "Connection: close",
        )
        return "\r\n".join([*lines, "", ""]).encode() + body


def refusal(status: int) -> str:
    """Say what is wrong with the status of an answer; "" where nothing is, 0 is no answer."""
    if 200 <= status < 300:
        return ""
    if 300 <= status < 400:
        return f"it was answered {status}, and redirects are not followed; write where it leads"
    return f"it was answered {status}" if status else "it was not answered in HTTP"

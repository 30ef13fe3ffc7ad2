"""Who asks at ADMIN_LISTEN, and whether it is they who ask: a decision, without any I/O."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import attrs

from luisito.control.roles import STRANGER, TOKEN

if TYPE_CHECKING:
    from luisito.control.front.sessions import Secrets

COOKIE: Final = "luisito"
HEADER: Final = "x-luisito"
"""What the page sends, and no page of another origin can without being asked for first (CORS)."""
# By these a request shows that another program sends it for somebody.
_PROXIED: Final = (
    "forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip",
)  # fmt: skip
_READS: Final = ("GET", "HEAD")
_SAME: Final = ("same-origin", "none", None)


class Fields(Protocol):
    """The header of a request."""

    def __call__(self, name: str) -> str | None:
        """The value of a field by its name in lower case; None where there is none."""


@attrs.frozen(kw_only=True)
class Asked:
    """What is known of a request.

    Attributes:
        method: of HTTP.
        field: of its header.
        whole: it is HTTP/1.1, which many a front server does not speak to what is behind it.
        uid: whose the other end is, as the kernel has it; STRANGER where that is not known.
        who: is at the other end: a user, or an address.
        now: seconds of a monotonic clock.
        at: seconds since the epoch.
    """

    method: str
    field: Fields
    whole: bool
    uid: int
    who: str
    now: float
    at: float


class Refusal(NamedTuple):
    """Why a request is not answered.

    Attributes:
        status: of the answer.
        why: for a person.
    """

    status: int
    why: str


class Judge:
    """Says whose request it is.

    Args:
        secrets: of the token.
        shared: users of whom the kernel's word does not do, as many things run as them.
    """

    def __init__(self, secrets: Secrets, shared: frozenset[int]) -> None:
        self._secrets, self._shared = secrets, shared

    def judge(self, asked: Asked) -> int | Refusal:
        """The user whose rights a request has, TOKEN for the token's; or why it has none."""
        if asked.field("sec-fetch-site") not in _SAME:
            return Refusal(403, "another site asks, in the name of whoever looks at it")
        said = asked.field("authorization")
        if said is not None:
            return self.token(said, asked)
        if self._has_session(asked):
            return TOKEN
        if asked.uid == STRANGER or asked.uid in self._shared or self._is_proxied(asked):
            return self._unknown()
        if not is_local(asked.field("host")):
            why = (
                "open this by the name localhost or by 127.0.0.1, as no other site can be called so"
            )
            return Refusal(403, why)
        if asked.method not in _READS and asked.field(HEADER) is None:
            return Refusal(403, "say X-Luisito: 1 in the header, which no other site can")
        return asked.uid

    def token(self, said: str, asked: Asked) -> int | Refusal:
        """TOKEN where the token is right.

        Args:
            said: the Authorization field (RFC 6750 section 2.1).
            asked: by whom.
        """
        secrets = self._secrets
        if not secrets.may_try(asked.who, asked.now):
            return Refusal(429, "too many wrong tokens; wait a moment")
        scheme, _, token = said.partition(" ")
        if scheme.lower() == "bearer" and secrets.is_token(token.strip()):
            return TOKEN
        secrets.failed(asked.who, asked.now)
        return Refusal(401, "this is not the token" if secrets.set else _NONE_SET)

    def _has_session(self, asked: Asked) -> bool:
        key = asked.field(HEADER)
        cookies = (one.strip().partition("=") for one in (asked.field("cookie") or "").split(";"))
        cookie = next((value for name, _, value in cookies if name == COOKIE), None)
        if key is None or cookie is None:
            return False
        return self._secrets.is_session(cookie, key, asked.at)

    @staticmethod
    def _is_proxied(asked: Asked) -> bool:
        return not asked.whole or any(asked.field(name) is not None for name in _PROXIED)

    def _unknown(self) -> Refusal:
        return Refusal(401, _TELL if self._secrets.set else _NONE_SET)


_TELL: Final = "tell ADMIN_TOKEN"
_NONE_SET: Final = (
    "who you are is not known, and there is no ADMIN_TOKEN; ask from the machine itself or through"
    " ssh -L, or set ADMIN_TOKEN"
)


def is_local(host: str | None) -> bool:
    """Whether a Host is one that no name server can have answered for (DNS rebinding).

    Args:
        host: the field, with a port or without.
    """
    name = (host or "").lower()
    name = name.partition("]")[0].removeprefix("[") if name[:1] == "[" else name.partition(":")[0]
    if name == "localhost":  # which a browser never asks a name server for
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False

"""Readers of the endpoint that the page is served at, and of the token that opens it."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final

from luisito.errors import SettingsError
from luisito.settings.sites.listen import meant, port_and_address
from luisito.settings.values import Wrong

if TYPE_CHECKING:
    from collections.abc import Callable

    from luisito.settings.table import Settings

_SHORTEST: Final = 16
_LONGEST: Final = 1024
_MUST: Final = "must be an endpoint such as tcp:8081:interface=127.0.0.1 or unix:/run/admin.sock"
# What a header field takes as it is (RFC 9110 section 5.5), but for spaces.
_token = re.compile(f"[!-~]{{{_SHORTEST},{_LONGEST}}}").fullmatch
_MEND: Final = (
    "write what this prints: python3 -c 'import secrets; print(secrets.token_urlsafe(24))'"
)


def endpoint(value: object) -> str:
    """One endpoint of the kinds tcp, tcp6, unix and systemd."""
    if isinstance(value, str) and (
        value.startswith("systemd:") or port_and_address(value) is not None
    ):
        return value
    raise Wrong(_MUST, mend=meant(value, 8081))


def token(value: object) -> str:
    """A secret that fits into a header.

    Raises:
        SettingsError: it does not; what it was is not said, as messages go into logs.
    """
    if isinstance(value, str) and _token(value) is not None:
        return value
    what = f"has {len(value)} characters" if isinstance(value, str) else "is no string"
    raise SettingsError(
        f"ADMIN_TOKEN: {what}: it must have {_SHORTEST} to {_LONGEST} letters, digits and signs of"
        f" ASCII, without spaces; {_MEND}, or None"
    )


def needs_token(where: str) -> str:
    """Why an endpoint may not be without a token.

    Args:
        where: ADMIN_LISTEN, for people.
    """
    return (
        f"ADMIN_LISTEN = {where}: is open to other machines, and ADMIN_TOKEN is not set;"
        f" {_MEND.replace('write', 'set ADMIN_TOKEN to')},"
        ' or write ADMIN_LISTEN = "tcp:8081:interface=127.0.0.1"'
    )


def check(settings: Settings, where: Callable[[str], str]) -> None:
    """Refuses an endpoint that others than this machine's users reach, without a token.

    What a `systemd:` one is, only systemd knows: see Front.

    Raises:
        SettingsError: it is one.
    """
    said = settings.admin_listen
    if said is None or settings.admin_token is not None or said.startswith("systemd:"):
        return
    found = port_and_address(said)
    if found is None or (found[0] is not None and not ipaddress.ip_address(found[1]).is_loopback):
        raise SettingsError(where("ADMIN_LISTEN") + needs_token(f'"{said}"'))

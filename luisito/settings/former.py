"""The settings of 2012 that have another name today, and what they mean in today's names."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Mapping
from typing import Final

from luisito.errors import SettingsError
from luisito.settings import addresses, values
from luisito.settings.table import Setting
from luisito.settings.values import Wrong, shown

_GROUP: Final = "Names of 2012"
_NAME: Final = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9][A-Za-z0-9.-]*")


def _interface(value: object) -> str:
    """An address to listen on, or a name that stands for one; "" is all of them, as in 2012."""
    if value in ("", "localhost"):
        return "127.0.0.1" if value else "0.0.0.0"  # noqa: S104 - that is what "" asked for
    try:
        return str(ipaddress.ip_address(value if isinstance(value, str) else ""))
    except ValueError:
        if isinstance(value, str) and _NAME.fullmatch(value):
            return value
        raise Wrong("must be an IP address or a host name", mend="127.0.0.1") from None


def _multihost(value: object) -> dict[str, object]:
    """The dict of 2012: `sleep`, the time between two polls, is no longer needed and ignored."""
    if not isinstance(value, Mapping):
        raise Wrong("must be a dict", mend={"wait_up_to": 10})
    readers = {
        "host_header": addresses.header,
        "sleep": values.seconds_or_zero,
        "wait_up_to": values.seconds,
    }
    checked: dict[str, object] = {}
    for name, item in value.items():
        if name not in readers:
            near = difflib.get_close_matches(str(name), readers, n=1, cutoff=0.0)[0]
            raise Wrong(
                f"must have no key but {', '.join(map(shown, readers))}",
                mend={near if key == name else key: item for key, item in value.items()},
            )
        try:
            checked[name] = readers[name](item)
        except Wrong as wrong:
            mend = {"host_header": "Host", "sleep": 0.2, "wait_up_to": 10}[name]
            raise Wrong(wrong.must, item=f'["{name}"]', value=item, mend=mend) from None
    return checked


FORMER: Final[Mapping[str, Setting]] = {
    "HOST": Setting(
        values.optional(_interface),
        None,
        _GROUP,
        "IP address or host name",
        "The address to listen on; today LISTEN says it.",
    ),
    "PORT": Setting(
        values.optional(values.whole(1, 65535)),
        None,
        _GROUP,
        "port",
        "The TCP port to listen on; today LISTEN says it.",
    ),
    "MULTIHOST_CONFIG": Setting(
        values.optional(_multihost),
        None,
        _GROUP,
        "dict",
        "wait_up_to (seconds) is START_TIMEOUT today, host_header is HOST_HEADER unless it is "
        '"Host", and sleep is ignored.',
    ),
}


def translate(checked: Mapping[str, object]) -> dict[str, tuple[str, object]]:
    """Today's settings that the checked values of FORMER's names stand for.

    Returns:
        For each of today's names, the name as it was written and the value.
    """
    today: dict[str, tuple[str, object]] = {}
    host, port = checked.get("HOST"), checked.get("PORT")
    if host is not None or port is not None:
        interface = str(host or "127.0.0.1")
        kind = "tcp6" if ":" in interface else "tcp"
        quoted = interface.replace(":", "\\:")
        endpoint = f"{kind}:{port or 8080}:interface={quoted}"
        today["LISTEN"] = ("HOST" if port is None else "PORT", endpoint)
    config = checked.get("MULTIHOST_CONFIG")
    if isinstance(config, dict):
        if "wait_up_to" in config:
            today["START_TIMEOUT"] = ('MULTIHOST_CONFIG["wait_up_to"]', config["wait_up_to"])
        # A header's name is case-insensitive (RFC 9110 section 5.1).
        if config.get("host_header", "Host").lower() != "host":
            today["HOST_HEADER"] = ('MULTIHOST_CONFIG["host_header"]', config["host_header"])
    return today


def both(name: str, written: str) -> SettingsError:
    """The error for a setting that is given by today's name and by that of 2012."""
    return SettingsError(
        f"{written} and {name} are both set, and mean the same: keep {name} and remove {written}"
    )

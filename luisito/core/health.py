"""Whether a server that starts answers well: what it is asked, and what its answer says."""

from __future__ import annotations

import re
from typing import Final

from luisito.core.keys import site_of

ACCEPT: Final = "accept"
NOTIFY: Final = "notify"
LONGEST: Final = 1024  # characters of a path

LARGEST: Final = 16384
"""Bytes in which the status line of a final answer has to come, after those of interim ones."""

_FIRST: Final = 0.05  # seconds
_SLOWEST: Final = 1.0
_path = re.compile(r"/[!-\"$-~]*").fullmatch  # visible ASCII, without a fragment
_status_line = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d)[ \r]").match
_INTERIM: Final = range(100, 200)


def is_path(written: str) -> bool:
    """Tell whether that can be asked for: the path of a URL, with a query or without."""
    return len(written) <= LONGEST and _path(written) is not None


def request(site: str, path: str) -> bytes:
    """What a server is asked, by its site's key."""
    lines = (
        f"GET {path} HTTP/1.1",
        f"Host: {site_of(site)}",
        "User-Agent: Luisito",
        "Accept: */*",
        "Connection: close",
    )
    return "\r\n".join([*lines, "", ""]).encode()


def status(data: bytes) -> int | None:
    """The status of a final answer, of what has come of it.

    Returns:
        None where more is to come; 0 where it is no answer of HTTP/1.
    """
    size = len(data)  # with the interim answers, of which some might send no end
    while (end := data.find(b"\r\n")) >= 0:
        found = _status_line(data)
        if found is None:
            return 0
        number = int(found[1])
        if number not in _INTERIM:
            return number
        over = data.find(b"\r\n\r\n", end)
        if over < 0:
            break
        data = data[over + 4 :]
    return None if size < LARGEST else 0


def is_well(number: int) -> bool:
    """Tell whether a server that answers with this status is ready."""
    return 200 <= number < 400


def pause(tries: int) -> float:
    """Seconds from one try, of so many by now, to the next one."""
    return min(_SLOWEST, _FIRST * 2.0 ** min(tries - 1, 10))

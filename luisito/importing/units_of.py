"""Sizes and times as nginx, systemd and supervisord write them."""

from __future__ import annotations

import re
from typing import Final

_NGINX_SIZE: Final = re.compile(r"(\d{1,15})([kmg]?)", re.IGNORECASE)
_NGINX_TIME: Final = re.compile(r"(\d{1,9})(ms|[smhdwMy]?)\s*")
_BYTES: Final = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)\s*([KMGTPE]?)(?:i?B)?")
_TIME: Final = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*([a-zA-Z]*)\s*")
_POWERS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5, "e": 6}
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_NGINX_SECONDS: Final = {
    "ms": 0.001, "": 1, "s": 1, "m": _MINUTE, "h": _HOUR, "d": _DAY, "w": 7 * _DAY,
    "M": 30 * _DAY, "y": 365 * _DAY,
}  # fmt: skip
_SECONDS: Final = {
    **dict.fromkeys(["us", "usec"], 1e-6),
    **dict.fromkeys(["ms", "msec"], 0.001),
    **dict.fromkeys(["", "s", "sec", "second", "seconds"], 1),
    **dict.fromkeys(["m", "min", "minute", "minutes"], _MINUTE),
    **dict.fromkeys(["h", "hr", "hour", "hours"], _HOUR),
    **dict.fromkeys(["d", "day", "days"], _DAY),
    **dict.fromkeys(["w", "week", "weeks"], 7 * _DAY),
}


def nginx_bytes(text: str) -> int | None:
    """A size of nginx's, in bytes: `20m`; None where it is none."""
    match = _NGINX_SIZE.fullmatch(text)
    return None if match is None else int(match[1]) << 10 * _POWERS[match[2].lower()]


def nginx_seconds(text: str) -> float | None:
    """A time of nginx's, in seconds: `1h 30m`; None where it is none."""
    return _time(text, _NGINX_TIME, _NGINX_SECONDS)


def systemd_bytes(text: str) -> int | None:
    """A size of systemd's, in bytes: `1.5G` (systemd.syntax(7)); None where it is none."""
    match = _BYTES.fullmatch(text)
    return None if match is None else int(float(match[1]) * 1024 ** _POWERS[match[2].lower()])


def systemd_seconds(text: str) -> float | None:
    """A time of systemd's, in seconds: `1min 30s` (systemd.time(7)); None where it is none."""
    return _time(text, _TIME, _SECONDS)


def _time(text: str, form: re.Pattern[str], units: dict[str, float]) -> float | None:
    seconds, at = 0.0, 0
    while at < len(text):
        match = form.match(text, at)
        if match is None or match[2] not in units:
            return None
        seconds += float(match[1]) * units[match[2]]
        at = match.end()
    if not text:
        return None
    return int(seconds) if seconds == int(seconds) else round(seconds, 6)

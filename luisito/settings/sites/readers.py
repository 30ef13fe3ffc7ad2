"""Readers of what stands in site files only, and the settings' own, fit for TOML.

As those of `settings.values` they take any object, and return the checked value or raise `Wrong`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs

from luisito.core import health
from luisito.core.health import is_path as is_asked
from luisito.core.host import normalize
from luisito.core.keeping import Keep
from luisito.core.keys import is_path
from luisito.core.members import MOST
from luisito.core.routing import Pattern
from luisito.core.sticky import NAME
from luisito.errors import BadHost
from luisito.settings import values
from luisito.settings.sites.words import NONE
from luisito.settings.values import Wrong

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")

KEEP: Final = tuple(word.value for word in Keep)
SIGNALS: Final = ("TERM", "INT", "QUIT", "HUP", "USR1", "USR2")

_BYTES: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_SECONDS: Final = re.compile(
    r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*(s|m|h|d)(?:ecs?|econds?|ins?|inutes?|ours?|ays?)?",
    re.IGNORECASE,
)
_PER_CENT: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*(%)")
_UNITS: Final[Mapping[str, tuple[re.Pattern[str], Mapping[str, float]]]] = {
    "bytes": (_BYTES, {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}),
    "seconds": (_SECONDS, {"s": 1, "m": 60, "h": 3600, "d": 86400}),
    "cores": (_PER_CENT, {"%": 0.01}),
}
COOKIE: Final = "[A-Za-z0-9_.-]{1,64}"
"""A regular expression of what a cookie may be called: less than RFC 6265 lets it."""
_cookie = re.compile(COOKIE).fullmatch
_BASE: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")
_GROUP: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\$?")  # groupadd(8)
_LONGEST_WAIT: Final = 31 * 86400  # seconds
_LARGEST_GID: Final = 2**32 - 2


def toml(read: Callable[[object], T]) -> Callable[[object], T]:
    """A setting's reader, for a TOML value: its errors speak of tables and arrays."""

    def read_toml(value: object) -> T:
        try:
            return read(value)
        except Wrong as wrong:
            must = wrong.must.removesuffix(", or None").replace("a dict", "a table")
            must = must.replace("list of dicts", "list of tables")
            wrong.must = must.replace("(soft, hard)", "[soft, hard]")
            raise

    return read_toml


def or_none(read: Callable[[object], T]) -> Callable[[object], T]:
    """A reader that takes None, which is written "none"."""

    def read_none(value: object) -> T:
        try:
            return read(None if value == NONE else value)
        except Wrong as wrong:
            wrong.must = wrong.must.replace(", or None", f', or "{NONE}"')
            raise

    return read_none


def measured(read: Callable[[object], T], unit: str) -> Callable[[object], T]:
    """A reader of a number whose errors name the unit, and know what "512M" or "10 min" means."""

    def read_number(value: object) -> T:
        try:
            return read(value)
        except Wrong as wrong:
            must, comma, rest = wrong.must.partition(", or ")
            wrong.must = (must if unit in must else f"{must} ({unit})") + comma + rest
            meant = _measured(value, unit)
            if wrong.mend is attrs.NOTHING and meant is not None:
                try:
                    read(meant)
                    wrong.mend = meant
                except Wrong:
                    pass
            raise

    return read_number


def _measured(value: object, unit: str) -> float | None:
    """The number that a string with another unit means."""
    if not isinstance(value, str) or unit not in _UNITS:
        return None
    form, factors = _UNITS[unit]
    match = form.fullmatch(value.strip())
    if match is None:
        return None
    number = float(match[1]) * factors[match[2].lower()]
    return int(number) if number.is_integer() else number


def path(mend: str) -> Callable[[object], str]:
    """A reader of a path, in which %HOST may stand; in its errors `mend` is an example."""

    def read(value: object) -> str:
        try:
            if isinstance(value, str) and value:
                return values.folder(value) or value
        except Wrong:
            pass
        raise Wrong("must be a path, in which no word but %HOST may stand", mend=mend)

    return read


def folder(value: object) -> str:
    """The template of an absolute path."""
    must = "must be an absolute path, in which no word but %HOST may stand"
    try:
        template = path("")(value)
    except Wrong:
        raise Wrong(must, mend="/srv/%HOST") from None
    if not template.startswith("/"):
        raise Wrong(must, mend=f"/srv/{template}")
    return template


def group(value: object) -> str | int:
    """A group's name or gid."""
    must = 'must be a group\'s name or gid, or "root" written out'
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _LARGEST_GID:
        return value
    if isinstance(value, str) and _GROUP.fullmatch(value):
        return value
    if isinstance(value, str) and value.isdecimal() and len(value) < 11 and int(value):
        raise Wrong(must, mend=int(value))
    raise Wrong(must, mend="root" if value in (0, "0") and value is not False else "www-data")


def stop_signal(value: object) -> str:
    """A signal that ends a server."""
    try:
        return values.choice(*SIGNALS)(value)
    except Wrong as wrong:
        meant = str(value).upper().removeprefix("SIG")
        raise Wrong(wrong.must, mend=meant if meant in SIGNALS else "TERM") from None


def keep(value: object) -> str:
    """How a server is kept; of two words the one further back is more."""
    try:
        return values.choice(*KEEP)(value)
    except Wrong as wrong:
        meant = "always" if value in (True, "up", "on") else "demand"
        raise Wrong(wrong.must, mend=meant) from None


def maintenance(value: object) -> bool | int | str:
    """Whether a site is down for maintenance: true, seconds for Retry-After, or words."""
    if isinstance(value, bool) or (isinstance(value, int) and 1 <= value <= _LONGEST_WAIT):
        return value
    words = value.strip() if isinstance(value, str) else ""
    if words and not words.isdecimal():
        return words
    must = "must be true, false, a text for the page, or whole seconds for Retry-After"
    meant = int(words) if words.isascii() and words.isdecimal() and len(words) < 8 else 0
    raise Wrong(must, mend=meant if 1 <= meant <= _LONGEST_WAIT else True)


def stop_command(value: object) -> str | tuple[str, ...]:
    """The template of a command that stops a server."""
    try:
        return values.command(value)
    except Wrong as wrong:
        if not wrong.item:
            wrong.mend = "kill -QUIT $MAINPID"
        raise


def ready(value: object) -> str:
    """What shows that a server is ready: a word, or a path that it is asked for."""
    if isinstance(value, str) and (value in (health.ACCEPT, health.NOTIFY) or is_asked(value)):
        return value
    must = 'must be "accept", "notify", or the path of a URL, such as "/health"'
    meant = value.strip().rpartition("://")[2] if isinstance(value, str) else ""
    meant = f"/{meant.partition('/')[2] or meant}"
    words = {"/listen": health.ACCEPT, "/sd_notify": health.NOTIFY, "/READY=1": health.NOTIFY}
    fits = len(meant) > 1 and is_asked(meant)
    raise Wrong(must, mend=words.get(meant, meant if fits else health.ACCEPT))


def asked_path(mend: str) -> Callable[[object], str]:
    """A reader of the path that a server is asked for."""

    def read(value: object) -> str:
        if isinstance(value, str) and is_asked(value):
            return value
        meant = f"/{value}" if isinstance(value, str) else ""
        raise Wrong(
            f"must be the path of a URL, such as {mend}",
            mend=meant if len(meant) > 1 and is_asked(meant) else mend,
        )

    return read


def files(value: object) -> tuple[str, ...]:
    """Patterns of files below a folder."""
    must = "must be a list of patterns of files"
    if not isinstance(value, list):
        raise Wrong(must, mend=_list_meant(value))
    for index, pattern in enumerate(value):
        if not isinstance(pattern, str) or not pattern or pattern.startswith("/"):
            meant = str(pattern).lstrip("/") or "*.py"
            must = "must be a pattern of names, or of paths below `folder`"
            raise Wrong(must, item=f"[{index}]", value=pattern, mend=meant)
    return tuple(value)


def members(value: object) -> int:
    """How many servers do the same for a site."""
    count = values.whole(1)(value)
    if count > MOST:
        raise Wrong(f"must not be more than {MOST}", mend=MOST)
    return count


def sticky(value: object) -> str | None:
    """The name of a cookie, with true for the usual one; None for none."""
    if isinstance(value, bool):
        return NAME if value else None
    if isinstance(value, str) and _cookie(value):
        return value
    meant = re.sub(r"[^A-Za-z0-9_.-]+", "_", str(value))[:64]
    must = "must be true, false or the name of a cookie: letters, digits, _, . and -"
    raise Wrong(must, mend=meant if isinstance(value, str) and meant else True)


def requests(value: object) -> int | None:
    """How many requests a server answers, at most; "none" is any number."""
    return or_none(values.optional(values.whole(1)))(value)


def age(value: object) -> float | None:
    """How long a server lives, in seconds; "none" is for ever."""
    must = f'must be a number of seconds of at least 1, or "{NONE}"'
    seconds = or_none(values.optional(values.seconds))(value)
    if seconds is not None and seconds < 1:
        raise Wrong(must, mend=1)
    return seconds


def tables(value: object) -> tuple[dict[str, Any], ...]:
    """Tables, each of which is read by itself."""
    if isinstance(value, dict):
        raise Wrong("must be a list of tables; write [[ ]] around its name", mend=[value])
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise Wrong("must be a list of tables")
    return tuple(value)


def mount_path(value: object) -> str:
    """The path prefix of a mount."""
    if isinstance(value, str) and is_path(value):
        return value
    must = "must be a path like /api: letters, digits and - . _ after each slash, none at the end"
    parts = re.sub(r"[^A-Za-z0-9._/-]", "", str(value)).split("/")
    meant = "".join(f"/{part}" for part in parts if part.strip("."))
    raise Wrong(must, mend=meant if is_path(meant) else "/api")


def waiting_page(value: object) -> bool | str:
    """Whether browsers are shown such a page, or the path of the site's own."""
    if isinstance(value, bool):
        return value
    try:
        return path("waiting.html")(value)
    except Wrong:
        must = "must be true, false, or the path of a file, in which no word but %HOST may stand"
        raise Wrong(must, mend=True) from None


def boolean(value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        words = {"true": True, "yes": True, "on": True, "1": True}
        raise Wrong("must be true or false", mend=words.get(str(value).lower(), False))
    return value


def base(value: object) -> str:
    """The name of a base."""
    must = "must be the name of a base: NAME, where NAME.base.toml is beside this file"
    if isinstance(value, str) and _BASE.fullmatch(value) and not value.endswith(".toml"):
        return value
    meant = (
        value.rpartition("/")[2].removesuffix(".toml").removesuffix(".base")
        if isinstance(value, str)
        else ""
    )
    raise Wrong(
        must, mend=meant if _BASE.fullmatch(meant) and not meant.endswith(".toml") else "NAME"
    )


def host_names(value: object) -> tuple[str, ...]:
    """Hosts, each exactly."""
    if not isinstance(value, list):
        raise Wrong("must be a list of hosts", mend=_list_meant(value))
    for index, host in enumerate(value):
        if _normal(host) != host:
            must = "must be a host in lower case, without a port"
            name = str(host)
            if name.startswith("*."):
                must, name = "must be one host, as patterns stand in hosts", name[2:]
            raise Wrong(must, item=f"[{index}]", value=host, mend=_host_meant(name))
    return tuple(value)


def patterns(value: object) -> tuple[str, ...]:
    """Patterns of hosts: `www.example.com`, `*.example.com`, and what they leave out after `!`."""
    must = 'must be a list of hosts, "*.example.com", and exceptions, "!shop.example.com"'
    if not isinstance(value, list):
        raise Wrong(must, mend=_list_meant(value))
    for index, written in enumerate(value):
        sign = "!" if str(written).startswith("!") else ""
        name = str(written).removeprefix("!")
        try:
            pattern = Pattern.parse(name)
        except BadHost:
            pattern = None
        if pattern is not None and not pattern.key:
            raise Wrong(
                "must not be any host; default = true does that",
                item=f"[{index}]",
                value=written,
                mend="*.example.com",
            )
        # As it would be written: in lower case, without a dot at its end.
        plain = pattern and f"{sign}{'*.' * pattern.below}{pattern.key}"
        if written != plain:
            star = "*." if name.startswith("*.") else ""
            raise Wrong(
                'must be a host in lower case without a port, with "*." or "!" before it or not',
                item=f"[{index}]",
                value=written,
                mend=f"{sign}{star}{_host_meant(name.removeprefix('*.'))}",
            )
    return tuple(value)


def _normal(host: object) -> str | None:
    try:
        return normalize(host.encode()) if isinstance(host, str) else None
    except (BadHost, UnicodeEncodeError):
        return None


def _host_meant(host: object) -> str:
    """The host that somebody meant who wrote a URL, a port, upper case or other letters."""
    name = str(host).rpartition("//")[2].partition("/")[0]
    try:
        name = name if name.isascii() else name.encode("idna").decode("ascii")
    except UnicodeError:
        pass
    return _normal(name) or "www.example.com"


def _list_meant(value: object) -> list[Any]:
    return [value] if isinstance(value, str) else []

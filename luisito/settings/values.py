"""Readers: each checks what a person wrote for one kind of setting and returns what we work with.

A reader takes any object and returns the checked value or raises `Wrong`. It knows no setting's
name: the loader adds name, value, file and line.
"""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

import attrs

from luisito.core.access import form
from luisito.core.template import Template
from luisito.errors import TemplateError

T = TypeVar("T")

_NUMBER: Final = re.compile(r"[0-9]+(\.[0-9]+)?")
# A user name as shadow's useradd(8) takes it, with the dots that many sites allow.
_USER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\$?")
_LONGEST_SHOWN: Final = 100  # characters of a value in a message
_LARGEST_UID: Final = 2**32 - 2  # 2**32 - 1 means "unchanged" to setresuid(2)


class Wrong(ValueError):
    """A value that a reader refuses; the loader makes a SettingsError of it.

    Args:
        must: what the value must be, beginning with "must".
        mend: a value that would do; NOTHING stands for the default.
        item: where inside the setting the fault lies, like `["wait_up_to"]`.
        value: the faulty value, when it is not the whole setting.
    """

    def __init__(
        self, must: str, *, mend: object = attrs.NOTHING, item: str = "", value: object = None
    ) -> None:
        super().__init__(must)
        self.must = must
        self.mend = mend
        self.item = item
        self.value = value


def shown(value: object) -> str:
    """A value as a person would write it in settings.py, cut when it is long."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a broken __repr__ must not hide the message it is for
        text = f"<{type(value).__name__}>"
    if isinstance(value, str) and text[0] == "'" and '"' not in text:
        text = f'"{text[1:-1]}"'
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "..."


def optional(read: Callable[[object], T]) -> Callable[[object], T | None]:
    """The same reader, but None is let through."""

    def read_or_none(value: object) -> T | None:
        if value is None:
            return None
        try:
            return read(value)
        except Wrong as wrong:
            if not wrong.item:  # None would do in the place of the whole, not of a part
                wrong.must += ", or None"
            raise

    return read_or_none


def whole(at_least: int, at_most: int | None = None) -> Callable[[object], int]:
    """A reader of whole numbers between two bounds, both included."""
    must = f"must be a whole number of at least {at_least}"
    if at_most is not None:
        must = f"must be a whole number from {at_least} to {at_most}"

    def fits(number: float) -> bool:
        return at_least <= number and (at_most is None or number <= at_most)

    def read(value: object) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and fits(value):
            return value
        meant = _meant(value)
        if meant is not None and meant.is_integer() and fits(meant):
            raise Wrong(must, mend=int(meant))
        raise Wrong(must)

    return read


def starting(value: object) -> int:
    """How many servers may start at a time; None means two for each core we may run on."""
    number = optional(whole(1))(value)
    return 2 * len(os.sched_getaffinity(0)) if number is None else number


def share(value: object) -> float:
    """A part of a whole, more than 0 and at most 1."""
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else 0
    if 0 < number <= 1:
        return float(number)
    meant = _meant(value) or (number if 1 < number <= 100 else 0)
    mend = meant if 0 < meant <= 1 else meant / 100
    must = "must be a number above 0, of at most 1"
    raise Wrong(must, mend=mend if 0 < mend <= 1 else attrs.NOTHING)


def seconds(value: object) -> float:
    """A time in seconds, more than 0."""
    return _time(value, "must be a number of seconds above 0", lambda number: number > 0)


def seconds_or_zero(value: object) -> float:
    """A time in seconds, 0 or more."""
    return _time(value, "must be a number of seconds, 0 or more", lambda number: number >= 0)


def _time(value: object, must: str, fits: Callable[[float], bool]) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            raise Wrong(must) from None
        if math.isfinite(number) and fits(number):
            return number
    elif (meant := _meant(value)) is not None and fits(meant):
        raise Wrong(must, mend=int(meant) if meant.is_integer() else meant)
    raise Wrong(must)


def _meant(value: object) -> float | None:
    """The number that somebody meant who wrote it as a string or as a float."""
    if isinstance(value, str) and len(value) < 16 and _NUMBER.fullmatch(value.strip()):
        return float(value)
    return value if isinstance(value, float) else None


def choice(*words: str) -> Callable[[object], str]:
    """A reader of one of some words."""

    def read(value: object) -> str:
        if not isinstance(value, str) or value not in words:
            near = difflib.get_close_matches(str(value).lower(), words, n=1)
            mend: object = near[0] if near else attrs.NOTHING
            raise Wrong("must be " + " or ".join(shown(word) for word in words), mend=mend)
        return value

    return read


def path(value: object) -> str | None:
    """A path, or None; the loader takes a relative one from the folder of settings.py."""
    if value is None:
        return None
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str) or not value or "\0" in value:
        raise Wrong("must be a path, or None")
    return value


def command(value: object) -> str | tuple[str, ...]:
    """A command template: one string in the manner of a shell, or a list of words.

    Raises:
        TemplateError: a quote is not closed.
    """
    mend = "python3 -m http.server --bind 127.0.0.1 %PORT"
    if isinstance(value, list | tuple):
        if not value or not value[0]:
            raise Wrong("must name a program", mend=mend)
        for index, word in enumerate(value):
            if not isinstance(word, str) or "\0" in word:
                raise Wrong(
                    "must be a string without NUL", item=f"[{index}]", value=word, mend=str(word)
                )
        return tuple(value)
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise Wrong("must be a command, as a string or a list of strings", mend=mend)
    Template.parse(value)
    return value


def folder(value: object) -> str | None:
    """The template of a path; the loader takes a relative one from the folder of settings.py.

    "" is none, as in 2012.
    """
    value = os.fspath(value) if isinstance(value, os.PathLike) else value
    if value is None or value == "":
        return None
    if not isinstance(value, str) or "\0" in value:
        raise Wrong("must be a path, in which %HOST may stand, or None", mend="/srv/%HOST")
    if Template.text(value).words - {"HOST"}:
        # The folder is asked for before a server has a port, and its owner gives uid and gid.
        raise Wrong("must have no word but %HOST", mend="/srv/%HOST")
    return value


def environment(value: object) -> dict[str, str]:
    """Environment variables: names and templates of values."""
    if value is None:  # as in 2012
        return {}
    if not isinstance(value, Mapping):
        raise Wrong("must be a dict of strings")
    for name, item in value.items():
        if not isinstance(name, str) or not name or "=" in name or "\0" in name:
            raise Wrong(f"has {shown(name)}, which cannot be the name of a variable")
        if not isinstance(item, str) or "\0" in item:
            mend = "1" if isinstance(item, bool) else str(item).replace("\0", "")
            raise Wrong(
                "must be a string without NUL", item=f"[{shown(name)}]", value=item, mend=mend
            )
    return dict(value)


@attrs.frozen
class Function:
    """A function of a settings.py that another process calls, which loads the file for itself.

    Attributes:
        file: the settings.py; an absolute path.
        call: the function.
    """

    file: str
    call: Callable[[str], object]


def run_as(value: object) -> str | int | Callable[[str], object]:
    """Who runs servers: a user, or a function of a site, of which the loader makes a Function."""
    return value if callable(value) else user(value)


def user(value: object) -> str | int:
    """Who runs servers: "owner", "root", a user's name or uid."""
    must = 'must be "owner", a user\'s name or uid, or "root" written out'
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _LARGEST_UID:
        return value
    if isinstance(value, str) and _USER.fullmatch(value):
        return value
    number = int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,10}", value) else 0
    if 0 < number <= _LARGEST_UID:
        raise Wrong(must, mend=number)
    if value in (0, "0") and not isinstance(value, bool):
        raise Wrong(must, mend="root")
    raise Wrong(must, mend="owner")


def access_format(value: object) -> str:
    """How a line of the access log is written (access.form)."""
    if not isinstance(value, str) or not value:
        raise Wrong('must be "json", "combined" or a template')
    try:
        form(value)
    except TemplateError as error:
        raise Wrong(str(error), mend='{time} {site} "{method} {target}" {status} {total}') from None
    return value

"""A site file as a person would write it."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any, Final

from luisito.core.text import visible
from luisito.settings.sites.table import KEYS
from luisito.settings.sites.words import key, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from luisito.importing.matching import Site

_PLAIN: Final = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")


def written(site: Site) -> str:
    """The text of a site's file."""
    lines = [f"# From {visible(str(place))}" for place in site.places]
    values = {name: site.values[name] for name in KEYS if name in site.values}
    env = values.pop("env", None)
    workers = values.pop("process", [])
    lines += _assignments(values)
    if env:
        lines += ["", "[env]", *(f"{key(name)} = {_value(value)}" for name, value in env.items())]
    for worker in workers:
        lines += ["", "[[process]]", *_assignments(worker)]
    return "\n".join(lines) + "\n"


def _assignments(values: Mapping[str, Any]) -> list[str]:
    return [
        f"{name} = {_command(value) if name == 'command' else _value(value)}"
        for name, value in values.items()
        if value not in (None, [], {})
    ]


def _value(value: object) -> str:
    return shown(value, sys.maxsize)


def _command(words: list[str]) -> str:
    """A string where no word needs quotes, else a list: a word a line where it is long."""
    if all(map(_PLAIN.fullmatch, words)):
        return _value(" ".join(words))
    text = _value(words)
    if len(text) <= 90:
        return text
    return "[\n" + "".join(f"    {_value(word)},\n" for word in words) + "]"

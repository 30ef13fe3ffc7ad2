"""How a value, a key and a path are written in a site file, for messages of one line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

NONE: Final = "none"
"""What stands for None: TOML has no null."""

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST_SHOWN: Final = 100  # characters of a value in a message
_DEEPEST_SHOWN: Final = 4
_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def shown(value: object, longest: int = _LONGEST_SHOWN) -> str:
    """A value as a person would write it in TOML, on one line, cut when it is long."""
    text = _written(value, _DEEPEST_SHOWN)
    return text if len(text) <= longest else text[:longest] + "..."


def _written(value: object, deep: int) -> str:
    if value is None:
        return _string(NONE)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, Mapping):
        pairs = ", ".join(
            f"{key(str(name))} = {_written(item, deep - 1) if deep else '...'}"
            for name, item in value.items()
        )
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_written(item, deep - 1) if deep else "..." for item in value) + "]"
    try:
        return str(value)
    except ValueError:  # a hexadecimal number of thousands of digits
        return "..."


def _string(text: str) -> str:
    return '"' + "".join(_character(c) for c in text) + '"'


def _character(c: str) -> str:
    if c in _ESCAPES:
        return _ESCAPES[c]
    if c.isprintable():
        return c
    return f"\\u{ord(c):04x}" if ord(c) < 0x10000 else f"\\U{ord(c):08x}"


def key(name: str) -> str:
    """A key, in quotes where it needs them."""
    return name if _BARE.fullmatch(name) else shown(name)


def dotted(path: tuple[str | int, ...]) -> str:
    """A path of keys and indices: `env.LANG`, `aliases[0]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{key(part)}"
    return text.removeprefix(".")

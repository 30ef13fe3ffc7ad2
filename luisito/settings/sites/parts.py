"""One file, a site's or a base: each key read by the table, or the error of the first wrong one."""

from __future__ import annotations

import ast
import difflib
import re
from typing import TYPE_CHECKING, Any, Final

import attrs

from luisito.errors import SiteFileError, TemplateError
from luisito.settings.sites.table import KEYS
from luisito.settings.sites.toml import Text, assignment, parse
from luisito.settings.sites.words import shown
from luisito.settings.table import SETTINGS
from luisito.settings.values import Wrong

if TYPE_CHECKING:
    from luisito.settings.sites.lines import Path
    from luisito.settings.sites.table import Key

_STEP: Final = re.compile(r"""\[(?:\d+|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')\]""")

# Settings whose keys have another name.
_RENAMED: Final = {
    "cmd_tpl": "command",
    "project_path": "folder",
    "run_as": "user",
    "allowed_hosts": "hosts",
}


@attrs.frozen
class Part:
    """A file whose keys are right one by one.

    Attributes:
        text: of it.
        values: what its keys say, checked.
        owner: the uid that it belongs to.
    """

    text: Text
    values: dict[str, Any]
    owner: int


def read(path: str, data: bytes, owner: int) -> Part:
    """Reads a file.

    Args:
        path: of it, for messages.
        data: what it holds.
        owner: its st_uid.

    Raises:
        SiteFileError: it is no TOML, a key is unknown or a value is wrong.
    """
    text = parse(path, data)
    values = {name: _value(text, name, value) for name, value in text.table.items()}
    return Part(text, values, owner)


def _value(text: Text, name: str, value: object) -> object:
    key = KEYS.get(name)
    if key is None:
        raise _unknown(text, name, value)
    try:
        return key.read(value)
    except Wrong as wrong:
        path: Path = (name, *_item(wrong.item))
        mend = assignment(path, wrong.mend)
        if wrong.mend is attrs.NOTHING:
            mend = assignment((name,), _default(key))
        raise text.error(path, wrong.value if wrong.item else value, wrong.must, mend) from None
    except TemplateError as error:  # of `command`, and it begins with the command
        why = str(error).removeprefix(f"command {value!r}").lstrip(": ")
        must, _, mend = why.partition("; ")
        raise text.error((name,), value, must, mend) from None


def _item(item: str) -> Path:
    """The path of a `Wrong.item`, such as `["LANG"]`, `[0]` or `[0]["env"]["A"]`."""
    if not item:
        return ()
    steps = _STEP.findall(item)
    if "".join(steps) == item:
        return tuple(ast.literal_eval(step[1:-1]) for step in steps)
    try:
        part = ast.literal_eval(item[1:-1])
    except (ValueError, SyntaxError):  # it was cut
        part = item[1:-1]
    return (part,)


def _default(key: Key) -> object:
    return SETTINGS[key.setting].default if key.default is attrs.NOTHING else key.default


def _unknown(text: Text, name: str, value: object) -> SiteFileError:
    written = name.lower()
    if written.upper() in SETTINGS and written not in KEYS and written not in _RENAMED:
        must = "is a setting of Luisito as a whole, and no key of a site"
        return text.error((name,), value, must, f"write {written.upper()} in settings.py")
    near = _RENAMED.get(written) or difflib.get_close_matches(written, KEYS, n=1, cutoff=0.0)[0]
    mend = f"write {near}, or remove it"
    try:
        KEYS[near].read(value)
        mend = f"write {near} = {shown(value)}, or remove it"
    except (Wrong, TemplateError):
        pass
    return text.error((name,), value, f"is no key; the nearest is {near}", mend)

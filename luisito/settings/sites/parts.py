"""One file, a site's or a base: each key read by the table, or the error of the first wrong one."""

from __future__ import annotations

import ast
import difflib
import re
from typing import TYPE_CHECKING, Any, Final

import attrs

from luisito.errors import SiteFileError, TemplateError
from luisito.settings.sites.table import KEYS, MOST_MOUNTS, MOUNT_KEYS, OF_SITES, Mounting
from luisito.settings.sites.toml import Text, assignment, parse
from luisito.settings.sites.words import shown
from luisito.settings.table import SETTINGS
from luisito.settings.values import Wrong

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from luisito.settings.sites.key import Key
    from luisito.settings.sites.lines import Path

_STEP: Final = re.compile(r"""\[(?:\d+|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')\]""")

_TABLES: Final = ("process", "wake")  # lists of tables with keys of their own

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
    values = {name: _value(text, (name,), value, KEYS) for name, value in text.table.items()}
    return Part(text, values, owner)


def _value(text: Text, at: Path, value: object, keys: Mapping[str, Key]) -> object:
    """What a key says, that stands at a path."""
    key = keys.get(str(at[-1]))
    if key is None:
        raise _unknown(text, at, value, keys)
    _check_places(text, at, value)
    try:
        read = key.read(value)
    except Wrong as wrong:
        path: Path = (*at, *_item(wrong.item))
        mend = assignment(path, wrong.mend)
        if wrong.mend is attrs.NOTHING:
            mend = assignment(at, _default(key))
        raise text.error(path, wrong.value if wrong.item else value, wrong.must, mend) from None
    except TemplateError as error:  # of `command`, and it begins with the command
        why = str(error).removeprefix(f"command {value!r}").lstrip(": ")
        must, _, mend = why.partition("; ")
        raise text.error(at, value, must, mend) from None
    return tuple(_mounts(text, read)) if at == ("mount",) else read


def _check_places(text: Text, at: Path, value: object) -> None:
    """Keys of the site below the first [[...]], which TOML takes for that table's."""
    name = str(at[-1])
    if name not in _TABLES or not isinstance(value, list):
        return
    own = KEYS[name].schema["items"]["properties"]
    for index, table in enumerate(value):
        for key in table if isinstance(table, dict) else ():
            if key in KEYS and key not in own:
                must = f"is a key of the site, and of no {name}"
                mend = f"write it above the first [[{name}]]"
                raise text.error((*at, index, key), table[key], must, mend)


def _mounts(text: Text, tables: Any) -> Iterator[Mounting]:  # noqa: ANN401 - as readers.tables has them
    paths: dict[str, int] = {}
    for index, table in enumerate(tables):
        at: Path = ("mount", index)
        if index >= MOST_MOUNTS:
            must = f"must not be more than {MOST_MOUNTS} mounts"
            raise text.error(at, table, must, "give some a site of their own")
        values: dict[str, Any] = {
            name: _value(text, (*at, name), value, MOUNT_KEYS) for name, value in table.items()
        }
        if "path" not in values:
            raise text.error(at, table, "must have a path", 'write path = "/api" there')
        path, strip = values.pop("path"), values.pop("strip", True)
        other = paths.setdefault(path, index)
        if other != index:
            raise text.error(
                (*at, "path"), path, f"is the path of mount[{other}], too", "write another"
            )
        yield Mounting(path, strip, values)


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


def _unknown(text: Text, at: Path, value: object, keys: Mapping[str, Key]) -> SiteFileError:
    written = str(at[-1]).lower()
    if written.upper() in SETTINGS and written not in KEYS and written not in _RENAMED:
        must = "is a setting of Luisito as a whole, and no key of a site"
        return text.error(at, value, must, f"write {written.upper()} in settings.py")
    near = _RENAMED.get(written, written)
    if near in OF_SITES and near not in keys:
        must = "is a key of a site, and of no mount"
        return text.error(at, value, must, f"write {near} above all mounts, or remove it")
    if near not in keys:
        near = difflib.get_close_matches(written, keys, n=1, cutoff=0.0)[0]
    mend = f"write {near}, or remove it"
    try:
        keys[near].read(value)
        mend = f"write {near} = {shown(value)}, or remove it"
    except (Wrong, TemplateError):
        pass
    return text.error(at, value, f"is no key; the nearest is {near}", mend)

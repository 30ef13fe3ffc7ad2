"""A file of environment variables: NAME=VALUE lines, as in the .env of docker and dotenv."""

from __future__ import annotations

import re
from typing import Final

from luisito.errors import SettingsError

_NAME: Final = re.compile(r"(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*")
_DOUBLE: Final = re.compile(r'"((?:[^"\\]|\\.)*)"[ \t]*(?:#.*)?')
_SINGLE: Final = re.compile(r"'([^']*)'[ \t]*(?:#.*)?")
_ESCAPED: Final = re.compile(r"\\(.)")
_MEANT: Final = {"n": "\n", "r": "\r", "t": "\t"}


def parse(text: str, path: str) -> dict[str, str]:
    r"""Read variables.

    A value may stand in single quotes, where all is as it is, or in double ones, where a backslash
    comes before n, r, t and what is meant as it is. Else it ends before the white space at the end
    of the line, or before white space and a "#". Nothing else stands for something: $NAME is $NAME.

    Args:
        text: of the file.
        path: of it, for messages.

    Raises:
        SettingsError: a line is none; with path and line, and without its text, which is secret.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        line = line.strip(" \t\r")
        if not line or line.startswith("#"):
            continue
        name = _NAME.match(line)
        if name is None:
            wrong = "is not NAME=VALUE; write that, or a # before it"
            raise SettingsError(f"{path}:{number}: {wrong}")
        found[name[1]] = _value(line[name.end() :], f"{path}:{number}: {name[1]}")
    return found


def _value(written: str, where: str) -> str:
    if "\0" in written:
        raise SettingsError(f"{where}: has a NUL character; remove it")
    if quoted := _DOUBLE.fullmatch(written):
        return _ESCAPED.sub(lambda escaped: _MEANT.get(escaped[1], escaped[1]), quoted[1])
    if quoted := _SINGLE.fullmatch(written):
        return quoted[1]
    if written.startswith(('"', "'")):
        raise SettingsError(f"{where}: its quotes do not end with the value; mend them")
    if written.startswith("#"):
        return ""
    return re.split(r"[ \t]#", written, maxsplit=1)[0].rstrip(" \t")

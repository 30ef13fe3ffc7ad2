"""The text of a site file: from bytes to a table, or to an error that names the line."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from luisito.core.text import visible
from luisito.errors import SiteFileError
from luisito.settings.sites.lines import lines, long_key
from luisito.settings.sites.words import dotted, shown

if TYPE_CHECKING:
    from luisito.settings.sites.lines import Path

LARGEST: Final = 64 * 1024  # bytes of a file

_LINE: Final = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_STATEMENT: Final = re.compile(
    r"\s*([A-Za-z0-9_.-]+)\s*=\s*([A-Za-z/~%*.][^#\"'\[\]{}]*?)\s*(?:#.*)?"
)
_LARGEST: Final = 2**63 - 1
_LONGEST_KEY: Final = 100  # parts with dots between them
_DEEPEST: Final = 5  # tables and arrays in each other
_LONGEST_MEND: Final = 500  # characters
_PYTHON: Final = {"True": "true", "False": "false", "None": '"none"'}


class Text(NamedTuple):
    """A site file or a base as it was read.

    Attributes:
        path: of it.
        text: of it.
        table: what it says.
    """

    path: str
    text: str
    table: dict[str, Any]

    def error(self, path: Path, value: object, must: str, mend: str) -> SiteFileError:
        """The error that a value is wrong.

        Args:
            path: of the key.
            value: that was written there.
            must: what it must be, or what is wrong with it.
            mend: what to do.
        """
        what = f"{dotted(path)} = {shown(value)}: {must}; {mend}"
        return SiteFileError(f"{self.where(path)}: {visible(what)}")

    def where(self, path: Path) -> str:
        """The file and the line of a key, or of what it is in."""
        found = lines(self.text)
        for end in range(len(path), 0, -1):
            if path[:end] in found:
                return f"{visible(self.path)}:{found[path[:end]][0]}"
        return visible(self.path)


def assignment(path: Path, value: object) -> str:
    """What to write, as a mend."""
    return f"write {dotted(path)} = {shown(value, _LONGEST_MEND)}"


def failed(path: str, why: str) -> SiteFileError:
    """The error that a file cannot be used as a whole."""
    return SiteFileError(f"{visible(path)}: {visible(why)}")


def parse(path: str, data: bytes) -> Text:
    """Reads TOML.

    Args:
        path: of the file, for messages.
        data: what it holds.

    Raises:
        SiteFileError: it is no TOML, or too large.
    """
    if len(data) > LARGEST:
        raise failed(path, f"is larger than {LARGEST} bytes; make it smaller, or `extends` a base")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise failed(f"{path}:{line}", "is not UTF-8; write that line in UTF-8") from None
    if (at := long_key(text, _LONGEST_KEY)) is not None:
        raise failed(f"{path}:{at}", f"has a key of more than {_LONGEST_KEY} parts; remove it")
    try:
        read = Text(path, text, tomllib.loads(text))
    except RecursionError:
        raise failed(path, "is nested too deeply; no key needs more than two levels") from None
    except tomllib.TOMLDecodeError as error:
        raise _not_toml(path, text, str(error)) from None
    except ValueError:  # of int()
        raise failed(path, "has a number of thousands of digits; write a smaller one") from None
    _refuse_odd(read)
    return read


def _refuse_odd(read: Text) -> None:
    """Refuses what other readers of TOML need not take, and what JSON could not hold."""
    left: list[tuple[Path, object]] = [((), read.table)]
    while left:
        path, value = left.pop()
        if len(path) > _DEEPEST:
            must = "is nested too deeply"
            raise read.error(path[:_DEEPEST], "...", must, f"remove {dotted(path[:1])}")
        if isinstance(value, dict):
            left += [((*path, key), item) for key, item in value.items()]
        elif isinstance(value, list):
            left += [((*path, index), item) for index, item in enumerate(value)]
        elif isinstance(value, int) and not -_LARGEST - 1 <= value <= _LARGEST:
            must = f"must be a number of at most {_LARGEST}"
            raise read.error(path, value, must, assignment(path, _LARGEST))


def _not_toml(path: str, text: str, why: str) -> SiteFileError:
    """Says what is wrong with a text, and where, as far as tomllib tells."""
    if why.startswith("Cannot "):  # a key or a table that is there already
        for key, at in lines(text).items():
            if len(at) > 1:
                return failed(
                    f"{path}:{at[1]}", f"{dotted(key)} is set in line {at[0]}, too; remove one"
                )
    place = _LINE.search(why)
    all_lines = text.split("\n")
    number = len(text.rstrip().split("\n"))
    if place is not None and place[1] is not None:
        number = min(int(place[1]), len(all_lines))
    elif why.startswith("Unclosed "):
        number = max(
            (at[-1] for key, at in lines(text).items() if str(key[-1]) == key[-1]), default=number
        )
    line = all_lines[number - 1].strip()
    mend = f"mend that line: {line[:_LONGEST_MEND]}" if line else "mend that line"
    # Its time grows by the square of the line.
    statement = _STATEMENT.fullmatch(line) if len(line) <= _LONGEST_MEND else None
    if statement is not None:
        meant = _PYTHON.get(statement[2], shown(statement[2], _LONGEST_MEND))
        mend = f"write {statement[1]} = {meant}"
    reason = _LINE.sub("", why)
    return failed(f"{path}:{number}", f"is not TOML: {reason[:1].lower()}{reason[1:]}; {mend}")

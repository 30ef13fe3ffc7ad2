"""nginx's files: what they include is put where it is included, with an end to all circles."""

from __future__ import annotations

import fnmatch
import glob
import os
from typing import TYPE_CHECKING, Final

from luisito.errors import ImportFailed
from luisito.importing.files import TooMany
from luisito.importing.nginx_text import Directive, parse

if TYPE_CHECKING:
    from luisito.importing.files import Files
    from luisito.importing.found import Findings

# Folders of files that nginx.conf, one folder up, includes.
_BELOW: Final = frozenset(
    {"sites-enabled", "sites-available", "conf.d", "http.d", "vhosts.d", "snippets"}
)
_DEEPEST: Final = 10  # files that include each other
_MOST: Final = 100_000  # directives in all

# What they set concerns nginx alone, so it does not matter whether they are there.
_ITS_OWN: Final = (
    "*_params",
    "mime.types",
    "fastcgi*.conf",
    "options-ssl*.conf",
    "*dhparam*",
    "ssl*",
)


class Includes:
    """Reads nginx's files with what they include.

    Args:
        files: what may be read.
        found: where it is noted what cannot be.

    Attributes:
        read: real paths of all that was read.
    """

    def __init__(self, files: Files, found: Findings) -> None:
        self.read: set[str] = set()
        self._files, self._found = files, found
        self._left = _MOST

    def open(self, path: str, text: str) -> list[Directive]:
        """The directives of a file that is no part of another.

        Raises:
            ImportFailed: it cannot be parsed.
        """
        folder = os.path.dirname(os.path.abspath(path))
        base = os.path.dirname(folder) if os.path.basename(folder) in _BELOW else folder
        real = os.path.realpath(path)
        self.read.add(real)
        return self._expanded(parse(path, text), base, (real,))

    def _expanded(
        self, directives: list[Directive], base: str, above: tuple[str, ...]
    ) -> list[Directive]:
        result = []
        for one in directives:
            self._left -= 1
            if self._left < 0:
                raise TooMany(
                    f"{one.place}: there are more than {_MOST} directives; name fewer files"
                )
            if one.name == "include" and len(one.words) == 2 and one.block is None:
                result += self._included(one, base, above)
                continue
            if one.block is not None and not one.name.endswith("_by_lua_block"):
                one.block = self._expanded(one.block, base, above)
            result.append(one)
        return result

    def _included(self, one: Directive, base: str, above: tuple[str, ...]) -> list[Directive]:
        written = one.args[0]
        path = self._files.real(written) if written.startswith("/") else f"{base}/{written}"
        masked = glob.has_magic(path)
        paths = sorted(glob.iglob(path))[:_MOST] if masked else [path]
        result = []
        for path in paths:
            real = os.path.realpath(path)
            if real in above or len(above) >= _DEEPEST:
                self._found.lost(one.place, str(one), "files include each other", "remove it")
                continue
            own = any(fnmatch.fnmatch(os.path.basename(written), form) for form in _ITS_OWN)
            if own and not os.path.exists(real):
                continue
            try:
                text = self._files.read(path).text
                directives = parse(path, text)
            except TooMany:
                raise
            except ImportFailed as error:
                why, _, mend = str(error).rpartition("; ")
                mend = f"{mend}, or give --root DIR where these files are a copy"
                self._found.lost(one.place, str(one), why, mend)
                continue
            self.read.add(real)
            result += self._expanded(directives, base, (*above, real))
        return result

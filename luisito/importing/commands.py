"""Commands of app servers: where they listen, and the same with a way in of Luisito's."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from luisito.core.template import NAMES
from luisito.importing.found import Address, address
from luisito.importing.servers import SERVERS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from luisito.importing.servers import Server

_WORD: Final = re.compile(f"%(?=%|{'|'.join(NAMES)})")
_RUNNER_WORDS: Final = 6  # `poetry run python -m gunicorn`, and what else comes before it
_VERSION: Final = re.compile(r"[0-9.]*$")


def literal(text: str) -> str:
    """A text as it stands in a template, where none of it is a word of Luisito's."""
    return _WORD.sub("%%", text)


class Rewritten(NamedTuple):
    """A command with another way in.

    Attributes:
        words: of its template.
        addresses: where it listened.
        dropped: options that were left out, and why.
        keys: of a site file, that options said.
        folder: that an option changes to, or "".
        told: it was told where to listen.
    """

    words: list[str]
    addresses: list[Address]
    dropped: list[tuple[str, str]]
    keys: dict[str, str]
    folder: str
    told: bool


def server_of(argv: Sequence[str]) -> tuple[int, str] | None:
    """Finds the app server in a command: its index, and its name in SERVERS, or "uwsgi"."""
    for index, word in enumerate(argv[:_RUNNER_WORDS]):
        name = _VERSION.sub("", os.path.basename(word))
        if name in SERVERS or name == "uwsgi":
            return index, name
    return None


def rewrite(argv: Sequence[str], *, handed: bool, folder: str = "/") -> Rewritten | None:
    """Has a server listen where Luisito says.

    Args:
        argv: its command.
        handed: its socket is handed to it already where it is told of none.
        folder: that it runs in.

    Returns:
        The command as a template; None where it is of no kind that is known.
    """
    found = server_of(argv)
    if found is None or found[1] == "uwsgi":
        return None
    at, name = found
    kind = SERVERS[name]
    reading = _Reading(kind, argv[at + 1 :])
    words = [literal(word) for word in argv[: at + 1]]
    rest = [literal(word) for word in reading.rest]
    inside = os.path.join(folder, reading.folder or ".")
    addresses = [one for text in reading.addresses if (one := address(text, inside)) is not None]
    if reading.told or not handed:
        rest[reading.where : reading.where] = kind.instead
    if not reading.told and not handed:
        addresses.append(Address("tcp", str(kind.default)))
    return Rewritten(
        words + rest, addresses, reading.dropped, reading.keys, reading.folder, reading.told
    )


class _Reading:
    """The options of a command, read one by one.

    Attributes:
        rest: what goes on as it was.
        where: in that, the first option that said where to listen stood.
    """

    def __init__(self, kind: Server, words: Sequence[str]) -> None:
        self.rest: list[str] = []
        self.where = 0
        self.told = False
        self.addresses: list[str] = []
        self.dropped: list[tuple[str, str]] = []
        self.keys: dict[str, str] = {}
        self.folder = ""
        self._kind = kind
        valued = {*kind.binds, *kind.paths, *kind.ports, *kind.hosts, *kind.options, *kind.keys}
        self._valued = valued | ({kind.folder} if kind.folder else set())
        left = list(words)
        while left:
            word = left.pop(0)
            if word in kind.flags:
                self._drop(word, kind.flags[word])
                continue
            option, value = self._split(word)
            if option is None:
                self.rest.append(word)
                continue
            if value is None:
                if not left:
                    self.rest.append(word)
                    continue
                value = left.pop(0)
            self._take(word, option, value)

    def _split(self, word: str) -> tuple[str | None, str | None]:
        """The option that a word is, where that has a value that concerns us, and the value."""
        if word in self._valued:
            return word, None
        name, equals, value = word.partition("=")
        if equals and name.startswith("--") and name in self._valued:
            return name, value
        if len(word) > 2 and word[0] == "-" != word[1] and word[:2] in self._valued:
            return word[:2], word[2:]
        return None, None

    def _take(self, word: str, option: str, value: str) -> None:
        kind = self._kind
        if option == kind.folder:
            self.folder = value
            self.rest += [word] if word.endswith(value) and word != option else [option, value]
            return
        if option in kind.keys:
            self.keys[kind.keys[option]] = value
            return
        if option in kind.options:
            self._drop(option, kind.options[option])
            return
        if not self.told:
            self.where = len(self.rest)
        self.told = True
        if option in kind.binds:
            self.addresses += value.split(",")
        elif option in kind.paths:
            self.addresses.append(f"unix:{value}")
        elif option in kind.ports:
            self.addresses.append(f"127.0.0.1:{value}")

    def _drop(self, option: str, why: str) -> None:
        if why:
            self.dropped.append((option, why))


class Replaced(NamedTuple):
    """A command, and its environment, in which an address stood.

    Attributes:
        words: of the template.
        env: templates.
        open: it listens on all addresses of this machine.
    """

    words: list[str]
    env: dict[str, str]
    open: bool


def replace(argv: Sequence[str], env: Mapping[str, str], meant: Address) -> Replaced | None:
    """Puts a word of Luisito's where a command of any kind has an address.

    Args:
        argv: the command.
        env: its environment.
        meant: the address.

    Returns:
        None where the address stands nowhere.
    """
    form = _form(meant)
    word = "%SOCKET" if meant.kind == "unix" else "%PORT"
    found = [bool(form.search(one)) for one in (*argv, *env.values())]
    if not any(found):
        return None

    def put(text: str) -> str:
        parts, end = [], 0
        for match in form.finditer(text):
            parts += [literal(text[end : match.start(1)]), word]
            end = match.end(1)
        return "".join([*parts, literal(text[end:])])

    words = [put(one) for one in argv]
    everywhere = any("0.0.0.0:%PORT" in one or "[::]:%PORT" in one for one in words)
    everywhere |= word == "%PORT" and any(one in ("0.0.0.0", "::") for one in words)  # noqa: S104
    return Replaced(words, {name: put(value) for name, value in env.items()}, everywhere)


def _form(meant: Address) -> re.Pattern[str]:
    if meant.kind == "unix":
        names = [meant.name]
        if meant.name.startswith("/run/"):
            names.append(f"/var{meant.name}")
        either = "|".join(map(re.escape, names))
        return re.compile(rf"(?:^|[:=@\s]|//)({either})(?=$|[:,?\s])")
    return re.compile(rf"(?:^|[:=\s])({meant.name})(?=$|[/,\s])")

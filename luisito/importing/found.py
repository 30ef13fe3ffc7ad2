"""What an import has found: programs, fronts that pass hosts to them, and what it cannot say."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable


class Place(NamedTuple):
    """Where something stands.

    Attributes:
        path: of the file or folder.
        line: from 1; 0 is all of it.
    """

    path: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.path}:{self.line}" if self.line else self.path


class Note(NamedTuple):
    """One thing that no site file says.

    Attributes:
        place: where it stands.
        what: is meant: a directive, an option.
        why: no site file says it.
        mend: what to do.
        kept: it goes on as it was, in nginx or by Luisito's own ways; nothing is lost.
    """

    place: Place
    what: str
    why: str
    mend: str
    kept: bool = False

    def __str__(self) -> str:
        what = f"{self.what}: " if self.what else ""
        return f"{self.place}: {what}{self.why}; {self.mend}"


class Address(NamedTuple):
    """Where a program listens, as far as two files can mean the same by it.

    Attributes:
        kind: "unix", "tcp" on this machine, or "far".
        name: the path, the port, or what was written.
    """

    kind: str
    name: str

    def __str__(self) -> str:
        return f"port {self.name}" if self.kind == "tcp" else self.name


_HERE = frozenset({"", "*", "localhost", "0.0.0.0", "[::]", "[::1]", "::", "::1"})  # noqa: S104 - to compare


def address(written: str, folder: str = "/") -> Address | None:
    """Reads an address as servers are told it: `unix:PATH`, a path, `HOST:PORT`, a port.

    Args:
        written: with a scheme or without.
        folder: from which a relative path is taken.

    Returns:
        The address; None where it is none.
    """
    text = written.partition("?")[0]
    scheme, found, rest = text.partition("://")
    if found:
        if scheme not in ("unix", "tcp", "http", "uwsgi"):
            return None
        text = f"unix:{rest}" if scheme == "unix" else rest.rstrip("/")
    if text.startswith(("unix:", "@")) or "/" in text:
        return unix(text.removeprefix("unix:"), folder)
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or not 0 < int(port[:6]) < 65536:
        return None
    if host in _HERE or host.startswith("127."):
        return Address("tcp", str(int(port)))
    return Address("far", text)


def unix(path: str, folder: str = "/") -> Address | None:
    """A unix socket, by whichever of its usual names."""
    if not path or "\0" in path:
        return None
    if path.startswith("@"):
        return Address("unix", path)
    path = os.path.normpath(os.path.join(folder, path))
    return Address("unix", path.removeprefix("/var") if path.startswith("/var/run/") else path)


class EnvFile(NamedTuple):
    """A file of environment variables.

    Attributes:
        place: where it is told.
        path: of it.
        optional: it need not be there.
    """

    place: Place
    path: str
    optional: bool


@attrs.define
class Program:
    """What a unit, a vassal or a line tells to be run.

    Attributes:
        name: of it, as its users say.
        place: where it is told.
        argv: the words of its command, as the program would get them.
        command: the same as a template, with a way in of Luisito's; None until that is known.
        env: its environment, as far as it is told there.
        words: variables of its environment that are templates.
        values: keys of a site file beside `command` and `env`.
        hosts: that it says are its own.
        addresses: where others bind for it (a socket unit).
        sources: the files that say all this.
        hidden: not everybody may read one of them.
        env_file: that it is told.
        incomplete: `argv` is not all known, so that it can be no site.
        notes: what of it no site file says, told where it becomes a site.
    """

    name: str
    place: Place
    argv: list[str]
    command: list[str] | None = None
    env: dict[str, str] = attrs.field(factory=dict)
    words: dict[str, str] = attrs.field(factory=dict)
    values: dict[str, Any] = attrs.field(factory=dict)
    hosts: list[str] = attrs.field(factory=list)
    addresses: list[Address] = attrs.field(factory=list)
    sources: list[str] = attrs.field(factory=list)
    hidden: bool = False
    notes: list[Note] = attrs.field(factory=list)
    env_file: EnvFile | None = None
    incomplete: bool = False

    @property
    def folder(self) -> str:
        """That it runs in."""
        return str(self.values.get("folder", "/"))

    @property
    def places(self) -> list[Place]:
        """The files that say it."""
        return [*map(Place, self.sources)]

    def lost(self, place: Place, what: str, why: str, mend: str) -> None:
        """Notes what somebody has to see to, where this becomes a site."""
        self.notes.append(Note(place, what, why, mend))


@attrs.define
class Front:
    """A server block of nginx that passes requests on, or redirects them.

    Attributes:
        place: where it begins.
        names: hosts, the canonical one first.
        patterns: `*.example.com`.
        default: it answers for all other hosts.
        address: of the program; None where it only redirects.
        passed: where that is said.
        directive: which says it, such as "proxy_pass http://unix:/run/shop.sock".
        target: the host that it redirects to, or "".
        values: keys of a site file.
    """

    place: Place
    names: list[str]
    patterns: list[str]
    default: bool = False
    address: Address | None = None
    passed: Place = attrs.field(default=Place(""))
    directive: str = ""
    target: str = ""
    values: dict[str, Any] = attrs.field(factory=dict)


class Findings:
    """Collects what the readers find.

    Attributes:
        programs: in the order in which they were found.
        fronts: likewise.
        notes: what no site file will say.
    """

    def __init__(self) -> None:
        self.programs: list[Program] = []
        self.fronts: list[Front] = []
        self.notes: list[Note] = []

    def lost(self, place: Place, what: str, why: str, mend: str) -> None:
        """Notes what somebody has to see to."""
        self.note(Note(place, what, why, mend))

    def kept(self, place: Place, what: str, why: str, mend: str) -> None:
        """Notes what goes on as it was."""
        self.note(Note(place, what, why, mend, kept=True))

    def note(self, note: Note) -> None:
        """Notes something, once."""
        if note not in self.notes:
            self.notes.append(note)


def in_short(words: Iterable[str], longest: int = 80) -> str:
    """A directive as it is shown in a list."""
    text = " ".join(words)
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def in_list(names: list[str], most: int = 5) -> str:
    """Names as they are shown in a list: the first few of them."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")

"""systemd's units: services, and the sockets that they are handed."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from luisito.importing.commands import server_of
from luisito.importing.found import EnvFile, Place, Program, address
from luisito.importing.service_keys import KEYS, NOTIFY, OWN, lost_why
from luisito.importing.text import lines
from luisito.importing.words import split, variables

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from luisito.importing.files import Source
    from luisito.importing.found import Address, Findings
    from luisito.importing.text import Line

_PREFIXES: Final = "@-:+!"
_SPECIFIER: Final = re.compile(r"%(.)")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Unit(NamedTuple):
    """A unit with its drop-ins.

    Attributes:
        name: such as "gunicorn@shop.service".
        sources: its files, in the order in which they count.
    """

    name: str
    sources: list[Source]

    def lines(self, instance: bool = True) -> Iterator[tuple[Place, Line]]:
        """Its assignments, specifiers replaced."""
        for source in self.sources:
            for line in lines(source.text):
                value = _specified(line.value, self.name) if instance else line.value
                yield Place(source.path, line.number), line._replace(value=value)


def _specified(text: str, unit: str) -> str:
    """Replaces specifiers (systemd.unit(5)) that say no more than the unit's name does."""
    stem, _, _ = unit.rpartition(".")
    prefix, at, instance = stem.partition("@")
    known = {
        "%": "%", "n": unit, "N": stem, "p": prefix if at else stem, "i": instance,
        "I": instance.replace("-", "/"), "t": "/run", "S": "/var/lib", "C": "/var/cache",
        "L": "/var/log", "E": "/etc",
    }  # fmt: skip
    return _SPECIFIER.sub(lambda match: known.get(match[1], match[0]), text)


def _is_of_a_server(unit: Unit) -> bool:
    """Whether a unit starts an app server that is known."""
    starts = (line.value for _, line in unit.lines() if line.name == "ExecStart")
    return any(server_of(text.lstrip(_PREFIXES).split()) is not None for text in starts)


class Units:
    """The units of all sources, put together at the end.

    Args:
        found: gets programs and notes.
    """

    def __init__(self, found: Findings) -> None:
        self._found = found
        self._units: dict[str, Unit] = {}
        self._drops: dict[str, list[Source]] = {}
        self._instances: dict[str, list[str]] = {}

    def add(self, source: Source) -> None:
        """Adds a file of a unit, or a drop-in of one."""
        folder, name = os.path.split(source.path)
        above = os.path.basename(folder)
        if above.endswith(".d") and name.endswith(".conf"):
            self._drops.setdefault(above.removesuffix(".d"), []).append(source)
        else:
            self._units.setdefault(name, Unit(name, [source]))

    def enabled(self, name: str) -> None:
        """Notes an instance: `gunicorn@shop.service`, of the unit `gunicorn@.service`."""
        prefix, at, rest = name.partition("@")
        instance, _, kind = rest.rpartition(".")
        if at and instance:
            known = self._instances.setdefault(f"{prefix}@.{kind}", [])
            if name not in known:
                known.append(name)

    def finish(self) -> None:
        """Makes programs of them."""
        units = self._whole()
        sockets: dict[str, list[tuple[Unit, list[Address]]]] = {}
        for unit in units:
            if unit.name.endswith(".socket"):
                service, bound = self._socket(unit)
                sockets.setdefault(service, []).append((unit, bound))
        for unit in units:
            if unit.name.endswith(".service"):
                self._service(unit, sockets.get(unit.name, []))

    def _whole(self) -> list[Unit]:
        """All units, an instance for each that is known, with drop-ins."""
        for name in [*self._units]:
            if name.endswith("@.service"):  # a socket's instances are its service's, too
                socket = name.removesuffix(".service") + ".socket"
                both = self._instances.get(name, []) + [
                    one.removesuffix(".socket") + ".service"
                    for one in self._instances.get(socket, [])
                ]
                if both:
                    self._instances[name] = [*dict.fromkeys(both)]
        units = []
        for name, unit in self._units.items():
            stem, _, kind = name.rpartition(".")
            names = [name]
            if stem.endswith("@"):
                names = self._instances.get(name, [])
                if not names and kind == "service" and _is_of_a_server(unit):
                    why = "is a template of which no instance is enabled here"
                    mend = "name the folder too where NAME.wants/ has its links"
                    self._found.lost(Place(unit.sources[0].path), name, why, mend)
            for each in names:
                drops = self._drops.get(each, []) + (
                    self._drops.get(name, []) if each != name else []
                )
                units.append(Unit(each, unit.sources + drops))
        return units

    def _socket(self, unit: Unit) -> tuple[str, list[Address]]:
        service = unit.name.removesuffix(".socket") + ".service"
        bound: list[Address] = []
        for _, line in unit.lines():
            if line.section == "Socket" and line.name == "ListenStream":
                one = address(line.value) if line.value else None
                bound = bound + [one] if one is not None else bound if line.value else []
            elif line.section == "Socket" and line.name == "Service" and line.value:
                service = line.value
        return service, bound

    def _service(self, unit: Unit, sockets: list[tuple[Unit, list[Address]]]) -> None:
        sources = [*unit.sources, *(source for of, _ in sockets for source in of.sources)]
        program = Program(
            unit.name,
            Place(unit.sources[0].path),
            [],
            addresses=[one for _, bound in sockets for one in bound],
            sources=[source.path for source in sources],
            hidden=any(source.hidden for source in sources),
        )
        _Service(unit, program, self._found).read()


class _Service:
    """One service, read line by line; notes are kept until it is known to be of a site."""

    def __init__(self, unit: Unit, program: Program, found: Findings) -> None:
        self._unit, self._program, self._found = unit, program, found
        self._starts: list[tuple[Place, str]] = []
        self._files: list[tuple[Place, str]] = []

    def read(self) -> None:
        program = self._program
        for place, line in self._unit.lines():
            if line.section == "Service":
                self._line(place, line.name, line.value)
        starts = [(place, text) for place, text in self._starts if text]
        if not starts:
            return
        program.place = starts[-1][0]
        self._env_file()
        words = split(starts[-1][1].lstrip(_PREFIXES))
        if not words:
            self._program.lost(
                program.place, "ExecStart", "a quote is not closed", "mend that line"
            )
            return
        if starts[-1][1][:1] == "@":
            del words[1:2]
        program.argv, unknown = variables(words, program.env)
        for name in unknown:
            why = "its value is not told in Environment="
            mend = f"write it into {program.place.path} in place of ${name}, and import again"
            self._program.lost(program.place, f"${name} in ExecStart", why, mend)
        if len(starts) > 1:
            why = "a site has one command, the last of these"
            self._program.lost(
                program.place, "ExecStart", why, "write a script that ends with exec"
            )
        if unknown:
            program.incomplete = True
        self._found.programs.append(program)

    def _line(self, place: Place, name: str, value: str) -> None:
        program = self._program
        if name == "ExecStart":
            self._starts = [*self._starts, (place, value)] if value else []
        elif name == "Environment":
            self._environment(place, value)
        elif name == "EnvironmentFile":
            self._files = [*self._files, (place, value)] if value else []
        elif name == "Type":
            program.values.pop("ready", None)
            if value in NOTIFY:
                program.values["ready"] = "notify"
        elif name in KEYS:
            if not value:
                return
            keys: Mapping[str, Any] | None = KEYS[name](name, value)
            if keys is None or ("stop_command" in keys and "stop_command" in program.values):
                why = "is no value that a key can have"
                self._program.lost(
                    place, f"{name}={value}", why, "see docs/sites.md for the nearest key"
                )
                return
            for key, said in keys.items():
                if isinstance(said, dict):
                    program.values[key] = {**program.values.get(key, {}), **said}
                else:
                    program.values[key] = said
        elif name not in OWN:
            why, mend = lost_why(name)
            self._program.lost(place, f"{name}={value}", why, mend)

    def _environment(self, place: Place, value: str) -> None:
        if not value:
            self._program.env.clear()
        words = split(value)
        if words is None:
            self._program.lost(place, "Environment", "a quote is not closed", "mend that line")
            return
        for word in words:
            name, equals, text = word.partition("=")
            if equals and _NAME.fullmatch(name):
                self._program.env[name] = text

    def _env_file(self) -> None:
        for index, (place, value) in enumerate(self._files):
            path = value.removeprefix("-")
            if index:
                why = "a site has one env_file"
                self._program.lost(place, f"EnvironmentFile={value}", why, "put the files together")
                continue
            self._program.env_file = EnvFile(place, path, value.startswith("-"))

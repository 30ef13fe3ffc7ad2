"""supervisord's programs (supervisord.org, "Configuration File")."""

from __future__ import annotations

import os
import re
import shlex
from typing import TYPE_CHECKING, Final

from luisito.importing.found import Place, Program
from luisito.importing.text import lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from luisito.importing.files import Source
    from luisito.importing.found import Findings
    from luisito.importing.text import Line

_VARIABLE: Final = re.compile(r"%\(([A-Za-z0-9_]+)\)(?:s|(0?\d?)d)|%%")
_PAIR: Final = re.compile(
    r"""\s*([A-Za-z_][A-Za-z0-9_]*)\s*=\s*("[^"]*"|'[^']*'|[^,"'\s]*)\s*(?:,|$)"""
)
_SIGNALS: Final = frozenset({"TERM", "INT", "QUIT", "HUP", "USR1", "USR2"})

_OWN: Final = frozenset(
    {
        "process_name", "priority", "autostart", "autorestart", "startsecs", "startretries",
        "exitcodes", "stopasgroup", "killasgroup", "redirect_stderr", "serverurl", "loglevel",
    }
)  # fmt: skip
"""What Luisito does in ways of its own."""


def is_supervisor(section: str) -> bool:
    """Whether a section is one of supervisord's."""
    return section.startswith(
        ("program:", "group:", "fcgi-program:", "eventlistener:")
    ) or section in ("supervisord", "unix_http_server", "supervisorctl", "inet_http_server")


def included(source: Source) -> Iterator[str]:
    """The patterns of files that [include] names, absolute."""
    folder = os.path.dirname(os.path.abspath(source.path))
    for line in lines(source.text, indented=True):
        if line.section == "include" and line.name == "files":
            for pattern in line.value.replace("%(here)s", folder).split():
                yield os.path.join(folder, pattern)


def programs(source: Source, found: Findings) -> None:
    """Finds the programs of a file.

    Args:
        source: of it.
        found: gets them, and notes.
    """
    sections: dict[str, list[Line]] = {}
    for line in lines(source.text, indented=True):
        sections.setdefault(line.section, []).append(line)
    for section, of in sections.items():
        kind, _, name = section.partition(":")
        if kind == "program":
            _Reading(source, name.strip(), of, found).read()
        elif kind == "fcgi-program":
            why = "Luisito speaks HTTP to servers"
            mend = "leave it to supervisord"
            found.lost(Place(source.path, of[0].number), section, why, mend)
        elif section == "supervisord":
            for line in of:
                if line.name in ("minfds", "minprocs", "user", "environment", "umask"):
                    why = "is of supervisord as a whole"
                    mend = "see RLIMITS, ENV and RUN_AS of settings.py"
                    found.kept(Place(source.path, line.number), line.name, why, mend)


class _Reading:
    """One program."""

    def __init__(self, source: Source, name: str, of: list[Line], found: Findings) -> None:
        self._source, self._lines, self._found = source, of, found
        place = Place(source.path, of[0].number)
        self._program = Program(
            f"program:{name}", place, [], sources=[source.path], hidden=source.hidden
        )
        self._known = {
            "program_name": name,
            "group_name": name,
            "here": os.path.dirname(os.path.abspath(source.path)),
            "process_num": "0",
            "numprocs": "1",
        }
        self._unknown: list[str] = []

    def read(self) -> None:
        program = self._program
        command = ""
        for line in self._lines:
            place = Place(self._source.path, line.number)
            value = self._put(line.value)
            if line.name == "command":
                program.place, command = place, value
            elif line.name == "environment":
                self._environment(place, value)
            else:
                self._key(place, line.name, value)
        try:
            program.argv = shlex.split(command)
        except ValueError:
            self._program.lost(program.place, "command", "a quote is not closed", "mend that line")
        if not program.argv:
            return
        for name in dict.fromkeys(self._unknown):
            why = "its value is not told here"
            mend = f"write it in the place of %({name})s, and import again"
            self._program.lost(program.place, f"%({name})s", why, mend)
        program.incomplete = bool(self._unknown)
        self._found.programs.append(program)

    def _key(self, place: Place, name: str, value: str) -> None:
        values = self._program.values
        if name == "directory" and value.startswith("/"):
            values["folder"] = value
        elif name == "user" and value:
            values["user"] = int(value) if value.isdecimal() else value
        elif name == "stopsignal" and value.upper().removeprefix("SIG") in _SIGNALS:
            values["stop_signal"] = value.upper().removeprefix("SIG")
        elif name == "stopwaitsecs" and value.isdecimal() and int(value[:9]):
            values["stop_timeout"] = int(value[:9])
        elif name == "numprocs":
            if value != "1":
                why = "a site has one server, the first of these"
                self._program.lost(place, f"numprocs={value}", why, "let it have more workers")
        elif name not in _OWN and not name.startswith(("stdout_", "stderr_")):
            why, mend = "no key says that", "see docs/sites.md for what is nearest"
            self._program.lost(place, f"{name}={value}", why, mend)

    def _environment(self, place: Place, value: str) -> None:
        at = 0
        while at < len(value):
            match = _PAIR.match(value, at)
            if match is None:
                why = 'is not NAME="VALUE",NAME="VALUE"'
                self._program.lost(place, "environment", why, "write it so, and import again")
                return
            text = match[2]
            self._program.env[match[1]] = text[1:-1] if text[:1] in ("'", '"') else text
            at = match.end()

    def _put(self, text: str) -> str:
        """Replaces %(NAME)s, as far as the file tells what it stands for."""

        def put(match: re.Match[str]) -> str:
            name = match[1]
            if name is None:
                return "%"
            if name not in self._known:
                self._unknown.append(name)
            text = self._known.get(name, match[0])
            return format(int(text), f"{match[2]}d") if match[2] and text.isdecimal() else text

        return _VARIABLE.sub(put, text)

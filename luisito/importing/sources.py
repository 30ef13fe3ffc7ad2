"""What somebody names, recognised by what it is, and read."""

from __future__ import annotations

import glob
import os
from typing import TYPE_CHECKING

from luisito.errors import ImportFailed
from luisito.importing import nginx, procfile, puma_dev, supervisor, uwsgi, uwsgi_files
from luisito.importing.files import TooMany, is_folder
from luisito.importing.found import Place, in_list
from luisito.importing.nginx_files import Includes
from luisito.importing.systemd import Units
from luisito.importing.text import sections

if TYPE_CHECKING:
    from luisito.importing.files import Files, Source
    from luisito.importing.found import Findings
    from luisito.importing.nginx_text import Directive

_UNITS = (".service", ".socket")
_OTHER_UNITS = (".target", ".timer", ".mount", ".automount", ".path", ".slice", ".swap", ".device")
_UWSGI = "uwsgi"
_VASSALS = (".yaml", ".yml", ".xml")


class Sources:
    """Reads sources one by one; `finish` when all are read.

    Args:
        files: what may be read.
        found: gets what is found.
        host: that the option --host names, or "".
    """

    def __init__(self, files: Files, found: Findings, host: str = "") -> None:
        self._files, self._found, self._host = files, found, host
        self._units = Units(found)
        self._includes = Includes(files, found)
        self._nginx: list[Directive] = []
        self._read: set[str] = set()

    def add(self, path: str) -> None:
        """Reads a file or a folder that somebody has named.

        Raises:
            ImportFailed: it cannot be read, or is nothing that is known.
        """
        path = os.path.abspath(os.path.expanduser(path))
        if puma_dev.is_link(path) and os.path.exists(os.path.join(path, "config.ru")):
            puma_dev.app(path, self._files, self._found)
        elif is_folder(path):
            self._folder(path)
        elif not self._file(self._files.read(path)):
            raise ImportFailed(
                f"{path}: is nothing that is known; name a file of nginx, a unit ..."
            )

    def finish(self) -> None:
        """Puts together what several files say."""
        nginx.fronts(self._nginx, self._found)
        self._units.finish()

    def _folder(self, path: str) -> None:
        names = self._files.names(path)
        for main in ("nginx.conf", "supervisord.conf", "Procfile"):
            if main in names:
                self._try(os.path.join(path, main))
                if main != "Procfile":
                    return
                names.remove(main)
        if os.path.basename(path) == ".puma-dev":
            names = [name for name in os.listdir(path) if not name.startswith(".")]
        unknown = []
        for name in sorted(names):
            each = os.path.join(path, name)
            if puma_dev.is_link(each):
                puma_dev.app(each, self._files, self._found)
            elif is_folder(each):
                self._below(each, name)
            elif not name.endswith(_OTHER_UNITS) and not self._try(each):
                unknown.append(name)
        if unknown:
            why, mend = "is nothing that is known", "nothing to do"
            self._found.kept(Place(path), in_list(unknown), why, mend)

    def _below(self, path: str, name: str) -> None:
        """A folder in one: drop-ins of a unit, or links that enable instances."""
        if name.endswith(tuple(f"{kind}.d" for kind in _UNITS)):
            for each in self._files.names(path):
                if each.endswith(".conf"):
                    self._try(os.path.join(path, each))
        elif name.endswith((".wants", ".requires")):
            for each in self._files.names(path):
                self._units.enabled(each)

    def _try(self, path: str) -> bool:
        """Reads a file of a folder; what cannot be read is noted, as it was not named."""
        real = os.path.realpath(path)
        if real in self._includes.read or real == os.devnull:  # a unit that is masked
            return True
        try:
            return self._file(self._files.read(path))
        except TooMany:
            raise
        except ImportFailed as error:
            why, _, mend = str(error).rpartition("; ")
            where, _, what = why.partition(": ")
            self._found.lost(Place(where), "", what, mend)
            return True

    def _file(self, source: Source) -> bool:
        """Reads a file by what it is; False where it is nothing that is known."""
        path = source.path
        real = os.path.realpath(path)
        if real in self._read or real in self._includes.read:
            return True
        name = os.path.basename(path)
        known = sections(source.text)
        if name.endswith(_UNITS) or os.path.dirname(path).endswith(tuple(f"{k}.d" for k in _UNITS)):
            self._units.add(source)
        elif name.endswith(_VASSALS) or _UWSGI in known:
            if not self._vassal(source):
                return False
        elif any(map(supervisor.is_supervisor, known)):
            self._supervisor(source)
        elif "procfile" in name.lower() and procfile.is_procfile(source):
            self._procfile(source)
        elif puma_dev.is_port(source.text):
            puma_dev.port(path, source.text, self._found)
        elif not known and ("{" in source.text or (name.endswith(".conf") and ";" in source.text)):
            self._nginx += self._includes.open(path, source.text)
        else:
            return False
        self._read.add(real)
        return True

    def _vassal(self, source: Source) -> bool:
        options = uwsgi_files.options(source)
        if not options:
            return False
        if any(one.name == "emperor" for one in options) and len(options) < 12:
            return True  # it is the Emperor itself
        program = uwsgi.vassal(source, options, os.path.dirname(os.path.abspath(source.path)))
        named = uwsgi.host_of_name(source.path)
        if not program.hosts and named:
            program.hosts = [named]
        self._found.programs.append(program)
        return True

    def _supervisor(self, source: Source) -> None:
        supervisor.programs(source, self._found)
        for pattern in supervisor.included(source):
            for path in sorted(glob.iglob(self._files.real(pattern))):
                if os.path.realpath(path) not in self._read:
                    self._try(path)

    def _procfile(self, source: Source) -> None:
        for program in procfile.programs(source, self._found):
            if program.name == "web:" and self._host:
                program.hosts = [self._host]
            self._found.programs.append(program)

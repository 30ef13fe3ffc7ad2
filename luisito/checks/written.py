"""Where a site's file, or a base of it, says what a site is run by: for problems with that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from luisito.checks.report import Problem
from luisito.core.keys import site_of
from luisito.core.text import visible
from luisito.errors import SiteFileError
from luisito.settings.sites.draft import DEEPEST
from luisito.settings.sites.folder import BASE
from luisito.settings.sites.making import SUFFIX
from luisito.settings.sites.toml import parse
from luisito.settings.sites.words import dotted, shown

if TYPE_CHECKING:
    from luisito.checks.report import Mend
    from luisito.settings.sites.folder import Folder
    from luisito.settings.sites.lines import Path
    from luisito.settings.sites.toml import Text


class Said(NamedTuple):
    """A key where it is written.

    Attributes:
        where: the file and the line.
        key: as messages have it.
        value: that stands there.
    """

    where: str
    key: str
    value: object


class Written:
    """Finds keys in the files of one folder.

    Args:
        folder: SITES_DIR.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def find(self, site: str, key: str, worker: str | None = None) -> Said | None:
        """Find a key; None where no file says it.

        Args:
            site: key of a site or of a mount.
            key: the site key, or one of a table, "hooks.ready".
            worker: the name of a worker that it is of.
        """
        file = site_of(site) + SUFFIX
        mounted = site.removeprefix(site_of(site))
        for _ in range(DEEPEST + 1):
            text = self._read(file)
            if text is None:
                return None
            for path in _paths(text.table, key, mounted, worker):
                value: Any = text.table
                for step in path:
                    value = value[step]
                return Said(text.where(path), dotted(path), value)
            file = f"{text.table.get('extends')}{BASE}"
        return None

    def problem(
        self, site: str, key: str, what: str, mend: Mend, worker: str | None = None
    ) -> Problem:
        """A problem with what a key says; with the file where that comes from the settings.

        Args:
            site: see find.
            key: see find.
            what: is wrong.
            mend: of it.
            worker: see find.
        """
        said = self.find(site, key, worker)
        if said is None:
            return Problem(visible(self._folder.of(site_of(site) + SUFFIX)), visible(what), mend)
        where, named, value = said
        return Problem(where, visible(f"{named} = {shown(value)}: {what}"), mend)

    def _read(self, file: str) -> Text | None:
        try:
            source = self._folder.read(file)
            return None if source is None else parse(self._folder.of(file), source.data)
        except SiteFileError:  # it has changed since
            return None


def _paths(table: dict[str, Any], key: str, mounted: str, worker: str | None) -> list[Path]:
    """Where a key, or one of a table, may stand in a file, the nearest first."""
    top, _, within = key.partition(".")
    if within:
        tops = _paths(table, top, mounted, worker)
        return [(*path, within) for path in tops if within in _at(table, path)]
    if worker is not None:
        return [
            ("process", at, key)
            for at, one in enumerate(table.get("process", ()))
            if one.get("name") == worker and key in one
        ]
    below: list[Path] = [
        ("mount", at, key)
        for at, one in enumerate(table.get("mount", ()))
        if mounted and one.get("path") == mounted and key in one
    ]
    return [*below, (key,)] if key in table else below


def _at(table: dict[str, Any], path: Path) -> dict[str, Any]:
    """The table that stands somewhere in a file."""
    found: Any = table
    for step in path:
        found = found[step]
    return found if isinstance(found, dict) else {}

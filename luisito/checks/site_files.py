"""SITES_DIR as a Luisito would read it: its sites, and what is wrong with files."""

from __future__ import annotations

import json
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from luisito.checks.endpoints import Own, owned
from luisito.checks.report import Mend, Problem
from luisito.checks.sites import Judged, judge
from luisito.core.directory import BROKEN, Directory
from luisito.core.keeping import Keep, allot, complaint
from luisito.core.keys import site_of
from luisito.core.members import each
from luisito.core.routing import NO_SITE, Routes
from luisito.errors import SettingsError
from luisito.settings.sites.look import look
from luisito.settings.sites.tenants import known
from luisito.settings.sites.trust import Trust
from luisito.settings.terms import terms
from luisito.spawner.siteconfig import SiteConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from luisito.checks.whom import Whom
    from luisito.core.directory import Found
    from luisito.settings import Settings
    from luisito.spawner.config import Config

_KEYS: Final = {"": "its file's name", "default": "default = true"}
_message = re.compile(r"(.*?\.toml(?::\d+)?): (.*)", re.DOTALL).fullmatch


class SiteFiles(NamedTuple):
    """What was found.

    Attributes:
        directory: all sites, with those of the template.
        runs: run records by the keys of sites and mounts.
        broken: what is wrong with files, by their names without `.toml`.
        folder: what is wrong with the folder.
        crowded: not all can be kept as their files say.
        workers: the run records of workers, by the keys of their sites and by their names.
        owns: the endpoints of sites.
        alone: the keys of those whose `sticky` does nothing, as they have one server.
        frozen: the keys of those whose own files have them frozen.
        awake: the keys of those whose `hibernate` says nothing, as none is ever frozen.
    """

    directory: Directory
    runs: Mapping[str, dict[str, Any]]
    broken: Mapping[str, Problem]
    folder: Problem | None = None
    crowded: Problem | None = None
    workers: Mapping[str, Mapping[str, dict[str, Any]]] = MappingProxyType({})
    alone: frozenset[str] = frozenset()
    owns: tuple[Own, ...] = ()
    frozen: frozenset[str] = frozenset()
    awake: frozenset[str] = frozenset()

    def config_of(self, site: str, config: Config) -> Config:
        """What a site is started by: its file, else the template."""
        run = self.runs.get(site)
        return config if run is None else SiteConfig(config, json.dumps(run).encode("ascii"))

    def described(self, path: str) -> str:
        """How many there are, for people."""
        wrong = len(self.broken)
        files = f"{wrong} file{'' if wrong == 1 else 's'}"
        count = sum(key == site_of(key) for key in self.runs)
        return f"{count} site{'' if count == 1 else 's'} in {path}; {files} with an error"


def site_files(settings: Settings, who: Whom) -> SiteFiles:
    """Read all site files.

    Args:
        settings: checked.
        who: would read them.
    """
    routes = None
    if settings.cmd_tpl is not None:
        routes = Routes.of(settings.allowed_hosts, folders=settings.project_path is not None)
    directory = Directory(routes, terms(settings), files=settings.sites_dir is not None)
    if settings.sites_dir is None:
        return SiteFiles(directory, {}, {})
    trust = Trust(who.starter.uid, known(settings.tenants))
    try:
        seen, runs, workers = look(settings.sites_dir, {}, settings, trust)
    except SettingsError as error:
        where, _, what = str(error).partition(" = ")
        return SiteFiles(directory, {}, {}, _problem(where, what))
    good = [of.public for of in seen.values() if of.public is not None]
    directory.change(good)
    all_of_them = [of for one in good for of in (one, *one["mounts"])]
    alone = frozenset(
        of["site"] for of in all_of_them if of["sticky"] is not None and of["members"] == 1
    )
    after = "hibernate_after"
    frozen = frozenset(of["site"] for of in all_of_them if of["limits"].get(after) is not None)
    awake = frozenset(
        of["site"]
        for of in all_of_them
        if of["hibernate"] and of["limits"].get(after, settings.hibernate_after) is None
    )
    directory.withhold(name for name, of in seen.items() if of.public is None)
    broken = {name: _of_file(of.error) for name, of in seen.items() if of.error}
    crowded = _crowded(good, settings)
    owns = tuple(owned(good))
    return SiteFiles(directory, runs, broken, None, crowded, workers, alone, owns, frozen, awake)


def _crowded(good: list[dict[str, Any]], settings: Settings) -> Problem | None:
    keeps = {
        server["site"]: Keep(server["keep"])
        for one in good
        for of in (one, *one["mounts"])
        for server in each(of)
    }
    wishes = {name: keep for name, keep in keeps.items() if keep is not Keep.DEMAND}
    allotment = allot(wishes, settings.max_servers)
    what = complaint(allotment, settings.max_servers)
    mend = Mend("write", f"MAX_SERVERS = {allotment.needed}")
    return Problem("SITES_DIR", what, mend) if what else None


def _of_file(message: str) -> Problem:
    match = _message(message)
    return _problem(*match.groups()) if match is not None else _problem("SITES_DIR", message)


def _problem(where: str, message: str) -> Problem:
    what, _, mend = message.rpartition("; ")
    return Problem(where, what, Mend("do", mend))


def judged(files: SiteFiles, settings: Settings, host: str) -> Judged:
    """Tell whether a host is a site, and why, where no site file has it."""
    if host in files.broken:
        return Judged("", BROKEN, files.broken[host])
    if settings.cmd_tpl is None:
        path = f"{settings.sites_dir}/{host}.toml"
        mend = Mend("do", f"write {path}, or add it to the hosts of another site")
        return Judged("", NO_SITE, Problem("SITES_DIR", f"no site file has {host}", mend))
    routes = Routes.of(settings.allowed_hosts, folders=settings.project_path is not None)
    return judge(settings, routes, host)


def why(found: Found) -> str:
    """What gives a host to a site of a file, for people."""
    key = found.key or ""
    said = _KEYS.get(key, f"{found.written!r} of its {key}")
    return f"by {said}, {found.destination.path}"

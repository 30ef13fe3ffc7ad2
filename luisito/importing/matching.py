"""Puts fronts and programs together: a program with the hosts that are passed to it is a site."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import attrs

from luisito.importing.commands import literal, server_of
from luisito.importing.files import is_there
from luisito.importing.found import Place, in_list
from luisito.importing.settling import listens, settle
from luisito.importing.workers import give, is_worker

if TYPE_CHECKING:
    from luisito.importing.files import Files
    from luisito.importing.found import Findings, Front, Program

_VASSALS: Final = (".ini", ".yaml", ".yml", ".xml")


@attrs.define
class Site:
    """A site file to be.

    Attributes:
        name: its host.
        values: of its keys; `command` is a list of words.
        places: that say it.
        hidden: not everybody may read one of them.
        fronts: blocks of nginx that pass requests to it.
    """

    name: str
    values: dict[str, Any]
    places: list[Place]
    hidden: bool
    fronts: list[Front]


def sites(found: Findings, files: Files, host: str = "") -> list[Site]:
    """Makes sites of what was found.

    Args:
        found: of all sources; gets notes of what is no site.
        files: what may be read.
        host: of the one site of which nothing says it, or "".
    """
    programs = _settled(found, files)
    fronts = _passed(found, programs)
    lone = [
        of
        for at, of in enumerate(programs)
        if not of.hosts and _serves(of) and not any(front.names for front in fronts[at])
    ]
    if host and len(lone) == 1:
        lone[0].hosts = [host]
    made = []
    for program, of in zip(programs, fronts, strict=True):
        site = _site(program, of, found, files)
        if site is not None:
            made.append(site)
    for program, of in zip(programs, fronts, strict=True):
        alone = program.argv and not of and not program.hosts and not _serves(program)
        if alone and is_worker(program):
            give(program, made, found)
    _others(found, [one for one, of in zip(programs, fronts, strict=True) if not of])
    _redirects(found, made)
    return made


def _others(found: Findings, programs: list[Program]) -> None:
    """Notes units of which nothing says that they have to do with a site, a line a folder."""
    folders: dict[str, list[str]] = {}
    for one in programs:
        told = one.hosts or _serves(one) or is_worker(one)
        if one.name.endswith(".service") and one.argv and not told:
            folders.setdefault(os.path.dirname(one.place.path), []).append(one.name)
    for folder, names in folders.items():
        found.kept(
            Place(folder), in_list(names), "belongs to no site that was found", "nothing to do"
        )


def _settled(found: Findings, files: Files) -> list[Program]:
    told = {os.path.realpath(path) for one in found.programs if (path := settle(one, files))}
    # what a unit tells by its file is that unit's, not a vassal's
    return [one for one in found.programs if os.path.realpath(one.place.path) not in told]


def _passed(found: Findings, programs: list[Program]) -> list[list[Front]]:
    """The fronts of each program."""
    fronts: list[list[Front]] = [[] for _ in programs]
    for front in found.fronts:
        if front.address is None:
            continue
        for program, of in zip(programs, fronts, strict=True):
            if listens(program, front.address):
                of.append(front)
                break
        else:
            why = f"nothing that was read listens at {front.address}"
            mend = "name the file or folder that tells of its server"
            found.lost(front.passed, front.directive, why, mend)
    return fronts


def _site(program: Program, fronts: list[Front], found: Findings, files: Files) -> Site | None:
    if not program.argv:
        return None
    names = [*dict.fromkeys([*(name for of in fronts for name in of.names), *program.hosts])]
    values = {**program.values}
    patterns = [pattern for of in fronts for pattern in of.patterns] + values.pop("hosts", [])
    if not names and not patterns:
        _nobody(program, fronts, found)
        return None
    for note in program.notes:
        found.note(note)
    if program.command is None or program.incomplete:
        return None
    if "user" not in values and program.name.endswith(".service"):
        why = "no User=, so systemd runs it as root; Luisito goes by RUN_AS"
        mend = "write user into the site's file if that is another"
        found.kept(program.place, program.name, why, mend)
    name = names[0] if names else f"www.{patterns[0].removeprefix('*.')}"
    for of in fronts:
        values = {**of.values, **values}
    values["command"] = program.command
    values["env"] = {key: literal(text) for key, text in program.env.items()} | program.words
    values["aliases"] = [one for one in names if one != name]
    values["hosts"] = [*dict.fromkeys(patterns)]
    values["default"] = values.get("default") or any(of.default for of in fronts) or None
    values["env_file"] = _env_file(program, str(values.get("folder", "/")), found, files)
    for key in ("folder", "virtualenv"):
        if key in values:
            values[key] = literal(values[key])
    places = [*(of.place for of in fronts), *program.places]
    return Site(name, values, places, program.hidden, fronts)


def _env_file(program: Program, folder: str, found: Findings, files: Files) -> str | None:
    file = program.env_file
    if file is None:
        return None
    there = is_there(files.real(os.path.join(folder, file.path)))
    if file.optional and not there:
        why = "is not there, and the env_file of a site has to be"
        found.lost(file.place, f"EnvironmentFile=-{file.path}", why, "write env_file when it is")
        return None
    if file.path.startswith("/"):
        why = "env_file is read with the rights of the site's user, not of root"
        mend = f"see that this user may read {file.path}"
        found.kept(file.place, f"EnvironmentFile={file.path}", why, mend)
    return literal(file.path)


def _nobody(program: Program, fronts: list[Front], found: Findings) -> None:
    """Notes a program that is no site, if it is likely that it belongs to one."""
    if fronts or _serves(program):
        why, mend = "no host is known of it", "give --host HOST, or name nginx's folder, too"
        found.lost(program.place, program.name.rstrip(":"), why, mend)


def _serves(program: Program) -> bool:
    """Whether it is known to be an app server."""
    known = server_of(program.argv) is not None or program.name.endswith((":", *_VASSALS))
    return bool(program.command) and known and (bool(program.addresses) or program.name == "web:")


def _redirects(found: Findings, made: list[Site]) -> None:
    """Gives hosts that nginx redirects to the sites where they lead."""
    owners = {site.name: site for site in made}
    taken = {host for site in made for host in (site.name, *site.values["aliases"])}
    for front in found.fronts:
        if front.address is not None:
            continue
        site = owners.get(front.target)
        if site is None:
            found.kept(front.passed, front.directive, "it stays with nginx", "nothing to do")
            continue
        site.places.append(front.place)
        redirects = site.values.setdefault("redirects", [])
        for name in front.names:
            if name not in taken:
                taken.add(name)
                redirects.append(name)

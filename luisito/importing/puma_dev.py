"""puma-dev's folder of links: each to the folder of an app, or a file with a port."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from luisito.core.host import normalize
from luisito.errors import BadHost, ImportFailed
from luisito.importing.files import is_folder, is_there
from luisito.importing.found import EnvFile, Place, Program

if TYPE_CHECKING:
    from luisito.importing.files import Files
    from luisito.importing.found import Findings

DOMAIN: Final = "test"
_PORT: Final = re.compile(r"\s*(?:https?://)?(?:[A-Za-z0-9.-]+:)?\d{1,5}/?\s*")
_SCRIPTS: Final = (".powconfig", ".powrc", ".powenv", ".pumaenv", ".rvmrc")


def is_link(path: str) -> bool:
    """Whether it is a link to a folder, as puma-dev has them."""
    return os.path.islink(path) and is_folder(path)


def is_port(text: str) -> bool:
    """Whether it is a file with an address that puma-dev passes requests on to."""
    return _PORT.fullmatch(text) is not None


def name_of(name: str) -> str:
    """The host of a link, or ""."""
    try:
        return normalize(f"{name.lower()}.{DOMAIN}".encode())
    except (BadHost, UnicodeError):
        return ""


def port(path: str, text: str, found: Findings) -> None:
    """Notes a file with a port."""
    host = name_of(os.path.basename(path))
    why = "is a server that somebody else starts, which no site can be"
    mend = "write a site file with its command, or let nginx pass it on"
    found.lost(Place(path), f"{host} at {text.strip()}", why, mend)


def app(path: str, files: Files, found: Findings) -> None:
    """Makes a program of a link to a folder.

    Args:
        path: of the link.
        files: what may be read.
        found: gets it, and notes.
    """
    place = Place(path)
    name = os.path.basename(path)
    host = name_of(name)
    folder = os.path.realpath(path)
    if not host:
        found.lost(place, name, "is no host's name", "rename the link")
        return
    if not is_there(os.path.join(folder, "config.ru")):
        why = f"there is no config.ru in {folder}"
        found.lost(place, name, why, "write a site file with its command")
        return
    try:
        bundled = "gem" in files.read(os.path.join(folder, "Gemfile")).text
    except ImportFailed:
        bundled = False
    words = ["bundle", "exec", "puma"] if bundled else ["puma"]
    config = os.path.join("config", "puma-dev.rb")
    if is_there(os.path.join(folder, config)):
        words += ["-C", config]
    else:
        words += ["-w", "0", "-t", "0:5"]
    program = Program(name, place, words, hosts=[host], sources=[path])
    program.values["folder"] = folder
    program.values["hosts"] = [f"*.{host}"]
    if name == "default":
        program.values["default"] = True
    if is_there(os.path.join(folder, ".env")):
        program.env_file = EnvFile(place, ".env", False)
    for script in _SCRIPTS:
        if is_there(os.path.join(folder, script)):
            why = "is a script, which is not run"
            mend = "write what it sets into env"
            program.lost(Place(os.path.join(folder, script)), "", why, mend)
    found.programs.append(program)

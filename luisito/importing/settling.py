"""Has each program listen where Luisito says, as far as it can be known where it listened."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from luisito.errors import ImportFailed
from luisito.importing import gunicorn_conf, uwsgi, uwsgi_files
from luisito.importing.commands import literal, replace, rewrite, server_of
from luisito.importing.files import Source
from luisito.importing.found import Note, Place, address, in_short

if TYPE_CHECKING:
    from luisito.importing.commands import Rewritten
    from luisito.importing.files import Files
    from luisito.importing.found import Address, Program

_FILES = frozenset({"ini", "yaml", "yml", "xml", "i", "y", "x"})


def settle(program: Program, files: Files) -> str:
    """Finds where a program listens, by what kind of server it is.

    Args:
        program: gets addresses and its command, where it is of a kind that is known.
        files: what may be read.

    Returns:
        The path of the file that it is told by, and no program of its own; "" for none.
    """
    if program.command is not None or not program.argv:
        return ""
    found = server_of(program.argv)
    if found is not None and found[1] == "uwsgi":
        return _uwsgi(program, found[0], files)
    handed = bool(program.addresses)
    rewritten = rewrite(program.argv, handed=handed, folder=program.folder)
    if rewritten is None:
        if handed:
            program.command = [literal(word) for word in program.argv]
        return ""
    if found is not None and found[1] == "gunicorn":
        rewritten = _configured(program, found[0], rewritten, files)
    program.addresses += rewritten.addresses
    for option, why in rewritten.dropped:
        program.notes.append(
            Note(program.place, option, f"is left out: {why}", "nothing to do", kept=True)
        )
    program.values = {**rewritten.keys, **program.values}
    if rewritten.folder.startswith("/"):
        program.values.setdefault("folder", rewritten.folder)
    program.command = rewritten.words
    return ""


def _configured(program: Program, at: int, done: Rewritten, files: Files) -> Rewritten:
    """What gunicorn's configuration file says, which its command line goes before."""
    written = gunicorn_conf.path_of(program.argv[at + 1 :])
    path = os.path.join(program.folder, done.folder, written)
    try:
        source = files.read(files.real(path))
    except ImportFailed as error:
        if written != gunicorn_conf.DEFAULT:
            why, _, mend = str(error).rpartition("; ")
            program.notes.append(Note(program.place, f"-c {written}", why, mend, kept=True))
        return done
    said = gunicorn_conf.settings(source.text)
    program.sources.append(source.path)
    program.hidden |= source.hidden
    place = Place(source.path)
    for name in ("daemon", "pidfile", "umask"):
        if said.get(name):
            why, mend = "does not go with Luisito", "remove it when the unit is stopped"
            program.lost(place, f"{name} = {said[name]!r}", why, mend)
    keys = {key: said[key] for key in ("user", "group") if isinstance(said.get(key), str | int)}
    chdir = said.get("chdir")
    folder = done.folder or (chdir if isinstance(chdir, str) else "")
    addresses = done.addresses
    bound = gunicorn_conf.binds(said)
    if bound and not done.told:
        inside = os.path.join(program.folder, folder)
        addresses = [one for text in bound if (one := address(text, inside)) is not None]
    return done._replace(addresses=addresses, keys={**keys, **done.keys}, folder=folder)


def _uwsgi(program: Program, at: int, files: Files) -> str:
    """Has uWSGI be told all on its command line, its file as well."""
    read: list[uwsgi_files.Option] = []
    source = None
    words = program.argv[at + 1 :]
    while words:
        word = words.pop(0)
        name, equals, value = word.lstrip("-").partition("=")
        if not word.startswith("-"):
            name, value = "ini", word
        elif not equals and words and not words[0].startswith("-"):
            value = words.pop(0)
        if name == "emperor":
            program.argv = []  # its vassals are programs, and it is none
            return ""
        if name not in _FILES:
            read.append(uwsgi_files.Option(name, value or "true", program.place.line))
            continue
        path = files.real(os.path.join(program.folder, value))
        try:
            source = files.read(path)
            read += uwsgi_files.options(source)
        except ImportFailed as error:
            why, _, mend = str(error).rpartition("; ")
            mend = f"{mend}, or give --root DIR where its files are a copy"
            program.lost(program.place, word, why, mend)
            program.incomplete = True
    of = source or Source(program.place.path, "", program.hidden)
    made = uwsgi.vassal(of, read, program.folder, binary=literal(program.argv[at]))
    program.command = made.command
    program.values = {"folder": program.folder, **made.values, **program.values}
    if "folder" in made.values:
        program.values["folder"] = made.values["folder"]
    program.env = {**program.env, **made.env}
    program.addresses += made.addresses
    program.hosts += made.hosts
    if not program.incomplete:  # else they tell of what is missing anyway
        program.notes += made.notes
    program.hidden |= made.hidden
    program.incomplete |= made.incomplete
    program.sources = [*dict.fromkeys([*program.sources, *made.sources])]
    return source.path if source is not None else ""


def listens(program: Program, meant: Address) -> bool:
    """Whether a program listens there; one of a kind that is not known does if it names that.

    Args:
        program: gets its command where it is so.
        meant: to which nginx passes requests.
    """
    if meant in program.addresses:
        return program.command is not None
    if program.command is not None or not program.argv:
        return False
    replaced = replace(program.argv, program.env, meant)
    if replaced is None:
        return False
    program.addresses.append(meant)
    program.command = replaced.words
    program.words = {
        name: text for name, text in replaced.env.items() if text != literal(program.env[name])
    }
    if replaced.open:
        why = "listens on all addresses of this machine"
        mend = "let it listen on 127.0.0.1"
        program.lost(program.place, in_short(program.argv), why, mend)
    return True

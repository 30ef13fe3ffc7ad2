"""Workers: programs without a socket, which live beside the site that they belong to."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final

from luisito.importing.commands import literal
from luisito.importing.found import Note
from luisito.settings.sites.processes import MOST

if TYPE_CHECKING:
    from luisito.importing.found import Findings, Program
    from luisito.importing.matching import Site

_KNOWN: Final = frozenset({"celery", "rq", "rqworker", "sidekiq", "dramatiq", "huey_consumer"})
_OWN: Final = frozenset({"stop_signal", "stop_timeout"})
_OF_NONE: Final = frozenset({"folder", "user", "ready"})  # is that of the site, or of no use


def is_worker(program: Program) -> bool:
    """Whether a program is likely to be a worker of a site."""
    if program.name.endswith(":") or program.name.startswith("program:"):
        return True
    return any(os.path.basename(word) in _KNOWN for word in program.argv[:4])


def give(program: Program, sites: list[Site], found: Findings) -> None:
    """Gives a worker to the site that runs in its folder, as its user, or notes why to none.

    Args:
        program: the worker.
        sites: that were made; one of them gets it.
        found: gets notes.
    """
    name = program.name.rstrip(":")
    mend = "leave it to what starts it now, or write it below [[process]] of its site"
    of = [site for site in sites if _beside(program, site)]
    if len(of) != 1:
        several = "several sites run" if of else "no site runs"
        why = f"is a worker, and {several} in its folder as its user"
        found.lost(program.place, name, why, mend)
        return
    (site,) = of
    workers = site.values.setdefault("process", [])
    for note in program.notes:
        found.note(note)
    if program.incomplete:
        return
    if len(workers) == MOST:
        found.lost(program.place, name, f"is one of more than {MOST} workers of a site", mend)
        return
    workers.append(_table(program, site, {one["name"] for one in workers}))
    for key, value in program.values.items():
        if key not in _OWN | _OF_NONE and site.values.get(key) != value:
            why = f"{key} of a worker is that of its site"
            found.note(Note(program.place, name, why, "see that it may be so"))
    if program.env_file is not None and literal(program.env_file.path) != site.values["env_file"]:
        why = "env_file of a worker is that of its site"
        found.lost(program.env_file.place, program.env_file.path, why, "put both together")
    site.places.extend(place for place in program.places if place not in site.places)
    site.hidden |= program.hidden


def _beside(program: Program, site: Site) -> bool:
    user = program.values.get("user")
    same = user is None or user == site.values.get("user")
    return same and literal(program.folder) == site.values.get("folder")


def _table(program: Program, site: Site, taken: set[str]) -> dict[str, Any]:
    """What stands under [[process]]."""
    base = os.path.splitext(program.name.partition(":")[2] or program.name.rstrip(":"))[0]
    name = re.sub(r"[^a-z0-9_-]+", "-", base.lower())[:30].strip("-_") or "worker"
    number = 2
    while name in taken:
        name, number = f"{name[:28]}-{number}", number + 1
    env = {key: literal(text) for key, text in program.env.items()}
    shared = site.values["env"]
    # it ran all the time, so it does now
    return {
        "name": name,
        "command": program.command or [literal(word) for word in program.argv],
        "env": {key: text for key, text in env.items() if shared.get(key) != text},
        "with": "always",
        **{key: program.values[key] for key in sorted(_OWN & program.values.keys())},
    }

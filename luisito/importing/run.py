"""An import as a whole: sources are read, sites made of them, judged, and written or shown."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import attrs

from luisito.errors import ImportFailed
from luisito.importing import checking, matching, toml, writing
from luisito.importing.files import Files
from luisito.importing.found import Findings, Place
from luisito.importing.sources import Sources
from luisito.settings.sites.making import SUFFIX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from luisito.importing.found import Note
    from luisito.importing.matching import Site
    from luisito.settings import Settings


@attrs.define
class Outcome:
    """What became of an import.

    Attributes:
        files: texts by the paths that they are written to, or would be.
        sites: that are in them.
        notes: what no site file says.
    """

    files: dict[str, str]
    sites: list[Site]
    notes: list[Note]


@attrs.frozen
class Order:
    """What is to be imported.

    Attributes:
        sources: paths of files and folders.
        to: the folder that gets site files; None where they are only shown.
        dry: nothing is written.
        force: files that are there are replaced.
        root: where the absolute paths begin that the sources say.
        host: of the one site of which nothing says it, or "".
    """

    sources: Sequence[str]
    to: str | None = None
    dry: bool = False
    force: bool = False
    root: str = "/"
    host: str = ""


def run(order: Order, settings: Settings) -> Outcome:
    """Imports.

    Args:
        order: what is to be done.
        settings: what is true of all sites.

    Raises:
        ImportFailed: a source cannot be read or tells of no site, or a file not be written.
        SettingsError: Luisito would not read the folder.
    """
    files, found = Files(order.root), Findings()
    reading = Sources(files, found, order.host)
    for source in order.sources:
        reading.add(source)
    reading.finish()
    sites = matching.sites(found, files, order.host)
    if not sites and not found.notes:
        what = "tells of no site; name nginx's folder, and the one of its units"
        raise ImportFailed(f"{', '.join(order.sources)}: {what}")
    folder = os.path.abspath(order.to or settings.sites_dir or "sites")
    others = checking.present(folder, settings) if order.to is not None else {}
    new = _new(sites, folder, order, found)
    good = _good(new, folder, settings, others, found)
    if order.to is not None and not order.dry:
        good = _write(good, folder, order, found)
    texts = {os.path.join(folder, site.name + SUFFIX): toml.written(site) for site in good}
    return Outcome(texts, good, found.notes)


def _new(sites: list[Site], folder: str, order: Order, found: Findings) -> list[Site]:
    """Those of which there is no file yet, or it may be replaced."""
    new: dict[str, Site] = {}
    for site in sites:
        path = os.path.join(folder, site.name + SUFFIX)
        if site.name in new:
            mend = "give one of them another name, or write its file by hand"
            found.lost(site.places[0], site.name, "is the host of another site, too", mend)
        elif order.to is not None and not order.force and os.path.lexists(path):
            _left(path, found)
        else:
            new[site.name] = site
    return [*new.values()]


def _left(path: str, found: Findings) -> None:
    why, mend = "is there already, and was left as it is", "compare them, or give --force"
    found.lost(Place(path), "", why, mend)


def _good(
    sites: list[Site],
    folder: str,
    settings: Settings,
    others: dict[str, dict[str, object]],
    found: Findings,
) -> list[Site]:
    """Those that Luisito would take."""
    texts = {site.name: toml.written(site) for site in sites}
    rest = {name: of for name, of in others.items() if name not in texts}
    errors = checking.wrong(texts, folder, settings, rest)
    for site in sites:
        if site.name in errors:
            why, _, mend = errors[site.name].rpartition("; ")
            found.lost(site.places[0], f"{site.name}{SUFFIX} would be wrong", why, mend)
    return [site for site in sites if site.name not in errors]


def _write(sites: list[Site], folder: str, order: Order, found: Findings) -> list[Site]:
    """Writes them; returns those that were."""
    writing.make_folder(folder)
    done = []
    for site in sites:
        path = os.path.join(folder, site.name + SUFFIX)
        if writing.write(path, toml.written(site), hidden=site.hidden, force=order.force):
            done.append(site)
        else:  # somebody else has just written it
            _left(path, found)
    return done

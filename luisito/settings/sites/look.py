"""Looks through SITES_DIR: reads what has changed since the last look, and nothing else."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from luisito.core.keys import site_of
from luisito.errors import SiteFileError
from luisito.settings.sites import parts
from luisito.settings.sites.claims import LISTEN, clashes
from luisito.settings.sites.draft import Draft, chain
from luisito.settings.sites.folder import BASE, Folder, stamp
from luisito.settings.sites.making import SUFFIX, make, make_mounts, site_name
from luisito.settings.sites.records import public_record, run_record, worker_records
from luisito.settings.sites.toml import Text, failed, parse

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from luisito.settings import Settings
    from luisito.settings.sites.claims import Clash
    from luisito.settings.sites.folder import Stamp
    from luisito.settings.sites.parts import Part
    from luisito.settings.sites.table import Site
    from luisito.settings.sites.trust import Trust

# A file that changed so lately may change once more without another stamp: the kernel's clock
# for files goes by ticks, of 10 ms at most.
_TICK: Final = 20_000_000  # ns


class Seen(NamedTuple):
    """What is known of a site file; a list of values of JSON.

    Attributes:
        stamps: of the file and its bases when it was read, by their names in the folder, None for
            one that was not there; empty where it has to be read again in any case.
        public: the public record of the last good version, or None.
        error: what is wrong with the file as it is; "" where that is the last good version.
    """

    stamps: dict[str, Stamp | None]
    public: dict[str, Any] | None
    error: str = ""


class Found(NamedTuple):
    """What a look has found.

    Attributes:
        seen: by the names of files without `.toml`, in order; give it to the next look.
        runs: the run records of those files that were read and are good, and of their mounts, by
            their keys.
        workers: those of their workers, by the same keys and the workers' names.
    """

    seen: dict[str, Seen]
    runs: dict[str, dict[str, Any]]
    workers: dict[str, dict[str, dict[str, Any]]]


def look(path: str, known: Mapping[str, Seen], settings: Settings, trust: Trust) -> Found:
    """Looks through a folder of site files.

    Args:
        path: SITES_DIR, absolute.
        known: what the last look has found; with other settings, all without stamps.
        settings: what is true of all sites.
        trust: who may write there.

    Raises:
        SettingsError: the folder cannot be read, or others may write into it.
    """
    with Folder(path, trust) as folder:
        looking = _Look(folder, settings, trust)
        seen: dict[str, Seen] = {}
        for file in folder.sites():
            name = file.removesuffix(SUFFIX)
            last = known.get(name, Seen({}, None))
            if not looking.changed(last):
                seen[name] = last
                continue
            read = looking.read(file, last)
            if read is not None:
                seen[name] = read
        return looking.settle(seen, known)


def one(
    path: str, name: str, settings: Settings, trust: Trust
) -> tuple[Draft, Site, Sequence[Site]]:
    """Reads the file of one site, by its name; returns it, what it makes, and the site's mounts.

    Raises:
        SettingsError: the folder cannot be read.
        SiteFileError: the file is wrong.
    """
    with Folder(path, trust) as folder:
        return _Look(folder, settings, trust).draft(name + SUFFIX, {})


class Own(NamedTuple):
    """What a site file says of endpoints of its own.

    Attributes:
        path: of the file.
        listen: the endpoints.
    """

    path: str
    listen: tuple[str, ...]


def endpoints(path: str, settings: Settings, trust: Trust) -> dict[str, Own]:
    """The endpoints of all sites that are good and have some, by their names.

    Only files that have the word are read as such, so that this is quick. See `look` for the
    arguments and the errors.
    """
    with Folder(path, trust) as folder:
        looking = _Look(folder, settings, trust)
        records: dict[str, dict[str, Any]] = {}
        for file in folder.sites():
            try:
                source = folder.read(file)
            except SiteFileError:
                continue
            if source is None or LISTEN.encode() not in source.data:
                continue
            seen = looking.read(file, Seen({}, None))
            if seen is not None and seen.public is not None and seen.public[LISTEN]:
                records[file.removesuffix(SUFFIX)] = seen.public
    for name in clashes(records):
        del records[name]
    return {name: Own(one["path"], tuple(one[LISTEN])) for name, one in records.items()}


class _Base(NamedTuple):
    """A base as it was found: not there, broken or good."""

    status: os.stat_result | None = None
    part: Part | None = None
    error: str = ""


class _Look:
    """One look; a base is read once."""

    def __init__(self, folder: Folder, settings: Settings, trust: Trust) -> None:
        self._folder, self._settings, self._trust = folder, settings, trust
        self._stamps: dict[str, Stamp | None] = {}
        self._bases: dict[str, _Base] = {}
        self._runs: dict[str, dict[str, Any]] = {}
        self._workers: dict[str, dict[str, dict[str, Any]]] = {}
        self._lately = time.time_ns() - _TICK

    def changed(self, last: Seen) -> bool:
        """Whether a file or one of its bases is another than it was."""
        return not last.stamps or any(
            self._stamp(name) != before for name, before in last.stamps.items()
        )

    def _stamp(self, name: str) -> Stamp | None:
        if name not in self._stamps:
            self._stamps[name] = self._folder.stamp(name)
        return self._stamps[name]

    def read(self, file: str, last: Seen) -> Seen | None:
        """Reads a file; None where it has gone meanwhile."""
        stamps = {file: self._stamp(file)}
        if stamps[file] is None:
            return None
        try:
            public = self._make(file, stamps)
        except SiteFileError as error:
            return Seen(self._kept(stamps), last.public, str(error))
        return Seen(self._kept(stamps), public)

    def _kept(self, stamps: dict[str, Stamp | None]) -> dict[str, Stamp | None]:
        """The stamps to compare at the next look; none where one may not tell the next change."""
        late = any(max(of[:2]) >= self._lately for of in stamps.values() if of is not None)
        return {} if late else stamps

    def draft(
        self, file: str, stamps: dict[str, Stamp | None]
    ) -> tuple[Draft, Site, Sequence[Site]]:
        """Reads a site's file, and notes the stamps of all that was read; with it, and its mounts.

        Raises:
            SiteFileError: it is wrong.
        """
        path = self._folder.of(file)
        source = self._folder.read(file)
        if source is None:
            raise failed(path, "has just gone; write it again, or leave it")
        stamps[file] = stamp(source.status)
        tenant = self._trust.writer(path, source.status)
        name = site_name(path)
        part = parts.read(path, source.data, source.status.st_uid)

        def base(name: str, of: Part) -> Part:
            stamps[name + BASE] = self._stamp(name + BASE)
            return self._base(part, of, name)

        draft = Draft(name, chain(part, base))
        site = make(draft, tenant, self._settings)
        return draft, site, make_mounts(draft, tenant, self._settings)

    def _make(self, file: str, stamps: dict[str, Stamp | None]) -> dict[str, Any]:
        """Makes the records of a site, and notes the stamps of all that was read for them."""
        draft, site, mounts = self.draft(file, stamps)
        name = draft.name
        runs = {one.key: run_record(one, self._settings) for one in (site, *mounts)}
        workers = worker_records(site, runs[name])
        below = [public_record(one, runs[one.key], {}) for one in mounts]
        self._runs |= runs
        self._workers[name] = workers
        public = public_record(site, runs[name], workers, below)
        if any(isinstance(one.waiting_page, str) for one in (site, *mounts)):
            public["read"] = stamps[file]  # so that a touch of the file has its pages read again
        return public

    def _base(self, file: Part, of: Part, name: str) -> Part:
        """Finds what `of` extends, for a site's file."""
        path = self._folder.of(name + BASE)
        if name not in self._bases:
            self._bases[name] = self._read_base(path, name)
        base = self._bases[name]
        if base.status is not None:
            self._trust.check_base(file, of, name, path, base.status)
        if base.part is not None:
            return base.part
        if base.error:
            raise SiteFileError(base.error)
        must = f"must name a base, and {path} is not there"
        raise of.text.error(("extends",), name, must, "write that file, or remove extends")

    def _read_base(self, path: str, name: str) -> _Base:
        source = None
        try:
            source = self._folder.read(name + BASE)
            if source is None:
                return _Base()
            self._trust.writer(path, source.status)
            part = parts.read(path, source.data, source.status.st_uid)
            return _Base(source.status, part)
        except SiteFileError as error:
            return _Base(source and source.status, None, str(error))

    def settle(self, seen: dict[str, Seen], known: Mapping[str, Seen]) -> Found:
        """Refuses what two files claim, in the later one."""
        records = {name: of.public for name, of in seen.items() if of.public is not None}
        for name, clash in clashes(records).items():
            last = known.get(name, Seen({}, None))
            for key in [key for key in self._runs if site_of(key) == name]:
                del self._runs[key]
            self._workers.pop(name, None)
            # What has to change is another file: this one is read again until that has happened.
            seen[name] = Seen({}, last.public, seen[name].error or self._clash(name, clash))
        return Found(seen, self._runs, self._workers)

    def _clash(self, name: str, clash: Clash) -> str:
        path = self._folder.of(name + SUFFIX)
        other = self._folder.of(clash.other + SUFFIX)
        if not clash.path:
            what = f"its name is one of the {clash.key} in {other}, too"
            return str(failed(path, f"{what}; remove it there, or remove this file"))
        value: object = clash.host or True
        must = f"is one of the {clash.key} in {other}, too"
        if not clash.host:
            must = f"is set in {other}, too"
        elif clash.key == LISTEN:
            must = f"is where {other} listens, too"
        elif not clash.key:
            must = f"is the name of {other}, too"
        return str(self._text(path, name).error(clash.path, value, must, "remove one of them"))

    def _text(self, path: str, name: str) -> Text:
        """The text of a file once more, for the line; it may have changed, or have a base's key."""
        try:
            source = self._folder.read(name + SUFFIX)
            return parse(path, b"" if source is None else source.data)
        except SiteFileError:
            return Text(path, "", {})

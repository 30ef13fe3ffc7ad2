"""Looks through SITES_DIR once, in a process of its own below the spawner.

`python -m luisito.settings.sites.loader FILE SITES_DIR SOCKET TEXT BEFORE FORMER`, where the last
four are descriptors, or -1: where the result goes; the text of the settings file FILE; what the
last look has made; and what one by former settings has, where this is the first one by these.

The result is a message `{"message": why not, or ""}`. Beside it are two sealed memfds where the
look has succeeded: run records (core.siteindex), for the spawner alone, with what the next look
needs; and what the network process may know (wire.Sites).
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from luisito.core import siteindex, wire
from luisito.core.cgroup import Limits
from luisito.core.members import each, first_of
from luisito.errors import LuisitoError
from luisito.settings.load import load
from luisito.settings.sites.look import Seen, look
from luisito.settings.sites.making import SUFFIX
from luisito.settings.sites.tenants import known
from luisito.settings.sites.trust import Trust
from luisito.spawner import channel

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from luisito.core.siteindex import Read, Row
    from luisito.settings.sites.look import Found

_SEALS: Final = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class Looked(NamedTuple):
    """What a look has made.

    Attributes:
        records: as core.siteindex has them.
        told: what the network process may know, in JSON.
    """

    records: bytes
    told: bytes


def main(file: str, sites_dir: str, descriptor: int, text: int, before: int, former: int) -> None:
    """Looks, and says what was found; see the module."""
    with socket.socket(fileno=descriptor) as sock:
        try:
            said = None if text < 0 else _all(text)
            last = max(before, former)  # one of them is -1
            data = b"" if last < 0 else _all(last)
            read = None if last < 0 else lambda at, size: data[at : at + size]
            looked = run(file, said, sites_dir, read, anew=before < 0)
        except LuisitoError as error:
            channel.send(sock, _message(str(error)))
            return
        made = (_sealed("runs", looked.records), _sealed("sites", looked.told))
        channel.send(sock, _message(""), made)


def run(
    file: str, text: bytes | None, sites_dir: str, before: Read | None, *, anew: bool
) -> Looked:
    """Looks through the folder.

    Args:
        file: the settings file.
        text: of it; None to read it.
        sites_dir: the folder.
        before: reads what the last look has made; None where there was none.
        anew: that look went by other settings: all is read and told again, and the last good
            versions of the operator's files are kept. What tenants may do may be less by now.

    Raises:
        LuisitoError: there can be no look; the message says why.
    """
    settings = load(file, text)
    seen: dict[str, Seen] = {}
    if before is not None:
        seen = {name: Seen(*of) for name, of in json.loads(siteindex.state(before)).items()}
    if anew:
        seen = {
            name: Seen({}, of.public)
            for name, of in seen.items()
            if of.public is not None and of.public["tenant"] is None
        }
    found = look(sites_dir, seen, settings, Trust(os.geteuid(), known(settings.tenants)))
    return Looked(
        siteindex.write(_entries(found, before), json.dumps(found.seen).encode("ascii")),
        json.dumps(_changes(sites_dir, {} if anew else seen, found.seen)).encode("ascii"),
    )


def _entries(found: Found, before: Read | None) -> Iterator[tuple[Row, bytes]]:
    """The rows and records of all sites, their mounts and workers, last good versions too.

    And rows without a record of all endpoints that belong to sites.
    """
    good = [of.public for of in found.seen.values() if of.public is not None]
    said = {endpoint: one["digest"] for one in good for endpoint in one["listen"]}
    for endpoint, digest in said.items():
        key = siteindex.endpoint_key(endpoint)
        if siteindex.has_room(key):
            yield siteindex.Row(key, digest, siteindex.NO_WAY, "", False, Limits()), b""
    servers = [of for one in good for of in (one, *one.get("mounts", ()))]
    for public in [one for of in servers for one in each(of)]:
        key = public["site"]
        run = found.runs.get(first_of(key))
        yield _entry(key, public["way"], public["digest"], run, before)
        for one in public["processes"]:
            run = found.workers.get(key, {}).get(one["name"])
            worker = siteindex.worker_key(key, one["name"])
            yield _entry(worker, siteindex.NO_WAY, one["digest"], run, before)


def _entry(
    key: str, way: str, digest: str, run: Mapping[str, Any] | None, before: Read | None
) -> tuple[Row, bytes]:
    if run is not None:
        return _row(key, way, digest, run), json.dumps(run).encode("ascii")
    # What was not read now, or is broken now, was good when it was read before.
    row = None if before is None else siteindex.find(before, key)
    if row is None or before is None or row.digest != digest:
        raise LuisitoError(f"SITES_DIR: the record of {key} was lost; send SIGHUP to Luisito")
    return row, before(row.offset, row.size)


def _row(key: str, way: str, digest: str, run: Mapping[str, Any]) -> Row:
    return siteindex.Row(
        site=key,
        digest=digest,
        way=way,
        stop_signal=run["stop_signal"],
        root=run["user"] in ("root", 0),
        stops=run["stop_command"] is not None,
        limits=Limits(run["memory_max"], run["cpu_max"], run["pids_max"]),
        limits_by=tuple(run["limits_by"]),
    )


def _changes(sites_dir: str, before: Mapping[str, Seen], now: Mapping[str, Seen]) -> dict[str, Any]:
    """What wire.Sites says."""
    served = {name: of.public for name, of in before.items() if of.public is not None}
    records = {name: of.public for name, of in now.items() if of.public is not None}
    return {
        "sites": [of for name, of in records.items() if of != served.get(name)],
        "gone": [name for name in served if name not in records],
        "broken": [
            [os.path.join(sites_dir, name + SUFFIX), of.error]
            for name, of in now.items()
            if of.error
        ],
    }


def _message(why: str) -> bytes:
    return json.dumps({"message": why[: wire.MAX_TEXT]}).encode("ascii")


def _all(descriptor: int) -> bytes:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


def _sealed(name: str, data: bytes) -> int:
    """A memfd that nobody can change any more (memfd_create(2))."""
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    descriptor = os.memfd_create(f"luisito-{name}", flags)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(data)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    return descriptor


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
    os._exit(0)  # what is left to tidy up the kernel does sooner

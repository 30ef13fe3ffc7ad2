"""Run records of sites in one file: rows of one size, sorted by name, so that few are read.

The spawner looks a site up for each start, and need not read what it does not need.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from luisito.core.cgroup import Limits
from luisito.core.keys import site_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Read = Callable[[int, int], bytes]
    """Reads from an offset at most so many bytes of the file, as pread(2) does."""

_HEAD: Final = struct.Struct(">8sIQQ")  # magic, number of rows, offset and size of the state
_MAGIC: Final = b"luisite4"
_ROW: Final = struct.Struct(">288sQI32s6s8s??3B3q")
_NAME: Final = 288  # bytes: the name of a file, which is a site and .toml, and one of a worker;
# or an endpoint, of which that of a unix socket has a path of at most 107 bytes (unix(7))
_NONE: Final = -1  # no limit

NO_WAY: Final = "none"
"""Instead of a way to reach a server: nobody reaches a worker."""


BY_SETTINGS, BY_FILE, BY_BASE, BY_TENANTS = range(4)
"""Who says a limit: the settings, the site's file, a file that this extends, or a tenant's cap."""


PRELOAD: Final = "preload"
"""The worker of a site that is a preloaded interpreter, for it and for others like it."""


def worker_key(site: str, name: str) -> str:
    """What stands for a site in the row of a worker; no site has such a name."""
    return f"{name}@{site}"


def endpoint_key(endpoint: str) -> str:
    """What stands for a site in the row of an endpoint that a file says."""
    return f"listen {endpoint}"


def has_room(key: str) -> bool:
    """Whether a row may have such a name."""
    return len(key.encode()) <= _NAME


class Row(NamedTuple):
    """What is known of a site, or of a worker of it, without reading its record.

    Attributes:
        site: its name, or `worker_key`, or `endpoint_key`.
        digest: of the record, in hexadecimal.
        way: "port", "socket" or "fd" (core.template.way); NO_WAY of a worker.
        stop_signal: without SIG.
        root: its server may be root's.
        stops: its record has a command that stops its server.
        limits: of its cgroup.
        limits_by: who says each of them.
        offset: of the record in the file, in bytes; likewise the next one.
        size: of the record.
    """

    site: str
    digest: str
    way: str
    stop_signal: str
    root: bool
    limits: Limits
    offset: int = 0
    size: int = 0
    stops: bool = False
    limits_by: tuple[int, int, int] = (BY_SETTINGS,) * 3

    def said(self, folder: str) -> dict[str, str]:
        """Tell of each limit by its controller what says it, and where.

        Args:
            folder: SITES_DIR.
        """
        path = f"{folder}/{site_of(self.site.rpartition('@')[2])}.toml"
        places = {
            BY_FILE: f" in {path}",
            BY_BASE: f" in a file that {path} extends",
            BY_TENANTS: " in TENANTS",
        }
        by = dict(zip(("memory", "cpu", "pids"), self.limits_by, strict=True))
        found = self.limits.settings()
        for controller, setting in found.items():
            if by[controller] in places:
                name, _, value = setting.partition(" ")
                found[controller] = f"{name.lower()} {value}{places[by[controller]]}"
        return found


def write(entries: Iterable[tuple[Row, bytes]], state: bytes) -> bytes:
    """Write such a file.

    Args:
        entries: rows, whose offsets and sizes do not count, with the records.
        state: more that is kept in it.
    """
    ordered = sorted(entries, key=lambda entry: entry[0].site.encode())
    at = _HEAD.size + _ROW.size * len(ordered)
    rows = []
    for row, record in ordered:
        limits = [_NONE if limit is None else limit for limit in row.limits]
        texts = row.site.encode(), at, len(record), bytes.fromhex(row.digest)
        names = row.way.encode(), row.stop_signal.encode()
        rows.append(_ROW.pack(*texts, *names, row.root, row.stops, *row.limits_by, *limits))
        at += len(record)
    head = _HEAD.pack(_MAGIC, len(ordered), at, len(state))
    return b"".join([head, *rows, *(record for _, record in ordered), state])


def good(read: Read) -> bool:
    """Tell whether a file is one of these."""
    head = read(0, _HEAD.size)
    return len(head) == _HEAD.size and head.startswith(_MAGIC)


def find(read: Read, site: str) -> Row | None:
    """Look a site up; None where it has no row."""
    if "\0" in site:
        return None
    wanted = site.encode("utf-8", "surrogatepass").ljust(_NAME, b"\0")
    _, last, _, _ = _HEAD.unpack(read(0, _HEAD.size))
    first = 0
    while first < last:
        middle = (first + last) // 2
        data = read(_HEAD.size + middle * _ROW.size, _ROW.size)
        if data[:_NAME] < wanted:
            first = middle + 1
        elif data[:_NAME] > wanted:
            last = middle
        else:
            return _row(data)
    return None


def _row(data: bytes) -> Row:
    name, offset, size, digest, way, stop_signal, root, stops, *rest = _ROW.unpack(data)
    return Row(
        _text(name),
        digest.hex(),
        _text(way),
        _text(stop_signal),
        root,
        Limits(*(None if limit == _NONE else limit for limit in rest[3:])),
        offset,
        size,
        stops,
        (rest[0], rest[1], rest[2]),
    )


def _text(padded: bytes) -> str:
    return padded.rstrip(b"\0").decode()


def state(read: Read) -> bytes:
    """Read what else is kept in a file."""
    _, _, offset, size = _HEAD.unpack(read(0, _HEAD.size))
    return read(offset, size)

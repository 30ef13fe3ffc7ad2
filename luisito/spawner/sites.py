"""The run records of sites that have files, as they were found last: looked up, never read here."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, Final, NamedTuple

from luisito.core import siteindex

if TYPE_CHECKING:
    from luisito.core.siteindex import Row
    from luisito.spawner.config import Config

_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class Record(NamedTuple):
    """Where a run record lies.

    Attributes:
        file: a descriptor; the owner's.
        offset: in it, in bytes.
        size: likewise.
    """

    file: int
    offset: int
    size: int


class Sites:
    """All run records of one network process, in one sealed memfd.

    Attributes:
        file: its descriptor; -1 as long as no look has succeeded.
    """

    __slots__ = ("file",)

    def __init__(self) -> None:
        self.file = -1

    @property
    def known(self) -> bool:
        """Whether a look has succeeded."""
        return self.file >= 0

    def find(self, site: str) -> Row | None:
        """Look a site up; None where it has no record."""
        return siteindex.find(self._read, site) if self.known else None

    def say(self, endpoint: str) -> bool:
        """Tell whether some file says that it listens there."""
        return self.find(siteindex.endpoint_key(endpoint)) is not None

    def record(self, row: Row) -> Record:
        """Tell where the record of a row lies."""
        return Record(self.file, row.offset, row.size)

    def replace(self, file: int) -> None:
        """Take other records instead; the descriptor is ours from now on."""
        self.close()
        self.file = file

    def take_from(self, other: Sites) -> None:
        """Take the records of another one, which keeps them too.

        Raises:
            OSError: too many open files.
        """
        if other.known:
            self.replace(os.dup(other.file))

    def close(self) -> None:
        """Forget them."""
        if self.file >= 0:
            os.close(self.file)
            self.file = -1

    def _read(self, offset: int, size: int) -> bytes:
        return os.pread(self.file, size, offset)


def no_site(sites: Sites | None, row: Row | None, config: Config) -> str | None:
    """Say why no server can be had for a site; None where one can.

    Args:
        sites: those that have files; None where none are read.
        row: of the site.
        config: of the others.
    """
    if sites is not None and not sites.known:
        return "the site files have not been read yet"
    if row is None and not config.templated:
        return "the site has no file in SITES_DIR, and CMD_TPL is not set"
    return None


def is_sealed(file: int) -> bool:
    """Tell whether nobody can change a file any more (memfd_create(2))."""
    try:
        seals = fcntl.fcntl(file, fcntl.F_GET_SEALS)
    except OSError:
        return False
    return seals & _SEALS == _SEALS


def holds_records(file: int) -> bool:
    """Tell whether a file is sealed and has run records."""
    return is_sealed(file) and siteindex.good(lambda offset, size: os.pread(file, size, offset))


def encode_record(record: Record, start: bytes) -> bytes:
    """Put where a record lies before an order to start; its file goes beside it, first of all."""
    return b"%d %d\n" % record[1:] + start


def decode_record(data: bytes, descriptors: list[int]) -> tuple[Record | None, bytes]:
    """Read what `encode_record` wrote, or an order alone, which has no line end.

    The file is removed from the list.
    """
    before, _, start = data.rpartition(b"\n")
    if not before:
        return None, data
    offset, size = map(int, before.split())
    return Record(descriptors.pop(0), offset, size), start

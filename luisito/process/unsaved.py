"""Statistics of sites with what could not be written as yet, or of that alone."""

from __future__ import annotations

import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from luisito.core.accounts import ADDED
from luisito.process.database import LATER, SITE, Database

if TYPE_CHECKING:
    from collections.abc import Sequence

    from luisito.core.accounts import Accounts, Batch

    Row = tuple[Any, ...]
    Buckets = list[tuple[str, int, str]]
    Found = tuple[list[Row], Buckets]


class Unsaved(NamedTuple):
    """What could not be written as yet of sites.

    Attributes:
        sending: a batch that is tried again, if there is one.
        accounts: all else.
        since: when that was begun, in seconds since the epoch.
    """

    sending: Batch | None
    accounts: Accounts
    since: float

    def sites(self, site: str | None) -> Found:
        """Statistics as Database.sites tells them."""
        with closing(Database(None)) as database:
            if self.sending is not None:
                database.add(self.sending)
            while self.accounts:
                database.add(self.accounts.take(self.since))
            return database.sites(site, None)


def sites_with(unsaved: Unsaved | None, database: Database, site: str | None) -> Found:
    """Statistics as Database.sites tells them, of all users, in its thread.

    Args:
        unsaved: what could not be written; None where all was.
        database: of what could be.
        site: only of this one; None for all.

    Raises:
        OSError: the file cannot be read, and nothing is unsaved; or another of LATER.
    """
    if unsaved is None:
        return database.sites(site, None)
    rows: Sequence[Row] = ()
    buckets: Buckets = []
    with suppress(*LATER):
        rows, buckets = database.sites(site, None)
    new_rows, new_buckets = unsaved.sites(site)
    of = {row[0]: dict(zip(SITE, row, strict=True)) for row in rows}
    now = time.time()
    for row in new_rows:
        told = dict(zip(SITE, row, strict=True)) | {"last_at": now}
        before = of.get(row[0])
        of[row[0]] = told if before is None else _together(before, told)
    # Numbers of one place that stand there twice are added up (core.figures).
    return [tuple(of[name].values()) for name in sorted(of)], _joined([*buckets, *new_buckets])


def _together(before: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    added = {name: before[name] + new[name] for name in ADDED}
    later = {name: value for name, value in new.items() if value is not None}
    return before | later | added | {"first_at": before["first_at"]}


def _joined(buckets: Buckets) -> Buckets:
    of: dict[tuple[str, int], str] = {}
    for name, warmth, text in buckets:
        before = of.get((name, warmth))
        of[name, warmth] = text if before is None else f"{before},{text}"
    return [(*key, text) for key, text in of.items()]

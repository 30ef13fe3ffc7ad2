"""What is kept of sites: their events and what was added up of them, in SQLite; for one thread."""

from __future__ import annotations

import json
import os
from contextlib import closing, contextmanager, suppress
from functools import cache
from sqlite3 import Error, OperationalError, connect
from typing import TYPE_CHECKING, Any, Final

import attrs

from luisito.core.accounts import ADDED
from luisito.core.events import Event
from luisito.process.sqlitefile import SqliteFile, UnusableError

if TYPE_CHECKING:
    from collections.abc import Generator
    from sqlite3 import Connection

    from luisito.core.accounts import Batch

MAX_EVENTS: Final = 100_000
MAX_SITES: Final = 10_000
MAX_BYTES: Final = 64 * 1024 * 1024
MAX_TOLD: Final = 1_000_000
"""Characters of the words of events that are told at once; of more, the older ones are left out."""
FORM: Final = 1
"""Its user_version: what stands below."""

LATER: Final = (OSError, OperationalError, UnusableError)
"""What is tried again when it has gone wrong."""

_APPLICATION: Final = 0x4C756973  # "Luis": its application_id
_MAX_WAL: Final = 4 * 1024 * 1024  # bytes that history.sqlite-wal keeps
_TABLES: Final = "SELECT count(*) FROM sqlite_master"
_EVENT: Final = tuple(field.name for field in attrs.fields(Event))
_WORDS: Final = _EVENT.index("words")
EVENT: Final = (*_EVENT, "process")
"""What is told of an event, in this order: its attributes, and the pid of who has written it."""
SITE: Final = ("name", "first_at", "last_at", "uid", *ADDED, "last_exit", "last_failure")
"""What is told of a site, in this order; see core.accounts."""

_SCHEMA: Final = f"""
CREATE TABLE site (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, first_at REAL NOT NULL,
    last_at REAL NOT NULL, uid INTEGER, {", ".join(f"{one} NUMERIC NOT NULL" for one in ADDED)},
    last_exit TEXT, last_failure TEXT
);
CREATE TABLE bucket (
    site INTEGER NOT NULL, warmth INTEGER NOT NULL, place INTEGER NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (site, warmth, place)
) WITHOUT ROWID;
CREATE TABLE event (id INTEGER PRIMARY KEY, {", ".join(EVENT)});
CREATE INDEX event_site ON event (site);
CREATE INDEX event_kind ON event (kind);
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {FORM};
"""


def _column(place: int, row: str = "value") -> str:
    return f"json_extract({row}, '$[{place}]')"


# All rows come in one parameter, so that SQLite works through them by itself: what is done in
# Python holds up the reactor's thread (the GIL).
_ADD_SITES: Final = f"""
INSERT INTO site (name, first_at, last_at, uid, {", ".join(ADDED)}, last_exit, last_failure)
SELECT {_column(0)}, {_column(1)}, {", ".join(_column(place) for place in range(1, 5 + len(ADDED)))}
FROM json_each(?) WHERE true
ON CONFLICT (name) DO UPDATE SET
    last_at = max(last_at, excluded.last_at), uid = coalesce(excluded.uid, uid),
    {", ".join(f"{one} = {one} + excluded.{one}" for one in ADDED)},
    last_exit = coalesce(excluded.last_exit, last_exit),
    last_failure = coalesce(excluded.last_failure, last_failure)
"""
_ADD_BUCKETS: Final = f"""
INSERT INTO bucket (site, warmth, place, count)
SELECT site.id, {", ".join(_column(place, "one.value") for place in range(1, 4))}
FROM json_each(?) AS one JOIN site ON site.name = {_column(0, "one.value")} WHERE true
ON CONFLICT (site, warmth, place) DO UPDATE SET count = count + excluded.count
"""
_ADD_EVENTS: Final = f"""
INSERT INTO event ({", ".join(EVENT)})
SELECT {", ".join(_column(place) for place in range(len(_EVENT)))}, ? FROM json_each(?)
"""


_TEXTS: Final = ("site", "kind", "words", "worker", "other", "name", "last_exit", "last_failure")


def _told(column: str) -> str:
    """A column as it is told: whatever a damaged file has there, it is a text or a number."""
    return f"CAST({column} AS {'TEXT' if column in _TEXTS else 'NUMERIC'})"


_EVENT_TOLD: Final = ", ".join(map(_told, EVENT)).replace("CAST(", "CAST(event.")
_SITE_TOLD: Final = ", ".join(map(_told, SITE))
_SITES_OF: Final = "SELECT name FROM site WHERE uid = ?"
# the event before the first one of a user's that is not older than another's
_BEFORE: Final = """
SELECT CASE WHEN another IS NULL THEN 0 ELSE coalesce(
    (SELECT min(id) - 1 FROM event WHERE site = ?1 AND uid = ?2 AND id > another), 1 << 62
) END
FROM (SELECT max(id) AS another FROM event WHERE site = ?1 AND uid != ?2)
"""


class Database:
    """What is kept, in a file or in memory; each process only adds to what is there.

    Args:
        folder: STATE_DIR; None for one in memory.
        max_events: how many are kept.
        max_sites: likewise; those go that were heard of least lately.
        max_bytes: of the file; above it the oldest events go.
    """

    def __init__(
        self,
        folder: str | None,
        max_events: int = MAX_EVENTS,
        max_sites: int = MAX_SITES,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._file = SqliteFile(folder, _make_ready)
        self._max_events, self._max_sites, self._max_bytes = max_events, max_sites, max_bytes

    @property
    def asides(self) -> list[str]:
        """See SqliteFile."""
        return self._file.asides

    def look(self) -> None:
        """Opens it; what it and the others raise: see SqliteFile.use."""
        with self._file.use():
            pass

    def close(self) -> None:
        """See SqliteFile."""
        self._file.close()

    def add(self, batch: Batch) -> None:
        """Adds what is new, whole or not at all, and forgets what is too much."""
        with self._file.use() as connection, _transaction(connection):
            connection.execute(_ADD_SITES, (batch.sites,))
            connection.execute(_ADD_BUCKETS, (batch.buckets,))
            connection.execute(_ADD_EVENTS, (os.getpid(), batch.events))
            self._trim(connection)

    def _trim(self, connection: Connection) -> None:
        delete = "DELETE FROM event WHERE id <= (SELECT max(id) FROM event) - ?"
        connection.execute(delete, (self._max_events,))
        many = _value(connection, "SELECT count(*) FROM site") - self._max_sites
        if many > 0:
            oldest = "SELECT id FROM site ORDER BY last_at, id LIMIT ?"
            count = many + self._max_sites // 100
            connection.execute(f"DELETE FROM bucket WHERE site IN ({oldest})", (count,))
            connection.execute(f"DELETE FROM site WHERE id IN ({oldest})", (count,))
        pages = _value(connection, "PRAGMA page_count")
        pages -= _value(connection, "PRAGMA freelist_count")
        if pages * _value(connection, "PRAGMA page_size") > self._max_bytes:
            low, high = "(SELECT min(id) FROM event)", "(SELECT max(id) FROM event)"
            connection.execute(f"DELETE FROM event WHERE id <= {low} + ({high} - {low}) / 10")

    def events(
        self, site: str | None, kind: str | None, uid: int | None, limit: int
    ) -> list[tuple[Any, ...]]:
        """The last events, as in EVENT, the newest last.

        Args:
            site: only of this one; None for all, or for all whose last server ran as `uid`.
            kind: only these; None for all.
            uid: of the sites' user, who is told only what came when they were that already;
                None tells all.
            limit: how many, as far as MAX_TOLD goes.
        """
        table, where, values = "event", ["true"], list[Any]()
        with self._file.use() as connection:
            if uid is not None:
                table += " JOIN json_each(?) AS own ON site = own.key AND event.id > own.value"
                values.append(_own(connection, site, uid))
            for column, value in (("site", site), ("kind", kind)):
                if value is not None:
                    where.append(f"event.{column} = ?")
                    values.append(value)
            query = (
                f"SELECT {_EVENT_TOLD} FROM {table}"
                f" WHERE {' AND '.join(where)} ORDER BY event.id DESC LIMIT ?"
            )
            rows, left = list[tuple[Any, ...]](), MAX_TOLD
            with closing(connection.execute(query, (*values, limit))) as found:
                for row in found:
                    left -= len(row[_WORDS])
                    if left < 0:
                        break
                    rows.append(row)
            return rows[::-1]

    def sites(
        self, site: str | None, uid: int | None
    ) -> tuple[list[tuple[Any, ...]], list[tuple[str, int, str]]]:
        """What is known of sites.

        Args:
            site: only of this one; None for all.
            uid: see `events`.

        Returns:
            Rows as in SITE, by name; and of each site and its warm or cold answers, in the same
            order, places and numbers: "3:17,4:2".
        """
        where, values = "true", list[Any]()
        for column, value in (("site.name", site), ("site.uid", uid)):
            if value is not None:
                where += f" AND {column} = ?"
                values.append(value)
        rows = f"SELECT {_SITE_TOLD} FROM site WHERE {where} ORDER BY name"
        buckets = (
            "SELECT name, warmth, group_concat(CAST(place AS INTEGER) || ':' ||"
            " CAST(count AS INTEGER)) FROM bucket JOIN site"
            f" ON site.id = bucket.site WHERE {where} GROUP BY name, warmth ORDER BY name, warmth"
        )
        with self._file.use() as connection:
            found = connection.execute(rows, values).fetchall()
            return found, connection.execute(buckets, values).fetchall()


def _own(connection: Connection, site: str | None, uid: int) -> str:
    """The sites of a user, and the event of each behind which it is theirs; in JSON."""
    names = [site]
    if site is None:
        names = [name for (name,) in connection.execute(_SITES_OF, (uid,))]
    return json.dumps(
        {name: connection.execute(_BEFORE, (name, uid)).fetchone()[0] for name in names}
    )


def _make_ready(connection: Connection) -> str:
    """Makes a new one ready; returns why one must be set aside, or ""."""
    if not _value(connection, _TABLES):
        connection.execute("PRAGMA journal_mode = WAL")
        with _transaction(connection):
            if not _value(connection, _TABLES):  # another process may have been quicker
                _make(connection)
    form = _value(connection, "PRAGMA user_version")
    if _value(connection, "PRAGMA application_id") != _APPLICATION:
        return "it is another program's"
    if form != FORM:
        return f"its form is {form}, and this Luisito's is {FORM}"
    if _schema(connection) != _schema_made():
        return "its tables are others"
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA journal_size_limit = {_MAX_WAL}")
    found: str = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    return "" if found == "ok" else found.replace("\n", " ")


def _schema(connection: Connection) -> list[tuple[str, str]]:
    found = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name")
    return [(name, " ".join((sql or "").split())) for name, sql in found]


@cache
def _schema_made() -> list[tuple[str, str]]:
    with closing(connect(":memory:")) as connection:
        _make(connection)
        return _schema(connection)


def _make(connection: Connection) -> None:
    for statement in _SCHEMA.split(";"):
        connection.execute(statement)


@contextmanager
def _transaction(connection: Connection) -> Generator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            with suppress(Error):  # some errors have done that by themselves
                connection.execute("ROLLBACK")


def _value(connection: Connection, query: str) -> int:
    with closing(connection.execute(query)) as cursor:
        value: int = cursor.fetchone()[0]
    return value

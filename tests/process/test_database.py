"""history.sqlite: what is added is there, whole, whatever becomes of whoever writes it."""

import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from luisito.core.accounts import ADDED, COLD, LONGEST, WARM, Accounts
from luisito.core.events import Event, Kind
from luisito.process.database import EVENT, FORM, MAX_TOLD, SITE, Database
from luisito.process.sqlitefile import UnusableError
from tests.harness.server import ROOT

AT = 1_700_000_000.0


class Counted:
    def __init__(self, warm, cold=0):
        self.by_class = [0, 0, warm + cold, 0, 0, 0]
        self.warm, self.cold = [0] * 62, [0] * 62
        self.warm[10], self.cold[20] = warm, cold


def batch(*events, requests=None, at=AT):
    """Events are (site, kind) or (site, kind, facts)."""
    accounts = Accounts(0.0)
    for number, (site, kind, *facts) in enumerate(events, 1):
        more = {"words": "words", **(facts[0] if facts else {})}
        accounts.event(Event(number=number, at=at, site=site, kind=kind, **more), 1e9)
    for site, counts in (requests or {}).items():
        accounts.requests(site, Counted(*counts))
    return accounts.take(at)


def rows(database, site=None, uid=None):
    return [dict(zip(SITE, row, strict=True)) for row in database.sites(site, uid)[0]]


def events(database, site=None, kind=None, uid=None, limit=100):
    return [dict(zip(EVENT, row, strict=True)) for row in database.events(site, kind, uid, limit)]


def check(path):
    """Whether SQLite finds it whole."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        connection.close()


@pytest.fixture(params=["file", "memory"])
def database(request, tmp_path):
    made = Database(str(tmp_path) if request.param == "file" else None)
    yield made
    made.close()


def test_what_is_added_adds_up(database):
    first = batch(("a", Kind.WAKE, {"uid": 7}), ("b", Kind.REFUSED, {"count": 3}))
    database.add(first)
    database.add(batch(("a", Kind.EXITED, {"seconds": 2.5, "words": "ended"}), at=AT + 9))
    database.add(batch(requests={"a": (3, 1)}))
    database.add(batch(requests={"a": (2,)}))
    one, other = rows(database)
    assert (one["name"], one["first_at"], one["last_at"], one["uid"]) == ("a", AT, AT + 9, 7)
    counts = {name: one[name] for name in ADDED if one[name]}
    assert counts == {
        "starts": 1, "stays": 1, "stayed": 2.5, "alive": 2.5, "requests": 6, "c2xx": 6,
    }  # fmt: skip
    assert one["last_exit"] == "ended"
    assert (other["name"], other["refused"]) == ("b", 3)
    assert database.sites("a", None)[1] == [("a", WARM, "10:5"), ("a", COLD, "20:1")]
    assert [row["name"] for row in rows(database, uid=7)] == ["a"]
    told = events(database)
    assert [(one["number"], one["site"], one["kind"]) for one in told] == [
        (1, "a", "wake"), (2, "b", "refused"), (1, "a", "exited"),
    ]  # fmt: skip
    assert told[1]["count"] == 3
    assert told[2]["process"] == os.getpid()


def test_the_last_events_of_a_site_or_kind(database):
    for number in range(20):
        database.add(batch(("ab"[number % 2], (Kind.WAKE, Kind.FAILED)[number // 2 % 2])))
    assert len(events(database, limit=100)) == 20
    assert len(events(database, limit=3)) == 3
    assert {one["site"] for one in events(database, "a")} == {"a"}
    assert {one["kind"] for one in events(database, kind="failed")} == {"failed"}
    assert len(events(database, "a", "failed")) == 5
    assert events(database, "c") == events(database, kind="b") == []


def test_what_is_told_at_once_is_bounded(database):
    """By the words, in which a site's servers have a say; each who asks takes memory for them."""
    words = "\N{SNOWMAN}" * LONGEST
    times = MAX_TOLD // LONGEST // 100 + 2
    for number in range(times):
        many = [("a", Kind.FAILED, {"words": words, "pid": number})] * 100
        database.add(batch(*many))
    database.add(batch(("b", Kind.WAKE)))
    *told, last = events(database, limit=10_000)
    assert len(told) == MAX_TOLD // LONGEST
    assert last["site"] == "b"
    numbers = [(one["pid"], one["number"]) for one in told]
    assert numbers == sorted(numbers)
    assert numbers[-1] == (times - 1, 100)


def test_a_user_is_told_of_own_sites_since_they_are_theirs(database):
    database.add(batch(("a", Kind.WAKE, {"uid": 7}), ("b", Kind.WAKE, {"uid": 8})))
    database.add(batch(("a", Kind.FAILED), ("a", Kind.WAKE, {"uid": 8})))
    database.add(batch(("a", Kind.REFUSED), ("c", Kind.WAKE)))
    assert [(one["site"], one["kind"]) for one in events(database, uid=8)] == [
        ("b", "wake"), ("a", "wake"), ("a", "refused"),
    ]  # fmt: skip
    assert [one["kind"] for one in events(database, "a", uid=8)] == ["wake", "refused"]
    assert events(database, uid=7) == []
    assert events(database, "a", uid=7) == []
    assert [one["site"] for one in events(database, "c", uid=7)] == ["c"]
    assert events(database, kind="failed", uid=8) == []


def test_it_is_bounded(tmp_path):
    database = Database(str(tmp_path), max_events=50, max_sites=200)
    for number in range(30):
        many = [(f"site{number * 10 + one}", Kind.WAKE) for one in range(10)]
        of = {f"site{number * 10}": (1, 1)}
        database.add(batch(*many, requests=of, at=AT + number))
    assert [one["site"] for one in events(database)] == [f"site{one}" for one in range(250, 300)]
    names = {row["name"] for row in rows(database)}
    assert 190 <= len(names) <= 200
    assert {f"site{one}" for one in range(110, 300)} <= names
    assert {name for name, _, _ in database.sites(None, None)[1]} <= names
    database.close()
    assert check(tmp_path / "history.sqlite")


def test_pages_are_used_again(tmp_path):
    path = tmp_path / "history.sqlite"
    database = Database(str(tmp_path), max_bytes=400_000)
    for _ in range(60):
        database.add(batch(*[("a", Kind.FAILED, {"words": "x" * 1000})] * 20))
    assert len(events(database, limit=10_000)) < 600
    database.close()
    assert path.stat().st_size < 600_000


def test_it_is_for_its_user_and_its_group(tmp_path):
    before = os.umask(0o027 | 0o700)
    try:
        database = Database(str(tmp_path))
        database.add(batch(("a", Kind.WAKE)))
    finally:
        os.umask(before)
    modes = {one.name: one.stat().st_mode & 0o7777 for one in tmp_path.iterdir()}
    assert modes == dict.fromkeys(
        ("history.sqlite", "history.sqlite-wal", "history.sqlite-shm"), 0o640
    )
    database.close()
    assert [one.name for one in tmp_path.iterdir()] == ["history.sqlite"]


# -- what is none of ours


def _later_form(path):
    database = Database(str(path.parent))
    database.add(batch(("old", Kind.WAKE)))
    database.close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {FORM + 1}")
    connection.close()


def _of_another(path):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE cookies (name)")
    connection.close()


def _damaged(path):
    database = Database(str(path.parent))
    for _ in range(30):
        database.add(batch(*[("old", Kind.FAILED, {"words": "x" * 1000})] * 10))
    database.close()
    with open(path, "r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * 65536)


def _whole(path):
    """One that is ours, which is damaged a little next."""
    database = Database(str(path.parent))
    database.add(batch(("old", Kind.WAKE), requests={"old": (3,)}))
    database.close()
    return path.read_bytes()


def _odd_letter(path):
    """In the schema: SQLite says so in words that are no UTF-8."""
    path.write_bytes(
        _whole(path).replace(b"CREATE INDEX event_kind", b"CREATE \xf5NDEX event_kind")
    )


def _other_column(path):
    path.write_bytes(_whole(path).replace(b"evictions NUMERIC", b"evictionz NUMERIC"))


def _lost_index(path):
    """An index that names a site that its table has not."""
    data = _whole(path)
    path.write_bytes(data.replace(b"old", b"odd", 1))


def _link(path):
    (path.parent / "aim").write_bytes(b"mine")
    path.symlink_to("aim")


def _second_name(path):
    (path.parent / "aim").write_bytes(b"mine")
    path.hardlink_to(path.parent / "aim")


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: path.write_bytes(b"no database at all" * 100), "file is not a database"),
        (_later_form, f"its form is {FORM + 1}"),
        (_of_another, "another program's"),
        (_damaged, ""),
        (_odd_letter, "its schema is damaged"),
        (_other_column, "its tables are others"),
        (_lost_index, "index"),
        (_link, "no plain file"),
        (_second_name, "no plain file"),
        (lambda path: path.mkdir(), "no plain file"),
        (lambda path: path.with_name("history.sqlite-wal").symlink_to("aim"), "no plain file"),
    ],
)
def test_what_is_none_of_ours_is_set_aside(tmp_path, make, why):
    path = tmp_path / "history.sqlite"
    (tmp_path / "history.sqlite.aside").write_text("of an earlier time")
    make(path)
    before = path.lstat() if path.is_symlink() or path.exists() else None
    database = Database(str(tmp_path))
    database.add(batch(("a", Kind.WAKE)))
    database.add(batch(("a", Kind.EXITED)))
    assert [one["site"] for one in events(database)] == ["a", "a"]
    database.close()
    assert len(database.asides) == 1
    assert why in database.asides[0]
    assert path.is_file()
    assert not path.is_symlink()
    aside = tmp_path / "history.sqlite.aside"
    if before is not None:
        assert aside.lstat().st_ino == before.st_ino
    if (tmp_path / "aim").exists():
        assert (tmp_path / "aim").read_bytes() == b"mine"
    other = Database(str(tmp_path))
    other.look()
    assert not other.asides


def test_one_that_another_process_uses_is_not_set_aside(tmp_path):
    first, second = Database(str(tmp_path)), Database(str(tmp_path))
    first.add(batch(("a", Kind.WAKE)))
    connection = sqlite3.connect(tmp_path / "history.sqlite")
    connection.execute(f"PRAGMA user_version = {FORM + 1}")
    connection.close()
    for _ in range(2):
        with pytest.raises(UnusableError, match="another process uses it"):
            second.add(batch(("b", Kind.WAKE)))
    assert not second.asides
    first.add(batch(("a", Kind.EXITED)))
    first.close()
    second.add(batch(("b", Kind.WAKE)))
    assert [one["site"] for one in events(second)] == ["b"]
    assert len(second.asides) == 1
    second.close()


def test_damage_that_shows_later_is_set_aside_then(tmp_path):
    database = Database(str(tmp_path))
    database.add(batch(*[("old", Kind.FAILED, {"words": "x" * 1000})] * 100))
    for _ in range(40):  # more than SQLite's cache
        database.add(batch(*[("a", Kind.FAILED, {"words": "x" * 1000})] * 500))
    database.close()  # so that all of it is in the file
    database.look()
    with open(tmp_path / "history.sqlite", "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    with pytest.raises(UnusableError):
        events(database, "old")
    database.add(batch(("a", Kind.WAKE)))
    assert len(events(database)) == 1
    assert len(database.asides) == 1
    database.close()
    assert check(tmp_path / "history.sqlite")


def test_damage_of_what_is_told_costs_nothing_else(tmp_path):
    """A letter, and a number that is none."""
    path = tmp_path / "history.sqlite"
    _whole(path)
    connection = sqlite3.connect(path)
    with contextlib.closing(connection):
        connection.execute("UPDATE event SET words = CAST(x'61ff62' AS TEXT), memory = x'ff'")
        connection.execute("UPDATE site SET requests = x'ff', last_exit = CAST(x'ff' AS TEXT)")
        connection.execute("UPDATE bucket SET place = CAST('7' AS BLOB)")
        connection.commit()
    database = Database(str(tmp_path))
    (event,) = events(database)
    assert (event["words"], event["memory"]) == ("a\ufffdb", 0)
    (row,) = rows(database)
    assert (row["requests"], row["last_exit"], row["c2xx"]) == (0, "\ufffd", 3)
    assert database.sites(None, None)[1] == [("old", WARM, "7:3")]
    database.add(batch(("a", Kind.WAKE)))
    assert not database.asides
    database.close()


def test_one_that_was_removed_is_made_again(tmp_path):
    database = Database(str(tmp_path))
    database.add(batch(("a", Kind.WAKE)))
    (tmp_path / "history.sqlite").unlink()
    database.add(batch(("b", Kind.WAKE)))
    assert [one["site"] for one in events(database)] == ["b"]
    database.close()
    assert check(tmp_path / "history.sqlite")
    assert not database.asides


def test_without_a_folder_it_is_tried_again(tmp_path):
    folder = tmp_path / "state"
    database = Database(str(folder))
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            database.add(batch(("a", Kind.WAKE)))
    folder.mkdir()
    database.add(batch(("a", Kind.WAKE)))
    assert len(events(database)) == 1
    database.close()


# -- ends and full disks

WRITER = """
import os, signal, sys
from luisito.process.database import Database
from tests.process.test_database import batch, Kind

folder, ends, writers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

def write(told):
    database = Database(folder)
    made = batch(*[("a", Kind.FAILED, {"words": "x" * 900})] * 5, requests={"a": (5, 0)})
    while True:
        database.add(made)
        os.write(told, b".")

committed = 0
for end in range(ends):
    pids, ours, theirs = [], *os.pipe()
    for _ in range(writers):
        pid = os.fork()
        if not pid:
            write(theirs)
        pids.append(pid)
    os.close(theirs)
    for _ in range(7 * writers + end):
        assert os.read(ours, 1)
        committed += 1
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    while os.read(ours, 1):
        committed += 1
print(committed)
"""


@pytest.mark.parametrize(("ends", "writers"), [(12, 1), (4, 2)])
def test_it_is_whole_after_sigkill(tmp_path, ends, writers):
    """And all is there that was told to be; a batch is there whole, or not at all."""
    done = subprocess.run(
        [sys.executable, "-c", WRITER, str(tmp_path), str(ends), str(writers)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    committed = int(done.stdout)
    assert check(tmp_path / "history.sqlite")
    database = Database(str(tmp_path))
    (row,) = rows(database)
    database.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "history.sqlite")) as connection:
        ((told,),) = connection.execute("SELECT count(*) FROM event")
    assert not database.asides
    assert row["requests"] == row["failures"] == told
    assert told % 5 == 0
    assert committed <= told // 5 <= committed + ends * writers


@pytest.fixture
def disk(tmp_path):
    """A folder on a file system of 1 MiB of its own."""
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=755", "tmpfs", path], check=True)
    yield path
    subprocess.run(["umount", path], check=True)


@pytest.mark.root
def test_a_full_disk_loses_nothing_that_is_there(disk):
    database = Database(str(disk))
    database.add(batch(("a", Kind.WAKE)))
    ballast = disk / "ballast"
    with open(ballast, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4096):
            pass
    large = batch(*[("b", Kind.FAILED, {"words": "x" * 1000})] * 200, requests={"b": (5, 0)})
    for _ in range(3):
        with pytest.raises(sqlite3.OperationalError):
            database.add(large)
    assert [one["site"] for one in events(database)] == ["a"]
    ballast.unlink()
    database.add(large)
    assert len(events(database, limit=1000)) == 201
    assert rows(database, "b")[0]["failures"] == 200
    database.close()
    assert check(disk / "history.sqlite")


@pytest.mark.root
def test_a_disk_that_is_full_at_the_start_may_be_cleared_later(small_disk):
    database = Database(str(small_disk))
    for _ in range(2):
        with pytest.raises(sqlite3.OperationalError):
            database.add(batch(*[("b", Kind.FAILED, {"words": "x" * 1000})] * 60))
    subprocess.run(["mount", "-o", "remount,size=2m", small_disk], check=True)
    database.add(batch(("a", Kind.WAKE)))
    assert [one["site"] for one in events(database)] == ["a"]
    database.close()
    assert check(Path(small_disk) / "history.sqlite")

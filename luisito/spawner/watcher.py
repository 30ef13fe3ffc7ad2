"""The process that looks at the folders of one user's sites while their servers live, as that user.

It is forked and has all that it needs, so that it depends on no program; whoever becomes another
user cannot be looked into by that user (prctl(2), PR_SET_DUMPABLE). Whatever the folders are, it
costs a bounded time and memory of this process alone, which is killed with the last server.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import stat
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from luisito.core import reloads
from luisito.core.text import visible
from luisito.spawner import privileges, users
from luisito.spawner.siteconfig import SiteConfig

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from luisito.core.reloads import Stamp
    from luisito.spawner.config import Config

MOST: Final = 10_000  # files and folders of one look at one folder
MOST_FOLDERS: Final = 200  # that are looked at; further ones are not
LONGEST: Final = 4096  # bytes of what it says
_LONGEST_TASK: Final = 1 << 20  # bytes of what it is told
_LONGEST_PATH: Final = 200  # characters of a path that is told
_MEMORY: Final = 256 * 2**20  # bytes of data that it may have (setrlimit(2), RLIMIT_DATA)
_NICE: Final = 10


class Task(NamedTuple):
    """A server for which it is to look.

    Attributes:
        server: its number.
        site: its key.
        record: its run record.
    """

    server: int
    site: str
    record: bytes


def encode(task: Task) -> bytes:
    """What it is told of a server; a number alone is told of one that has gone."""
    return b"%d %s\n" % (task.server, task.site.encode()) + task.record


def _decode(data: bytes) -> Task | int:
    head, end, record = data.partition(b"\n")
    number, _, site = head.partition(b" ")
    return Task(int(number), site.decode(), record) if end else int(number)


def run(config: Config, task: Task, uid: int, sock: socket.socket, parent: int) -> None:
    """Look, and tell of each change, until somebody kills us.

    Args:
        config: what the spawner was told.
        task: the first one.
        uid: of its server.
        sock: where more of them come from, and what is seen goes to, by the numbers of the servers;
            all other descriptors are closed.
        parent: what getppid() answers as long as the spawner lives.
    """
    first = SiteConfig(config, task.record)
    os.closerange(3, sock.fileno())
    os.closerange(sock.fileno() + 1, os.sysconf("SC_OPEN_MAX"))
    users.become(first.identity(uid, None, first.folder(task.site)))
    privileges.set_no_new_privs()
    privileges.forbid_tracing()
    privileges.set_parent_death_signal(signal.SIGKILL)
    if os.getppid() != parent:
        return
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
    os.nice(_NICE)
    folders = Folders(config)
    folders.add(task)
    _look(folders, sock)


def _look(folders: Folders, sock: socket.socket) -> None:
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    due = time.monotonic() + reloads.PAUSE
    while True:
        if poller.poll(max(0.0, due - time.monotonic()) * 1000):
            data = sock.recv(_LONGEST_TASK)
            if not data:
                return
            said = _decode(data)
            if isinstance(said, int):
                folders.remove(said)
            else:
                folders.add(said)
            if time.monotonic() < due:
                continue
        began = time.thread_time()
        for server, what in folders.look():
            sock.send(b"%d %s" % (server, visible(what)[:_LONGEST_PATH].encode()))
        due = time.monotonic() + reloads.pause(time.thread_time() - began)


class Folders:
    """The folders of sites that have a server, each looked at once for all its servers.

    The new server of a site comes before the old one goes, so that nothing is missed between them.

    Args:
        config: what the spawner was told.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._folders: dict[tuple[str, ...], Folder] = {}
        self._of: dict[int, tuple[str, ...]] = {}

    def add(self, task: Task) -> None:
        """Look at the folder of a server's site from now on, where that has one."""
        site_config = SiteConfig(self._config, task.record)
        path = site_config.folder(task.site)
        if path is None:
            return
        key = (path, *site_config.reload_on)
        if key not in self._folders:
            if len(self._folders) >= MOST_FOLDERS:
                return
            self._folders[key] = folder = Folder(path, site_config.reload_on)
            folder.look()
        self._of[task.server] = key

    def remove(self, server: int) -> None:
        """Look no more for a server; an unknown one is harmless."""
        key = self._of.pop(server, None)
        if key is not None and key not in self._of.values():
            del self._folders[key]

    def look(self) -> list[tuple[int, str]]:
        """Tell for which servers a file has changed since the last look, and which one."""
        seen = {key: folder.look() for key, folder in self._folders.items()}
        return [(server, seen[key]) for server, key in self._of.items() if seen[key]]


class Folder:
    """A site's folder, as it was seen last.

    Args:
        path: of it; may be another folder later.
        patterns: of code (core.reloads.is_code).
    """

    def __init__(self, path: str, patterns: Sequence[str]) -> None:
        self._path, self._patterns = path, patterns
        self._restart: dict[str, Stamp] = {}
        self._code: dict[str, Stamp] = {}
        self._whole = True

    def look(self) -> str:
        """Tell which file has changed since the last look; "" for none."""
        before, self._restart = self._restart, self._stamps(reloads.RESTART)
        what = reloads.touched(before, self._restart)
        if self._patterns:
            code, whole = self._code, self._whole
            self._code, self._whole = self._all()
            what = what or reloads.changed(code, self._code, whole=whole and self._whole)
        return what

    def _stamps(self, names: Sequence[str]) -> dict[str, Stamp]:
        found = {}
        for name in names:
            try:
                found[name] = _stamp(os.stat(f"{self._path}/{name}"))
            except OSError:
                continue
        return found

    def _all(self) -> tuple[dict[str, Stamp], bool]:
        """The files of code; and whether these are all, or as many as one look may see."""
        found: dict[str, Stamp] = {}
        folders, left = [""], MOST
        while folders:
            inside = folders.pop()
            below: list[str] = []
            files: dict[str, Stamp] = {}
            try:
                with os.scandir(f"{self._path}/{inside}") as entries:
                    for entry in entries:
                        left -= 1
                        if left < 0:
                            return found | files, False
                        path = f"{inside}{entry.name}"
                        if entry.name == reloads.VIRTUALENV and inside:
                            below, files = [], {}
                            break
                        if entry.is_dir(follow_symlinks=False):
                            if reloads.is_entered(entry.name):
                                below.append(f"{path}/")
                        elif reloads.is_code(path, self._patterns):
                            status = entry.stat(follow_symlinks=False)
                            if stat.S_ISREG(status.st_mode):
                                files[path] = _stamp(status)
            except OSError:
                continue
            found |= files
            folders += below
        return found, True


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_mtime_ns, status.st_size, status.st_ino

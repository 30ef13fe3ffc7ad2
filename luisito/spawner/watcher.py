"""The process that looks at one site's folder for as long as its server lives, as the site's user.

It is forked and has all that it needs, so that it depends on no program; whoever becomes another
user cannot be looked into by that user (prctl(2), PR_SET_DUMPABLE). Whatever the folder is, it
costs a bounded time and memory of this process alone, which is killed with the server.
"""

from __future__ import annotations

import os
import signal
import stat
import time
from typing import TYPE_CHECKING, Final

from luisito.core import reloads
from luisito.core.text import visible
from luisito.spawner import privileges, users
from luisito.spawner.siteconfig import SiteConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from luisito.core.reloads import Stamp
    from luisito.spawner.config import Config
    from luisito.spawner.sites import Record

MOST: Final = 10_000  # files and folders of one look
_LONGEST: Final = 200  # characters of a path that is told
_NICE: Final = 10


def run(config: Config, record: Record, site: str, uid: int, pipe: int, parent: int) -> None:
    """Look, and write a line for each change, until somebody kills us.

    Args:
        config: what the spawner was told.
        record: of the site.
        site: its name.
        uid: of its server.
        pipe: where lines go; all other descriptors are closed.
        parent: what getppid() answers as long as the spawner lives.
    """
    site_config = SiteConfig.read(config, record)
    os.closerange(3, pipe)
    os.closerange(pipe + 1, os.sysconf("SC_OPEN_MAX"))
    folder = site_config.folder(site)
    if folder is None:
        return
    users.become(site_config.identity(uid, None, folder))
    privileges.forbid_tracing()
    privileges.set_parent_death_signal(signal.SIGKILL)
    if os.getppid() != parent:
        return
    os.nice(_NICE)
    _look(Folder(folder, site_config.reload_on), pipe)


def _look(folder: Folder, pipe: int) -> None:
    folder.look()
    seconds = 0.0
    while True:
        time.sleep(reloads.pause(seconds))
        began = time.thread_time()
        what = folder.look()
        seconds = time.thread_time() - began
        if what:
            os.write(pipe, f"{visible(what)[:_LONGEST]}\n".encode())


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

"""What the server of a site file is started by: a configuration with the site's own values."""

from __future__ import annotations

import errno
import json
import os
import stat
from typing import TYPE_CHECKING, Any, Final

from luisito.core import envfile
from luisito.core.cgroup import Limits
from luisito.core.siteindex import NO_WAY, PRELOAD
from luisito.core.template import Template, way
from luisito.spawner import privileges
from luisito.spawner.config import Config
from luisito.spawner.users import (
    Identity,
    StartRefusedError,
    become,
    group,
    open_folder,
    resolve,
)
from luisito.spawner.whynot import why_not

if TYPE_CHECKING:
    from luisito.spawner.sites import Record

_LARGEST: Final = 64 * 1024  # bytes
_VIRTUALENVS: Final = (".venv", "venv")
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class SiteConfig(Config):
    """Made of a run record (settings.sites.records), in the child that will be the server.

    Args:
        config: of the network process.
        record: in JSON, as the loader has written it.

    Attributes:
        reload_on: patterns of files a change of which restarts the site.
        stop_command: what stops its server; None where a signal does.
        runner: what the Python runner is told of it (docs/apps.md); None where it has none.
        preloads: this is the record of a preloaded interpreter.
        learned: the folder for what such interpreters of the user learn, once that was made.
    """

    __slots__ = (
        "_env_file", "_finds_virtualenv", "_folder", "_group", "_owner", "_waiting_page",
        "learned", "preloads", "reload_on", "runner", "stop_command",
    )  # fmt: skip

    def __init__(self, config: Config, record: bytes) -> None:
        for name in Config.__slots__:
            setattr(self, name, getattr(config, name))
        said: dict[str, Any] = json.loads(record)
        self.command, self.said_by = Template.parse(said["command"]), "command in its site file"
        self.templated = True
        self.env = {name: Template.text(text) for name, text in said["env"].items()}
        self.way = way(
            self.command.words.union(*(template.words for template in self.env.values()))
        )
        self.runner: dict[str, Any] | None = said.get("runner")
        self.learned = ""
        self.preloads = said.get("worker") == PRELOAD
        if said.get("worker") is not None:
            self.way = NO_WAY
        self.umask = self.umask_of(self.way)
        self._folder: str | None = said["folder"]
        self.fixed = said["fixed"]
        self.reload_on: list[str] = said["reload_on"]
        stop = said["stop_command"]
        self.stop_command = None if stop is None else Template.parse(stop)
        self.hooks = {name: Template.parse(one) for name, one in said.get("hooks", {}).items()}
        self._env_file: str | None = said["env_file"]
        self._waiting_page: str | None = said.get("waiting_page")
        self.virtualenv = said["virtualenv"]
        self._finds_virtualenv = self.virtualenv is None and "finds_virtualenv" in said
        self.rlimits = {name: (soft, hard) for name, (soft, hard) in said["rlimits"].items()}
        self.limits = Limits(said["memory_max"], said["cpu_max"], said["pids_max"])
        self.run_as, self._group = said["user"], said["group"]
        self._owner: int | None = None
        if self.run_as is not None:
            self.run_as_file = None
            self.allow_root = self.run_as in ("root", 0)
        if said["tenant"] is not None:
            # Whatever the record says, and whoever may be root by the settings.
            self.run_as = self._owner = int(said["owner"])
            self._group, self.run_as_file, self.allow_root = None, None, False
            # The tenant's own word goes as far as the tenant may go; see `open_folder`.
            self.own_folder = self.fixed == "/"
        self.user, self.alike = None, False

    @classmethod
    def read(cls, config: Config, record: Record) -> SiteConfig:
        """Read the record itself."""
        return cls(config, os.pread(record.file, record.size, record.offset))

    def folder(self, site: str) -> str | None:  # noqa: ARG002 - it is that of one site
        """See Config."""
        return self._folder

    def identity(
        self, run_as: str | int | None, folder: os.stat_result | None, path: str | None
    ) -> Identity:
        """See Config."""
        if self._owner is not None and not (self.root and self._owner):
            raise StartRefusedError("the site file of a tenant, where there can be none")
        user = resolve(self, run_as, folder, path)
        if self._owner not in (None, user.uid):
            raise StartRefusedError(f"a site file of uid {self._owner} cannot run as {user.uid}")
        return user if self._group is None else group(self, user, self._group)

    def read_variables(self) -> None:
        """Read the file of variables, with the user's own rights: we are in the folder.

        Raises:
            StartRefusedError: it cannot be read.
            SettingsError: a line of it cannot be.
        """
        path = self._env_file
        if path is not None:
            data = _bounded("env_file", self._inside(path), path)
            self.variables = envfile.parse(os.fsdecode(data), path)

    def read_page(self) -> bytes:
        """Become the site's user, and read its waiting page; this process is not to do more.

        Raises:
            StartRefusedError: it cannot be read, or the site has none of its own.
        """
        path = self._waiting_page
        if path is None:
            raise StartRefusedError("waiting_page: names no file")
        if self.run_as_file is not None:
            raise StartRefusedError(
                f"waiting_page {path!r}: nobody but RUN_AS, a function, says whose it may be; write"
                " user in the site file"
            )
        early = self._folder is not None and not self.own_folder
        folder = open_folder(self._folder or "/", self.fixed) if early else None
        become(self.identity(self.run_as, None if folder is None else os.fstat(folder), None))
        privileges.forbid_tracing()
        if self._folder is not None and folder is None:
            folder = open_folder(self._folder, f"{self._folder}/")
        if folder is not None:
            try:
                os.fchdir(folder)
            except PermissionError:
                why = f"its user may not enter {self._folder!r}; chmod or chown that"
                raise StartRefusedError(f"waiting_page {path!r}: {why}") from None
        data = _bounded("waiting_page", self._inside(path), path)
        try:
            data.decode()
        except UnicodeDecodeError:
            raise StartRefusedError(f"waiting_page {path!r}: is no UTF-8; save it so") from None
        return data

    def _inside(self, path: str) -> str:
        """A path as it is from the folder, where it lies in there."""
        return path if self._folder is None else path.removeprefix(f"{self._folder}/")

    def check_virtualenv(self) -> None:
        """See whether the virtual environment is there, with the user's own rights.

        Where a Python app is run and none is named, one is looked for in its folder.

        Raises:
            StartRefusedError: it is not.
        """
        if self._finds_virtualenv and self._folder is not None:
            found = [f"{self._folder}/{name}" for name in _VIRTUALENVS]
            self.virtualenv = next(filter(_has_python, found), None)
        if self.virtualenv is None:
            return
        if not os.path.isdir(f"{self.virtualenv}/bin"):
            raise StartRefusedError(
                f"virtualenv {self.virtualenv!r}: has no folder bin that its user may enter;"
                f" run python3 -m venv {self.virtualenv}, or mend virtualenv in its site file"
            )
        python = f"{self.virtualenv}/bin/python3"
        if _has_python(self.virtualenv) and not os.access(python, os.X_OK):
            # The next one on PATH would be taken, which has none of its packages.
            error = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            why = why_not(python, "", error, "virtualenv in its site file")
            raise StartRefusedError(
                f"virtualenv {self.virtualenv!r}: {why}; or make it anew by"
                f" /usr/bin/python3 -m venv --clear {self.virtualenv}, and install what was in it"
            )


def _bounded(key: str, inside: str, path: str) -> bytes:
    try:
        file = os.open(inside, _FLAGS)
    except OSError as error:
        if stat.S_ISLNK(_mode(inside)):
            why = "is a symbolic link; name the file itself"
        else:
            why = f"{error.strerror}; let the site's user read it, or mend {key}"
        raise StartRefusedError(f"{key} {path!r}: {why}") from None
    with open(file, "rb") as opened:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise StartRefusedError(f"{key} {path!r}: is no regular file; name another")
        data = opened.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise StartRefusedError(f"{key} {path!r}: has more than {_LARGEST} bytes; cut it")
    return data


def _has_python(virtualenv: str) -> bool:
    """Whether an interpreter is meant to be there, may we execute it or not."""
    try:
        os.lstat(f"{virtualenv}/bin/python3")
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        pass  # it is there, behind a folder that we may not enter
    return True


def _mode(path: str) -> int:
    try:
        return os.lstat(path).st_mode
    except OSError:
        return 0

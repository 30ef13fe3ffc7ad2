"""What the spawner was told at its start, checked and frozen: templates, users and floors."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from luisito.core import wire
from luisito.core.cgroup import Limits
from luisito.core.template import Template, way
from luisito.errors import SettingsError
from luisito.spawner.leftover import Leftover
from luisito.spawner.users import Identity, StartRefusedError, resolve

if TYPE_CHECKING:
    from luisito.core.rlimits import Limit

DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
LISTENER = 3  # the descriptor of %FD (sd_listen_fds(3))
_MAX_RUNTIME_DIR = 86  # bytes: sun_path is 108, "/2147483647/notify" and the NUL take 19 of them
_ALIVE_TO_SPARE = 16  # servers; the pool counts for itself, this only stops a pool gone wild


class Config:
    """Frozen after the first order; everything that a start needs except site, port and id.

    Args:
        order: what the network process said before it gave up its privileges.
        root: the spawner is root's.

    Attributes:
        exclusive: servers run as other users than the spawner does.
        fixed: the beginning of PROJECT_PATH that is the operator's own words.
        limits: what each server's cgroup is to keep.
        leftovers: by path, what to remove for the network process once nobody needs it.
        pidfile: likewise, at the very end.
        templated: there is a command for sites without a file of their own.
        run_as_file: the settings file whose RUN_AS is a function, which then says it.
        user: who every server runs as; None where that depends on the site, or cannot be told.
        alike: every server runs as the same user in the same folder.
        runs: all that makes a difference to a server that runs; equal to that of another
            configuration where its servers may go on.
        runs_sites: likewise for one that has a site file, beside that.
        said_by: where the command was written, for messages.
        own_folder: a tenant has named the folder, and no more than a tenant's rights open it.
        hooks: the commands of HOOKS, by core.hooks.EVENTS; of a SiteConfig those of its file.
        hook_timeout: seconds that any such command may take.
        variables: more of the environment, less than all else.
        virtualenv: whose programs come first; None for none.

    Raises:
        SettingsError: a value that cannot be used, or another version of the wire format.
        TemplateError: a template that cannot be used.
    """

    __slots__ = (
        "_umask",
        "access_log",
        "alike",
        "allow_root",
        "command",
        "cwd",
        "env",
        "exclusive",
        "fixed",
        "hibernate",
        "hook_timeout",
        "hooks",
        "inherited",
        "leftovers",
        "limits",
        "log",
        "log_keep",
        "log_max_size",
        "max_alive",
        "max_memory",
        "max_servers",
        "min_uid",
        "network_gid",
        "network_uid",
        "on_crash",
        "output_log_dir",
        "own_folder",
        "pidfile",
        "project_path",
        "rlimits",
        "root",
        "run_as",
        "run_as_file",
        "runs",
        "runs_sites",
        "runtime_dir",
        "said_by",
        "settings_file",
        "sites_dir",
        "state_dir",
        "templated",
        "umask",
        "user",
        "variables",
        "virtualenv",
        "way",
    )

    def __init__(self, order: wire.Configure, *, root: bool) -> None:
        if order.version != wire.VERSION:
            raise SettingsError(
                f"this version of Luisito speaks to its spawner in another way (wire version"
                f" {order.version}) than the spawner that runs ({wire.VERSION}): it needs a stop"
                " and a start"
            )
        self.templated = order.command is not None
        self.command = Template(()) if order.command is None else Template.parse(order.command)
        self.env = {_variable(name): Template.text(text) for name, text in order.env.items()}
        self.way = way(
            self.command.words.union(*(template.words for template in self.env.values()))
        )
        self.project_path = None
        self.fixed = (order.project_path or "").partition("%")[0]
        if order.project_path is not None:
            self.project_path = Template.text(_absolute("PROJECT_PATH", order.project_path))
            if not self.project_path.words <= {"HOST"}:
                raise SettingsError(
                    f"PROJECT_PATH = {order.project_path!r}: only %HOST may stand in it"
                )
        self.cwd = _absolute("working folder", order.cwd)
        self.root = root
        self.run_as = order.run_as
        self.run_as_file = _optional("RUN_AS", order.run_as_file)
        if self.run_as == "owner" and self.project_path is None:
            raise SettingsError('RUN_AS = "owner": set PROJECT_PATH, whose owner is meant')
        self.allow_root = order.allow_root or order.run_as in ("root", 0)
        self.exclusive = root and not self.allow_root
        self.min_uid = order.min_uid
        if order.umask > 0o777:
            raise SettingsError(f"umask {order.umask:#o}: write one of at most 0o777")
        self._umask = order.umask
        self.umask = self.umask_of(self.way)
        self.output_log_dir = _optional("OUTPUT_LOG_DIR", order.output_log_dir)
        self.log_max_size, self.log_keep = order.log_max_size, order.log_keep
        self.access_log = _optional("ACCESS_LOG", order.access_log)
        self.log = _optional("log file", order.log)
        self.sites_dir = _optional("SITES_DIR", order.sites_dir)
        self.state_dir = _optional("STATE_DIR", order.state_dir)
        self.settings_file = _optional("settings file", order.settings_file)
        if not self.templated and self.sites_dir is None:
            raise SettingsError("CMD_TPL is not set, and SITES_DIR is not either; set one of them")
        self.runtime_dir = _optional("RUNTIME_DIR", order.runtime_dir)
        if self.runtime_dir is not None and len(os.fsencode(self.runtime_dir)) > _MAX_RUNTIME_DIR:
            raise SettingsError(
                f"RUNTIME_DIR = {self.runtime_dir!r}: longer than {_MAX_RUNTIME_DIR} bytes, so that"
                " the sockets in it could not be named; choose a shorter one"
            )
        self.rlimits = {name: _limit(name, pair) for name, pair in (order.rlimits or {}).items()}
        self.limits = Limits(order.memory_max, order.cpu_max, order.pids_max)
        self.network_gid = order.network_gid
        self.network_uid = order.network_uid
        left = [_absolute("unix socket of LISTEN", path) for path in order.sockets]
        self.leftovers = {path: Leftover(path) for path in left}
        pidfile = _optional("pidfile", order.pidfile)
        self.pidfile = None if pidfile is None else Leftover(pidfile)
        self.on_crash = order.on_crash
        self.runs = tuple(getattr(order, name) for name in wire.RUNS)
        self.runs_sites = tuple(getattr(order, name) for name in wire.RUNS_SITES)
        self.max_servers = order.max_servers
        self.max_alive = order.max_servers + order.overlap + _ALIVE_TO_SPARE
        self.max_memory = order.max_memory
        self.hibernate = order.hibernate
        self.hooks = {name: Template.parse(words) for name, words in (order.hooks or {}).items()}
        self.hook_timeout = order.hook_timeout / 1e6
        self.user = self._one_user()
        # Nobody but us may tell a child of a record: with site files none is given away.
        self.alike = self.user is not None and self.project_path is None and self.sites_dir is None
        self.said_by = "CMD_TPL"
        self.virtualenv: str | None = None
        self.variables: dict[str, str] = {}
        self.own_folder = False
        self.inherited = {"PATH": os.environ.get("PATH") or DEFAULT_PATH}
        for name in ("LANG", "TZ"):
            if name in os.environ:
                self.inherited[name] = os.environ[name]

    def _one_user(self) -> Identity | None:
        if self.run_as_file is not None:
            return None
        if self.root and (self.run_as == "owner" or (self.run_as is None and self.project_path)):
            return None
        try:
            return resolve(self, self.run_as, None)
        except StartRefusedError:
            return None  # the child says why, when somebody waits for it

    def umask_of(self, way: str) -> int:
        """Tell the umask of servers that are reached in a way."""
        # Through %SOCKET Luisito connects as a member of the socket's group.
        return 0o007 if way == "socket" else self._umask

    def identity(
        self, run_as: str | int | None, folder: os.stat_result | None, path: str | None
    ) -> Identity:
        """Decide who a server runs as: see `users.resolve`."""
        return resolve(self, run_as, folder, path)

    def folder(self, site: str) -> str | None:
        """Name a site's PROJECT_PATH; None where the setting is not set."""
        if self.project_path is None:
            return None
        return self.project_path.render({"HOST": site})[0]


def _limit(name: str, pair: list[int | None]) -> Limit:
    if len(pair) != 2:
        raise SettingsError(f"RLIMITS: {name!r} has {len(pair)} values; write (soft, hard)")
    return pair[0], pair[1]


def refuse_changes(old: Config, new: Config) -> None:
    """Refuse a configuration that cannot follow another one while Luisito runs.

    Raises:
        SettingsError: it cannot.
    """
    if new.runtime_dir != old.runtime_dir:
        raise SettingsError(
            f"RUNTIME_DIR = {new.runtime_dir!r}: it is {old.runtime_dir!r} as long as Luisito runs;"
            " write that, or stop and start Luisito"
        )
    if (new.network_uid, new.network_gid) != (old.network_uid, old.network_gid):
        raise SettingsError(
            f"the user of the network process (uid {new.network_uid}, gid {new.network_gid}): it is"
            f" uid {old.network_uid}, gid {old.network_gid} as long as Luisito runs (--uid, --gid,"
            " or the users luisito and nobody); stop and start Luisito"
        )


def _variable(name: str) -> str:
    if not name or "=" in name or "\0" in name:
        raise SettingsError(f"ENV: {name!r} cannot name a variable; leave out '=' and NUL")
    return name


def _absolute(setting: str, path: str) -> str:
    if not path.startswith("/") or "\0" in path:
        raise SettingsError(f"{setting} = {path!r}: write an absolute path")
    return path


def _optional(setting: str, path: str | None) -> str | None:
    return None if path is None else _absolute(setting, path)

"""What of a site others get to know: a run record for the spawner, a public one for all."""

from __future__ import annotations

import hashlib
import json
import os
import pwd
from functools import cache
from typing import TYPE_CHECKING, Any

from luisito.core.cgroup import CPU_PERIOD
from luisito.core.sticky import name_of
from luisito.core.template import WAYS, Template
from luisito.settings.hooks import is_webhook
from luisito.settings.sites import runner
from luisito.settings.sites.table import NUMBERS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from luisito.settings import Settings
    from luisito.settings.sites.table import Site


def run_record(site: Site, settings: Settings) -> dict[str, Any]:
    """All that a start of a site needs, with what the settings say where its file does not.

    It holds secrets, in `env`. Its values are those of JSON:

    - runner: what is run by the Python runner, where a preloaded interpreter may fork it;
    - finds_virtualenv: one in its folder is used where none is named; left out where not;
    - command: a template, a string or a list; env: templates by their names;
    - folder, env_file, virtualenv, waiting_page: absolute paths, or None;
    - fixed: the beginning of folder that the operator wrote, as `spawner.users.open_folder` has it;
    - user: "owner", a name or a uid; None where RUN_AS is None or a function, which then says it;
    - group: a name, a gid, or None for those of the user;
    - owner: the uid of the file; tenant: the name of that user where they are one, or None;
    - rlimits: [soft, hard] by their names, None for no limit;
    - memory_max in bytes, cpu_max in microseconds in each core.cgroup.CPU_PERIOD, pids_max; None
      for no limit; limits_by: who says each of them (core.siteindex);
    - stop_signal: a signal's name without SIG;
    - stop_command: a template, a string or a list, or None;
    - reload_on: a list of patterns (core.reloads.is_code);
    - hooks: templates of commands by core.hooks.EVENTS.
    """

    def said(key: str, setting: object) -> Any:  # noqa: ANN401 - of a key, whose type the table has
        return getattr(site, key) if key in site.given else setting

    host = {"HOST": site.name}
    folder = said("folder", settings.project_path)
    if folder is not None:
        folder = Template.text(folder).render(host)[0]

    def inside(path: str | None) -> str | None:
        if path is None:
            return None
        return os.path.join(folder or "/", Template.text(path).render(host)[0])

    run_as = settings.run_as if isinstance(settings.run_as, str | int) else None
    cpu_max = said("cpu_max", settings.cpu_max)
    what = site.django or site.app
    of_runner: dict[str, Any] = {} if what is None else {"finds_virtualenv": True}
    if site.is_preloaded:
        of_runner["runner"] = what
    return {
        **of_runner,
        "command": said("command", settings.cmd_tpl),
        "env": {**runner.common(settings.env, runs=what is not None), **site.env},
        "env_file": inside(site.env_file),
        "virtualenv": inside(site.virtualenv),
        "waiting_page": inside(site.waiting_page) if isinstance(site.waiting_page, str) else None,
        "folder": folder,
        "fixed": site.fixed,
        "user": said("user", run_as) if site.tenant is None else site.owner,
        "group": site.group,
        "owner": site.owner,
        "tenant": site.tenant,
        "rlimits": {
            name: list(limit) for name, limit in {**settings.rlimits, **site.rlimits}.items()
        },
        "memory_max": said("memory_max", settings.memory_max),
        "cpu_max": None if cpu_max is None else round(cpu_max * CPU_PERIOD),
        "pids_max": said("pids_max", settings.pids_max),
        "limits_by": list(site.limits_by),
        "stop_signal": site.stop_signal,
        "stop_command": site.stop_command,
        "reload_on": list(site.reload_on),
        "hooks": {event: one for event, one in site.hooks.items() if not is_webhook(one)},
    }


def worker_records(site: Site, run: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What starts of a site's workers need, by their names.

    Each is as the site's own, but for its command, its stop signal and more variables; those that
    tell a server where to listen it does not get. `worker` is its name.

    Args:
        site: that is meant.
        run: its run record.
    """
    env = {
        name: text
        for name, text in run["env"].items()
        if not Template.text(text).words & WAYS.keys()
    }
    return {
        one.name: {
            **run,
            "command": one.command,
            "env": {**env, **one.env},
            "stop_signal": one.stop_signal,
            "stop_command": None,
            "hooks": {},
            "worker": one.name,
        }
        for one in site.workers
    }


def digest(run: Mapping[str, Any]) -> str:
    """SHA-256 of a run record, in hexadecimal: it differs where a server has to be another."""
    told = {key: of for key, of in run.items() if key not in ("limits_by", "hooks")}
    canonical = json.dumps({**told, "waiting_page": None}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def public_record(
    site: Site,
    run: Mapping[str, Any],
    workers: Mapping[str, Mapping[str, Any]],
    mounts: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """What the network process knows of a site: no command, no environment.

    Its values are those of JSON:

    - site: its key; aliases, redirects, hosts: lists as in the file; default: whether it is that;
    - listen: endpoints that are this site's alone;
    - way: "port", "socket" or "fd" (core.template.way);
    - limits: those numbers that its file, its bases or its tenant's caps set, by their keys, None
      for no limit; rlimits are not among them;
    - handed_socket: "unix" or "tcp", or None where HANDED_SOCKET says it;
    - keep: a word of core.keeping.Keep; restart: "always" or "on-failure";
    - wake: rules (core.wakerules.Rule.record), or None where WAKE says them;
    - processes: of each worker its name, the digest of its own record, with: "site", "always" or
      "asked" (a preloaded interpreter, while it is of use), restart: as above, and stop_timeout
      in seconds, or None for that of the site;
    - pre_stop: the path that a server is asked for before it is stopped, or None;
    - hooks: by core.hooks.EVENTS the URL of a webhook, or true for a command;
    - hibernate: true where its server is frozen though it has work of its own, false where it is
      never, or None;
    - waiting_page: whether browsers are shown a page while it wakes, or the path of the site's own;
    - ready: what shows that its server is ready: core.health.ACCEPT, NOTIFY, or a path;
    - maintenance: true, seconds or words where it is down for that (core.maintenance); else false;
    - members: how many servers it has (core.members); sticky: the name of the cookie that leads to
      the same one (core.sticky), or None;
    - tenant: as in the run record, and path: of its file;
    - user: the uid that its server runs as, "owner" for that of its folder, or None where RUN_AS
      says it;
    - digest: of the run record;
    - mounts: the public records of its mounts; mounted: the path of one, or ""; strip: whether that
      is taken off what is passed on.

    Args:
        site: that is meant.
        run: its run record.
        workers: those of its workers.
        mounts: see above.
    """
    return {
        "site": site.key,
        "aliases": list(site.aliases),
        "redirects": list(site.redirects),
        "hosts": list(site.hosts),
        "default": site.default,
        "listen": list(site.listen),
        "way": site.way,
        "limits": {key: getattr(site, key) for key in NUMBERS if key in site.given},
        "handed_socket": site.handed_socket,
        "keep": site.keep,
        "restart": site.restart,
        "wake": None if site.wake is None else [rule.record() for rule in site.wake],
        "processes": [
            {
                "name": one.name,
                "digest": digest(workers[one.name]),
                "with": one.lives_with,
                "restart": one.restart,
                "stop_timeout": one.stop_timeout,
            }
            for one in site.workers
        ],
        "waiting_page": site.waiting_page,
        "ready": site.ready,
        "pre_stop": site.pre_stop,
        "hibernate": site.hibernate,
        "hooks": {event: not is_webhook(one) or one for event, one in site.hooks.items()},
        "maintenance": site.maintenance,
        "members": site.processes,
        "sticky": None if site.sticky is None else name_of(site.sticky, site.mounted),
        "tenant": site.tenant,
        "user": _uid(run.get("user")),
        "path": site.path,
        "digest": digest(run),
        "mounted": site.mounted,
        "strip": site.strip,
        "mounts": list(mounts),
    }


@cache
def _uid(user: str | int | None) -> str | int | None:
    """The uid of a user; as it is where that is not known here."""
    if not isinstance(user, str) or user == "owner":
        return user
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:  # its server cannot start
        return None

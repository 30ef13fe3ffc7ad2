"""Judges a draft as a whole, and makes a Site of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import attrs

from luisito.core.host import normalize
from luisito.core.template import WAYS, Template, way
from luisito.errors import BadHost, TemplateError
from luisito.settings.hooks import is_webhook
from luisito.settings.sites import caps, runner
from luisito.settings.sites.draft import TABLES, MountDraft
from luisito.settings.sites.listen import place
from luisito.settings.sites.table import KEYS, Site
from luisito.settings.sites.toml import assignment, failed

if TYPE_CHECKING:
    from luisito.settings import Settings
    from luisito.settings.sites.draft import Draft
    from luisito.settings.sites.tenants import Tenant

SUFFIX = ".toml"
_LONGEST_KEY = 240  # bytes; of NAME_MAX, that files of output have


def site_name(path: str) -> str:
    """The key of a site, from the path of its file.

    Raises:
        SiteFileError: the file's name is no host.
    """
    written = os.path.basename(path).removesuffix(SUFFIX)
    try:
        name = normalize(os.fsencode(written))
    except BadHost as error:
        what = f"its name is no host: {error}; rename it to the host of the site, and .toml"
        raise failed(path, what) from None
    if name != written:
        what = "its name must be a host in lower case, without a port"
        raise failed(path, f"{what}; rename it to {name}{SUFFIX}")
    return name


def make(draft: Draft, tenant: Tenant | None, settings: Settings) -> Site:
    """Makes a site.

    Args:
        draft: its file, with bases below.
        tenant: to whom the file belongs; None where that may set anything.
        settings: what is true of all sites.

    Raises:
        SiteFileError: values that are right one by one cannot hold together, or may not be set by
            that tenant.
    """
    runner.settle(draft)
    how = _way(draft, settings)
    _check_folder(draft, settings)
    _check_hosts(draft)
    _check_user(draft, settings)
    _check_stop_command(draft, how, settings)
    _check_hooks(draft, settings)
    _check_listen(draft, settings)
    if tenant is not None:
        caps.judge(draft, tenant, settings)
    fields: dict[str, Any] = {name: draft.values.get(name, _left_out(name)) for name in KEYS}
    return Site(
        name=draft.name,
        path=draft.path,
        owner=draft.owner,
        tenant=None if tenant is None else tenant.user,
        given=frozenset(draft.values),
        way=how,
        fixed=_fixed(draft, tenant, settings),
        mounted=draft.mounted,
        strip=draft.strip,
        limits_by=(draft.by("memory_max"), draft.by("cpu_max"), draft.by("pids_max")),
        **fields,
    )


def make_mounts(draft: Draft, tenant: Tenant | None, settings: Settings) -> list[Site]:
    """Makes what a site has below paths.

    Args:
        draft: of the site, once that is made.
        tenant: see `make`; likewise the next.
        settings: what is true of all sites.

    Raises:
        SiteFileError: as `make`.
    """
    mounts = []
    for index in range(len(draft.values.get("mount", ()))):
        mount = make(MountDraft(draft, index), tenant, settings)
        if len(mount.key) > _LONGEST_KEY:
            must = f"must be shorter, as {mount.name} and it are over {_LONGEST_KEY} bytes"
            raise draft.error(("mount", index, "path"), must, assignment(("path",), "/api"))
        mounts.append(mount)
    return mounts


def _left_out(name: str) -> object:
    key = KEYS[name]
    if name in TABLES:
        return {}
    if key.default is attrs.NOTHING or key.default is None:
        return None
    return key.read(key.default)


def _way(draft: Draft, settings: Settings) -> str:
    """How connections reach the server, by the words of its command and its environment."""
    command: str | tuple[str, ...] | None = draft.values.get("command", settings.cmd_tpl)
    if command is None:
        what = 'command is not set, and CMD_TPL is not either; write command = "gunicorn shop.wsgi"'
        raise failed(draft.path, what)
    runs = "django" in draft.values or "app" in draft.values
    env = {**runner.common(settings.env, runs=runs), **draft.values.get("env", {})}
    words = Template.parse(command).words.union(
        *(Template.text(value).words for value in env.values())
    )
    try:
        return way(words)
    except TemplateError as error:
        must, _, mend = str(error).partition("; ")
        key = "command" if "command" in draft.values else "env"
        raise draft.error((key,), f"{must} (in command, env or ENV)", mend) from None


def _check_folder(draft: Draft, settings: Settings) -> None:
    folder = draft.values.get("folder", settings.project_path)
    if folder is not None:
        return
    for key in ("env_file", "virtualenv", "waiting_page"):
        value = draft.values.get(key)
        if isinstance(value, str) and not value.startswith("/"):
            must = "must be an absolute path, as neither folder nor PROJECT_PATH is set"
            raise draft.error((key,), must, assignment(("folder",), "/srv/%HOST"))
    if draft.values.get("user", settings.run_as) == "owner":
        must = "is the owner of folder, and neither that nor PROJECT_PATH is set"
        raise draft.error(("user",), must, assignment(("folder",), "/srv/%HOST"))


def _check_hosts(draft: Draft) -> None:
    """Refuses a host that the file names twice, which would be served and redirected."""
    seen = {draft.name: "the name of the file"}
    for key in ("aliases", "redirects", "hosts"):
        for index, host in enumerate(draft.values.get(key, ())):
            if host in seen:
                raise draft.error((key, index), f"is {seen[host]}, too")
            seen[host] = f"one of {key}"


def _check_user(draft: Draft, settings: Settings) -> None:
    user = draft.values.get("user")
    if isinstance(user, int) and user < settings.min_uid:
        must = f"is below MIN_UID = {settings.min_uid}"
        raise draft.error(("user",), must, "write another user, or lower MIN_UID")


def _check_stop_command(draft: Draft, how: str, settings: Settings) -> None:
    key = ("stop_command",)
    command = draft.values.get("stop_command")
    if command is None:
        return
    for word in sorted(Template.parse(command).words & WAYS.keys()):
        if WAYS[word] != how or word == "FD":
            must = f"must not have %{word}, which its server is not reached by"
            if word == "FD":
                must = "must not have %FD, since the socket is its server's"
            raise draft.error(key, must, assignment(key, "kill -QUIT $MAINPID"))
    if draft.values.get("user", settings.run_as) in ("root", 0):
        must = "must not be set, as its server runs as root"
        raise draft.error(key, must, "remove it, or write another user")


def _check_hooks(draft: Draft, settings: Settings) -> None:
    if draft.values.get("user", settings.run_as) not in ("root", 0):
        return
    for event, hook in draft.values.get("hooks", {}).items():
        if not is_webhook(hook):
            must = "must not be a command, as it would run as root"
            raise draft.error(("hooks", event), must, "write another user, or set it in HOOKS")


def _check_listen(draft: Draft, settings: Settings) -> None:
    key = ("listen",)
    written = draft.values.get("listen")
    if not written:
        return
    origin = draft.origin(*key)
    if origin is not None and origin.text.path != draft.path:
        must = f"must stand in the file of one site, and {draft.path} extends this one"
        raise draft.error(key, must)
    taken = [place(one) for one in settings.listen]
    for endpoint in written:
        if place(endpoint) in taken:
            must = f"must not have {endpoint}, which is in LISTEN, too"
            raise draft.error(key, must, "write another, or take it out of LISTEN")


def _fixed(draft: Draft, tenant: Tenant | None, settings: Settings) -> str:
    """The beginning of the folder that the operator wrote, in which they may have put symlinks."""
    origin = draft.origin("folder")
    if origin is None and "django" in draft.values:
        origin = draft.origin("django")
    if origin is None:
        return (settings.project_path or "").partition("%")[0]
    if tenant is None:
        return str(Template.text(draft.values["folder"]).render({"HOST": draft.name})[0]) + "/"
    if origin.owner == tenant.uid:
        return "/"
    return str(draft.values["folder"]).partition("%")[0]

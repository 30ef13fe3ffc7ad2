"""The table of the keys of site files: each is declared once, as the settings are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import attrs

from luisito.core import health
from luisito.core.hooks import EVENTS
from luisito.core.keys import PATH, key_of
from luisito.core.members import MOST as MOST_MEMBERS
from luisito.core.rlimits import LARGEST, UNITS
from luisito.core.siteindex import BY_SETTINGS, PRELOAD
from luisito.core.sticky import NAME as STICKY_NAME
from luisito.settings import hooks, limits, values, waking
from luisito.settings.sites import listen as endpoints
from luisito.settings.sites import readers
from luisito.settings.sites import runner as running
from luisito.settings.sites.key import SECONDS, STRING, Key, limit, or_none, own, part, whole
from luisito.settings.sites.processes import ASKED, MOST, RESTART, Process, processes
from luisito.settings.sites.processes import SCHEMA as PROCESS
from luisito.settings.table import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from luisito.core.rlimits import Limit
    from luisito.core.wakerules import Rule
    from luisito.settings.sites.key import Schema

_MAIN: Final = SETTINGS["CMD_TPL"].group
_HOSTS: Final = "Hosts"
_USERS: Final = "Users and files"
_POOL: Final = SETTINGS["STOP_TIMEOUT"].group

MOST_MOUNTS: Final = 20

_NAME: Final[Schema] = {"type": "string", "pattern": r"^[A-Za-z_][A-Za-z0-9_.-]*\$?$"}
_ID: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": 2**32 - 2}
_LABEL: Final = "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST: Final = rf"({_LABEL}(\.{_LABEL})*|\[[0-9a-f:.]+\])"
_RLIMIT: Final[Schema] = {
    "anyOf": [{"type": "integer", "minimum": 0, "maximum": LARGEST}, {"const": "unlimited"}]
}


def _several(pattern: str) -> Schema:
    return {"type": "array", "items": {"type": "string", "pattern": f"^{pattern}$"}}


class Mounting(NamedTuple):
    """A table in `mount`, checked.

    Attributes:
        path: the prefix.
        strip: it is taken off what is passed on.
        values: its other keys.
    """

    path: str
    strip: bool
    values: dict[str, Any]


@attrs.frozen(kw_only=True)
class Site:
    """A site file with its bases, or one of its mounts, checked; made by `making.make` only.

    Times are in seconds.

    What a setting says where the file does not is None here, and not in `given`; `records` puts
    both together.

    Attributes:
        name: the site's key, and its canonical host: the name of the file without `.toml`.
        path: of the file.
        owner: the uid that the file belongs to.
        tenant: the user's name where that is a tenant, who runs it; None where the operator does.
        given: the keys that the file or its bases set, or to which a tenant's caps give a value.
        way: "port", "socket" or "fd" (core.template.way).
        fixed: the beginning of `folder`, or of PROJECT_PATH, that the operator wrote.
        mounted: the path that this is below, where it is one of the site's mounts; else "".
        strip: that path is taken off what is passed on.
        limits_by: who says memory_max, cpu_max and pids_max (core.siteindex).
    """

    name: str
    path: str
    owner: int
    tenant: str | None
    given: frozenset[str]
    way: str
    fixed: str
    mounted: str = ""
    strip: bool = True
    limits_by: tuple[int, int, int] = (BY_SETTINGS,) * 3

    command: str | tuple[str, ...] | None = part(
        "CMD_TPL",
        values.command,
        _MAIN,
        "template",
        "The command of the site's server: a string or a list, with the words of CMD_TPL.",
        {"anyOf": [STRING, {"type": "array", "items": {"type": "string"}, "minItems": 1}]},
    )
    django: str | None = own(
        readers.folder,
        None,
        _MAIN,
        "path",
        "The folder of a Django project, with manage.py: Luisito runs it by itself, instead of a "
        "command. It is the site's `folder`, too, where that is not set.",
        STRING,
    )
    app: str | None = own(
        running.app,
        None,
        _MAIN,
        "module:callable",
        "A WSGI or ASGI application, or what makes one: Luisito runs it by itself, instead of a "
        "command.",
        {"type": "string", "pattern": f"^{running.APP}$"},
    )
    runner: str | None = own(
        running.runner,
        None,
        _MAIN,
        "word",
        'What runs that: "python", which need not be said.',
        {"const": running.RUNNER},
    )
    threads: int = own(
        running.threads,
        running.THREADS,
        _MAIN,
        "threads",
        "How many requests a server of a WSGI application works on at once.",
        {"type": "integer", "minimum": 1, "maximum": running.MOST_THREADS},
    )
    preload: bool | tuple[str, ...] = own(
        running.preload,
        True,
        _MAIN,
        "true, false or modules",
        "Whether its server is forked by an interpreter that has loaded what such sites share; "
        "modules that are to be loaded in any case.",
        {
            "anyOf": [
                {"type": "boolean"},
                {"type": "array", "items": {"type": "string", "pattern": f"^{running.MODULE}$"}},
            ]
        },
    )
    env: Mapping[str, str] = part(
        "ENV",
        values.environment,
        _MAIN,
        "table of templates",
        "Environment variables of its server, beside those of ENV and of its bases.",
        {
            "type": "object",
            "propertyNames": {"pattern": "^[^=]+$"},
            "additionalProperties": {"type": "string"},
        },
    )
    env_file: str | None = own(
        readers.path(".env"),
        None,
        _MAIN,
        "path",
        "A file of NAME=VALUE lines, more of its environment; read at each start, as the site's "
        "user. A relative path is taken from `folder`.",
        STRING,
    )
    virtualenv: str | None = own(
        readers.path("venv"),
        None,
        _MAIN,
        "path",
        "A virtual environment of Python: its bin comes first in PATH, and VIRTUAL_ENV names it. "
        "A relative path is taken from `folder`.",
        STRING,
    )
    folder: str | None = part(
        "PROJECT_PATH",
        readers.folder,
        _MAIN,
        "path",
        "The folder that its server runs in, an absolute path; %HOST is the site's name.",
        {"type": "string", "pattern": "^/"},
    )
    extends: str | None = own(
        readers.base,
        None,
        _MAIN,
        "name",
        "A base, NAME.base.toml in the same folder, that sets what this file leaves out; tables "
        "are put together key by key. Bases may extend others, five at most.",
        {"type": "string", "pattern": "^[A-Za-z0-9_-][A-Za-z0-9_.-]*$"},
    )
    reload_on: tuple[str, ...] = own(
        readers.files,
        [],
        _MAIN,
        "list of patterns",
        "Files in `folder`, of which a change restarts the site, beside restart.txt and "
        'tmp/restart.txt: "*.py" is all such names in all folders below, "conf/*.ini" such paths.',
        {"type": "array", "items": {"type": "string", "pattern": "^[^/]"}},
    )
    mount: tuple[Mounting, ...] = own(
        readers.tables,
        [],
        _MAIN,
        "list of tables",
        "Other servers of the site, below paths: `path`, `strip`, and what is run there. Where one "
        "says nothing else, it is as its site.",
        {"type": "array", "maxItems": MOST_MOUNTS},
    )
    aliases: tuple[str, ...] = own(
        readers.host_names,
        [],
        _HOSTS,
        "list of hosts",
        "Other hosts that are served as this site.",
        _several(_HOST),
    )
    redirects: tuple[str, ...] = own(
        readers.host_names,
        [],
        _HOSTS,
        "list of hosts",
        "Hosts that are redirected to the site's name (308), which wakes nothing.",
        _several(_HOST),
    )
    hosts: tuple[str, ...] = own(
        readers.patterns,
        [],
        _HOSTS,
        "list of patterns",
        'More hosts that are served as this site: "*.example.com" is any subdomain of it, and '
        '"!shop.example.com" and "!*.shop.example.com" are exceptions. The exact name of a host '
        "in another file comes first, then the longest pattern.",
        _several(rf"!?(\*\.)?{_HOST}"),
    )
    default: bool = own(
        readers.boolean,
        False,
        _HOSTS,
        "true or false",
        "This site answers for all hosts that are no site's; one file at most may say so.",
        {"type": "boolean"},
    )
    listen: tuple[str, ...] = own(
        endpoints.listen,
        [],
        _HOSTS,
        "endpoint or list",
        "Where requests come in that are all for this site, whatever their Host: an endpoint as in "
        "LISTEN, of the kinds tcp, tcp6 and unix, or a list of them. One that takes more "
        "rights than the network process has is opened by `luisito restart`.",
        {
            "anyOf": [
                {"type": "string", "pattern": endpoints.PATTERN},
                {
                    "type": "array",
                    "items": {"type": "string", "pattern": endpoints.PATTERN},
                    "maxItems": endpoints.MOST,
                    "uniqueItems": True,
                },
            ]
        },
    )
    maintenance: bool | int | str = own(
        readers.maintenance,
        False,
        _HOSTS,
        "true, text or seconds",
        "The site is down for maintenance: requests are answered 503, nothing is woken, what runs "
        "is stopped. A text is shown on the page; a number is sent in Retry-After in the place of "
        "300.",
        {"anyOf": [{"type": "boolean"}, STRING, {**whole(1), "maximum": 31 * 86400}]},
    )
    user: str | int | None = part(
        "RUN_AS",
        values.user,
        _USERS,
        "user",
        'Who runs its server: "owner" (of `folder`), a name, a uid, or "root" written out.',
        {"anyOf": [_NAME, _ID]},
    )
    group: str | int | None = own(
        readers.group,
        None,
        _USERS,
        "group",
        "The group it runs with, a name or a gid; where it is left out, those of its user.",
        {"anyOf": [_NAME, _ID]},
    )
    keep: str = own(
        readers.keep,
        "demand",
        _POOL,
        "word",
        '"demand": its server is started by a request, and ended for room. "pinned": once started '
        'it is not ended for room or because it is idle. "always": it is started with Luisito, '
        "and kept up.",
        {"enum": list(readers.KEEP)},
        capped=True,
    )
    restart: str = own(
        values.choice(*RESTART),
        "always",
        _POOL,
        "word",
        'With `keep = "always"`: "always" starts a server anew however it has ended; "on-failure" '
        "not one that has ended by itself with exit status 0.",
        {"enum": list(RESTART)},
    )
    process: tuple[Process, ...] = own(
        processes,
        [],
        "Workers",
        "tables",
        "Processes beside its server that have no socket, such as Celery's; each has a `name`, a "
        f"`command`, and if need be `env`, `with`, `restart`, `stop_signal` and `stop_timeout`. "
        f"{MOST} at most.",
        {"type": "array", "maxItems": MOST, "items": PROCESS},
    )
    processes: int = own(
        readers.members,
        1,
        _POOL,
        "servers",
        "So many servers of the command run when the site is awake, as far as there is room; a "
        f"request goes to the one with the fewest in flight. {MOST_MEMBERS} at most.",
        {"type": "integer", "minimum": 1, "maximum": MOST_MEMBERS},
        capped=True,
    )
    ready: str = own(
        readers.ready,
        health.ACCEPT,
        _POOL,
        "word or path",
        'What shows that its server is ready: "accept": that it listens, or has accepted on %FD; '
        '"notify": READY=1 on NOTIFY_SOCKET, and nothing else; "/health": that a GET for this path '
        "is answered with 200 to 399. Until then nobody is connected to it.",
        {
            "anyOf": [
                {"enum": [health.ACCEPT, health.NOTIFY]},
                {"type": "string", "pattern": r'^/[!-"$-~]*$', "maxLength": health.LONGEST},
            ]
        },
    )
    pre_stop: str | None = own(
        readers.asked_path("/may-stop"),
        None,
        _POOL,
        "path",
        "A path that a server is asked for before it is stopped for room, for IDLE_TIMEOUT, or "
        "because another one takes its place: 409 asks for 30 seconds more, for BUSY_MAX in all "
        "(docs/waking.md).",
        {"type": "string", "pattern": r'^/[!-"$-~]*$', "maxLength": health.LONGEST},
    )
    sticky: str | None = own(
        readers.sticky,
        False,
        _POOL,
        "true or name",
        "With `processes`: a cookie leads a client to the same server as before, as long as that "
        f"is there. true calls it {STICKY_NAME}.",
        {"anyOf": [{"type": "boolean"}, {"type": "string", "pattern": f"^{readers.COOKIE}$"}]},
    )
    stop_signal: str = own(
        readers.stop_signal,
        "TERM",
        _POOL,
        "signal",
        f"What its server is stopped with: {', '.join(readers.SIGNALS[:-1])} or "
        f"{readers.SIGNALS[-1]}.",
        {"enum": list(readers.SIGNALS)},
    )
    stop_command: str | tuple[str, ...] | None = own(
        readers.stop_command,
        None,
        _POOL,
        "template",
        "What its server is stopped by, once it was ready, in the place of `stop_signal`: a string "
        "or a list, with the words of its command but for %FD, and $MAINPID. If that fails "
        "`stop_signal` is sent.",
        {"anyOf": [STRING, {"type": "array", "items": {"type": "string"}, "minItems": 1}]},
    )
    hooks: Mapping[str, hooks.Hook] = own(
        readers.toml(hooks.hooks),
        None,
        SETTINGS["HOOKS"].group,
        "table",
        "What is run when something happens to its servers, beside HOOKS: a command or the URL of "
        f"a webhook for each of {', '.join(EVENTS)} (docs/hooks.md).",
        hooks.SCHEMA,
    )
    handed_socket: str | None = part(
        "HANDED_SOCKET",
        SETTINGS["HANDED_SOCKET"].read,
        _POOL,
        SETTINGS["HANDED_SOCKET"].unit,
        SETTINGS["HANDED_SOCKET"].about,
        {"enum": ["unix", "tcp"]},
    )
    min_alive: float | None = limit("MIN_ALIVE", {"type": "number", "minimum": 0})
    idle_timeout: float | None = limit("IDLE_TIMEOUT", SECONDS)
    hibernate_after: float | None = limit("HIBERNATE_AFTER", SECONDS)
    hibernate: bool | None = own(
        readers.boolean,
        None,
        _POOL,
        "true or false",
        "true: its server is frozen though it has timers or threads at work, which then wait for "
        "the next request; false: never (docs/hibernation.md).",
        {"type": "boolean"},
    )
    stream_idle: float | None = limit("STREAM_IDLE", SECONDS)
    start_timeout: float | None = limit("START_TIMEOUT", SECONDS)
    stop_timeout: float | None = limit(
        "STOP_TIMEOUT",
        SECONDS,
        about="From `stop_signal` to SIGKILL for a server that is stopped.",
    )
    max_requests: int | None = own(
        readers.requests,
        None,
        _POOL,
        "requests",
        "After about how many requests a server is replaced by a new one, up to a tenth before; "
        '"none" is never.',
        or_none(whole(1)),
    )
    max_age: float | None = own(
        readers.measured(readers.age, "seconds"),
        None,
        _POOL,
        "seconds",
        "After about what time since its readiness a server is replaced by a new one, up to a "
        'tenth before; at least 1, "none" is never.',
        or_none({"type": "number", "minimum": 1}),
    )
    busy_max: float | None = limit("BUSY_MAX", {"type": "number", "minimum": 0})
    wake: tuple[Rule, ...] | None = part(
        "WAKE",
        waking.rules,
        SETTINGS["WAKE"].group,
        "list of tables",
        SETTINGS["WAKE"].about.replace("dict", "table") + " It takes the place of WAKE as a whole.",
        waking.SCHEMA,
    )
    waiting_page: bool | str = own(
        readers.waiting_page,
        False,
        SETTINGS["WAKE"].group,
        "true, false or path",
        "Browsers are shown a page while the site wakes, which goes there by itself; all others "
        "wait. The path of an HTML file, relative to folder, shows that page; it is read as the "
        "site's user, 64 KiB at most (docs/waking.md).",
        {"anyOf": [{"type": "boolean"}, {"type": "string", "minLength": 1}]},
    )
    queue_limit: int | None = limit("QUEUE_LIMIT", whole(1))
    queue_timeout: float | None = limit("QUEUE_TIMEOUT", SECONDS)
    upstream_max: int | None = limit("UPSTREAM_MAX", whole(1))
    body_timeout: float | None = limit("BODY_TIMEOUT", SECONDS)
    response_timeout: float | None = limit("RESPONSE_TIMEOUT", SECONDS)
    websocket_timeout: float | None = own(
        readers.measured(readers.or_none(values.optional(values.seconds)), "seconds"),
        None,
        SETTINGS["RESPONSE_TIMEOUT"].group,
        "seconds",
        "After how long without a byte in either direction a WebSocket, or another connection that "
        'was upgraded, is closed, whether its server\'s room is needed or not; "none" is never.',
        or_none(SECONDS),
    )
    upstream_keepalive: float | None = limit("UPSTREAM_KEEPALIVE", SECONDS)
    max_body_size: int | None = limit("MAX_BODY_SIZE", whole(1))
    rlimits: Mapping[str, Limit] = part(
        "RLIMITS",
        limits.rlimits,
        SETTINGS["RLIMITS"].group,
        "table of numbers",
        "Limits of setrlimit(2), beside those of RLIMITS and of its bases: each a number for soft "
        'and hard, a list of both, or "unlimited".',
        {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                name: {
                    "description": unit,
                    "anyOf": [
                        *_RLIMIT["anyOf"],
                        {"type": "array", "items": _RLIMIT, "minItems": 2, "maxItems": 2},
                    ],
                }
                for name, unit in UNITS.items()
            },
        },
        capped=True,
    )
    memory_max: int | None = limit("MEMORY_MAX", whole(1024 * 1024))
    cpu_max: float | None = limit(
        "CPU_MAX", {"type": "number", "minimum": 0.01, "maximum": 1_000_000}
    )
    pids_max: int | None = limit("PIDS_MAX", whole(1))

    @property
    def is_preloaded(self) -> bool:
        """Whether its server may be forked by a preloaded interpreter."""
        return (self.django is not None or self.app is not None) and self.preload is not False

    @property
    def workers(self) -> tuple[Process, ...]:
        """Those that its file names, and its preloaded interpreter."""
        if not self.is_preloaded:
            return self.process
        command = running.interpreter(self.preload)
        return (*self.process, Process(name=PRELOAD, command=command, lives_with=ASKED))

    @property
    def key(self) -> str:
        """What it is known by: the site's name, and the path of the mount."""
        return key_of(self.name, self.mounted)


KEYS: Final[Mapping[str, Key]] = {
    field.name: field.metadata[Key] for field in attrs.fields(Site) if Key in field.metadata
}

OF_SITES: Final = (
    "extends",
    "mount",
    "process",
    "aliases",
    "redirects",
    "hosts",
    "default",
    "listen",
)
"""Keys that say nothing of a server."""

MOUNT_KEYS: Final[Mapping[str, Key]] = {
    "path": Key(
        readers.mount_path,
        None,
        "",
        _MAIN,
        "path",
        "The prefix of the paths that it answers for.",
        {"type": "string", "pattern": f"^{PATH}$"},
    ),
    "strip": Key(
        readers.boolean,
        True,
        "",
        _MAIN,
        "true or false",
        "Whether that is taken off what its server is asked for, and told in X-Forwarded-Prefix.",
        {"type": "boolean"},
    ),
    **{name: key for name, key in KEYS.items() if name not in OF_SITES},
}
"""The keys of a table in `mount`."""

LIMITS: Final = tuple(
    name
    for name, key in KEYS.items()
    if key.capped and name not in ("rlimits", "keep", "processes")
)
"""Numbers of which a tenant may not have more than they are granted."""

NUMBERS: Final = (*LIMITS, "max_requests", "max_age", "websocket_timeout")
"""Numbers that count for a site alone."""

"""The table of settings: each is declared once, with its reader, default, unit and explanation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs

from luisito.core.hooks import EVENTS
from luisito.settings import addresses, admin, hooks, limits, values, waking
from luisito.settings.sites.tenants import Grant, tenants

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from luisito.core.rlimits import Limit
    from luisito.core.wakerules import Rule
    from luisito.settings.addresses import Peers


@attrs.frozen
class Setting:
    """What is known of a setting beside its name.

    Attributes:
        read: checks what was written and returns what we work with.
        default: as a person would write it; NOTHING when it must be written.
        group: the heading under which it is explained.
        unit: of the number, or what kind of value it is.
        about: one line for a person.
    """

    read: Callable[[object], object]
    default: object
    group: str
    unit: str
    about: str


def _setting(
    read: Callable[[object], object],
    default: object,
    group: str,
    unit: str,
    about: str,
    *,
    secret: bool = False,
) -> Any:  # noqa: ANN401 - attrs.field() is typed so too: a field's type is its annotation
    metadata = {Setting: Setting(read, default, group, unit, about)}
    return attrs.field(metadata=metadata, repr=not secret)


_MAIN: Final = "What is run"
_LISTEN: Final = "Where it listens and for whom"
_POOL: Final = "The pool"
_QUEUE: Final = "Waiting for a server"
_WAKE: Final = "What wakes a site"
_HTTP: Final = "Times and sizes of HTTP"
_USERS: Final = "Users and files"
_LIMITS: Final = "Limits of each server"
_HOOKS: Final = "Hooks"


# ruff: noqa: RUF009 - _setting() is attrs.field() by another name; nothing mutable is shared
@attrs.frozen(kw_only=True)
class Settings:
    """All settings, checked; made by `load` or `from_mapping` only. Times are in seconds."""

    cmd_tpl: str | tuple[str, ...] | None = _setting(
        values.command,
        attrs.NOTHING,
        _MAIN,
        "template",
        "The command of a site's server: a string or a list, with %HOST, %PORT, %SOCKET, %FD, "
        "%UID, %GID, %PATH, %%; never passed to a shell. It must be set, or SITES_DIR.",
    )
    env: Mapping[str, str] = _setting(
        values.environment,
        {},
        _MAIN,
        "dict of templates",
        "Environment variables of each server, beside PATH, LANG, TZ and HOME.",
    )
    project_path: str | None = _setting(
        values.folder,
        None,
        _MAIN,
        "template",
        "The folder of a site. Its server runs there, as the owner of the folder unless RUN_AS "
        "differs; a host without a folder is no site. None is the folder Luisito was started in.",
    )
    listen: tuple[str, ...] = _setting(
        addresses.endpoints,
        "tcp:8080:interface=127.0.0.1",
        _LISTEN,
        "endpoint or list",
        "Where Luisito listens: an endpoint string of Twisted (tcp:, tcp6:, unix:, systemd:), or a "
        "list of them.",
    )
    allowed_hosts: tuple[str, ...] | Callable[[str], bool] | None = _setting(
        values.optional(addresses.hosts),
        None,
        _LISTEN,
        "list or function",
        'The hosts that are sites: "example.com", "*.example.com", "!shop.example.com", "*"; '
        "None is localhost and *.localhost, or with PROJECT_PATH each host whose folder exists.",
    )
    trusted_proxies: Peers = _setting(
        addresses.peers,
        ["127.0.0.0/8", "::1", "unix"],
        _LISTEN,
        "list of networks",
        'Peers whose X-Forwarded-* and Forwarded are believed; "unix" is any unix socket.',
    )
    operators: Peers = _setting(
        addresses.peers,
        ["127.0.0.0/8", "::1"],
        _LISTEN,
        "list of networks",
        "Peers to whom an error page says what failed and where the log is, "
        "unless they come through a proxy.",
    )
    host_header: str | None = _setting(
        values.optional(addresses.header),
        None,
        _LISTEN,
        "header name",
        "A header, read from TRUSTED_PROXIES only, that names the site in the place of Host.",
    )
    max_clients: int | None = _setting(
        values.optional(values.whole(1)),
        None,
        _LISTEN,
        "connections",
        "How many connections of clients there may be; above it those that have been idle longest "
        "are closed, or else new ones wait. None is as many as the limit on open files allows.",
    )
    max_clients_per_address: int | None = _setting(
        values.optional(values.whole(1)),
        None,
        _LISTEN,
        "connections",
        "How many of them one address may have, or one /64 of IPv6; above it 503. "
        "TRUSTED_PROXIES may have any number. None is half of MAX_CLIENTS.",
    )
    admin_listen: str | None = _setting(
        values.optional(admin.endpoint),
        None,
        _LISTEN,
        "endpoint",
        "Where the page for operators, the control socket's resources and /metrics are served "
        "(docs/page.md): an endpoint as in LISTEN; one that other machines reach takes "
        "ADMIN_TOKEN. None is nowhere.",
    )
    admin_token: str | None = _setting(
        values.optional(admin.token),
        None,
        _LISTEN,
        "secret",
        "What makes an operator of whoever tells it at ADMIN_LISTEN, of 16 characters or more; "
        "keep settings.py from others' eyes. None is that only those are let in of whom the kernel "
        "says who they are.",
        secret=True,
    )
    metrics_sites: int = _setting(
        values.whole(0),
        1000,
        _LISTEN,
        "sites",
        "How many sites /metrics tells of by name, those that come first after a start; all others "
        'are summed as "(others)" (docs/metrics.md).',
    )
    max_servers: int = _setting(
        values.whole(1),
        10,
        _POOL,
        "servers",
        "How many servers may be starting or awake; the least recently used one goes first, or see "
        "POLICY.",
    )
    max_memory: int | None = _setting(
        values.optional(limits.memory),
        None,
        _POOL,
        "bytes",
        "How much memory these may take together (docs/limits.md); above it idle ones go, the "
        "least recently used first, and a request that would wake another site waits. None is no "
        "limit.",
    )
    policy: str = _setting(
        values.choice("lru", "cost"),
        "lru",
        _POOL,
        '"lru" or "cost"',
        'Which idle server goes first for another one: "lru", the least recently used, or "cost", '
        "the one that it costs least to be without, for its memory (docs/policy.md).",
    )
    rewarm: int = _setting(
        values.whole(0, 1000),
        0,
        _POOL,
        "sites",
        "How many sites are started after a reboot before anybody asks for them, one by one, those "
        "first that were used most (docs/policy.md); it takes STATE_DIR. 0 is none: what nobody "
        "asks for does not run.",
    )
    overlap: int = _setting(
        values.whole(0),
        1,
        _POOL,
        "servers",
        "How many more may still be on their way out while their successors start.",
    )
    max_starting: int = _setting(
        values.starting,
        None,
        _POOL,
        "servers",
        "How many may be starting at a time; None is two for each core.",
    )
    min_alive: float = _setting(
        values.seconds_or_zero,
        0,
        _POOL,
        "seconds",
        "How long a server is kept, at least, before it gives way to another site's.",
    )
    idle_timeout: float | None = _setting(
        values.optional(values.seconds),
        None,
        _POOL,
        "seconds",
        "After how long without a request a server is stopped; None keeps the pool full.",
    )
    preload_idle: float = _setting(
        values.seconds,
        600,
        _POOL,
        "seconds",
        "How long a preloaded interpreter, which forks the servers of Python sites that have a "
        "runner, outlives the last of them.",
    )
    hibernate_after: float | None = _setting(
        values.optional(values.seconds),
        None,
        _POOL,
        "seconds",
        "After how long without a request a server is frozen until the next one, if it has nothing "
        "to do by itself (docs/hibernation.md); None is never.",
    )
    hibernate: str = _setting(
        values.choice("freeze", "reclaim", "merge"),
        "reclaim",
        _POOL,
        '"freeze", "reclaim" or "merge"',
        "What is done to it then: its memory is left alone, given back to the machine as far as "
        "that has swap and files to read it from again, or merged with what others have alike "
        "(KSM, Linux 6.7; docs/security.md).",
    )
    stream_idle: float | None = _setting(
        values.optional(values.seconds),
        60,
        _POOL,
        "seconds",
        "After how long without a byte an event stream or a WebSocket may be ended for room, when "
        "a request waits and all servers are busy; None is never. It counts as in flight until "
        "then.",
    )
    start_timeout: float = _setting(
        values.seconds,
        60,
        _POOL,
        "seconds",
        "From the spawn of a server to its readiness; then 504.",
    )
    stop_timeout: float = _setting(
        values.seconds,
        10,
        _POOL,
        "seconds",
        "From SIGTERM to SIGKILL for a server that is stopped.",
    )
    busy_max: float = _setting(
        values.seconds_or_zero,
        600,
        _POOL,
        "seconds",
        "How long a server that says it is busy may keep itself from being stopped for room or "
        "for IDLE_TIMEOUT, and how long it may put off START_TIMEOUT and STOP_TIMEOUT "
        "(docs/waking.md); 0 is never.",
    )
    drain_timeout: float = _setting(
        values.seconds,
        3600,
        _POOL,
        "seconds",
        "How long requests in flight may go on after Luisito was told to stop.",
    )
    on_crash: str | None = _setting(
        values.optional(values.choice("replace", "stop")),
        None,
        _POOL,
        '"replace" or "stop"',
        "What happens when the process that talks to clients crashes: another one takes its place "
        'and all servers go on, or all ends. None is "replace" in the background and under '
        'systemd, else "stop".',
    )
    handed_socket: str = _setting(
        values.choice("unix", "tcp"),
        "unix",
        _POOL,
        '"unix" or "tcp"',
        "The kind of listening socket that %FD hands over.",
    )
    port_range: tuple[int, int] = _setting(
        addresses.port_range,
        (20000, 29999),
        _POOL,
        "two ports",
        "The first and the last port that %PORT may be.",
    )
    queue_limit: int = _setting(
        values.whole(1),
        100,
        _QUEUE,
        "requests",
        "How many requests may wait for one site, or for connections to its server; then 503.",
    )
    queue_total: int = _setting(
        values.whole(1),
        10_000,
        _QUEUE,
        "requests",
        "How many requests may wait for all sites together; then 503.",
    )
    queue_share: float = _setting(
        values.share,
        0.25,
        _QUEUE,
        "part of 1",
        "The part of QUEUE_TOTAL that one site may hold, whatever its QUEUE_LIMIT; then 503.",
    )
    queue_timeout: float = _setting(
        values.seconds,
        45,
        _QUEUE,
        "seconds",
        "How long a request may wait for a free place in the pool, and again for a connection to "
        "its server; then 503.",
    )
    upstream_max: int | None = _setting(
        values.optional(values.whole(1)),
        None,
        _QUEUE,
        "connections",
        "How many connections to one server there may be at a time, event streams and WebSockets "
        "too; above it requests wait, first come first served. For servers that take few at a "
        "time, as gunicorn with sync workers: its number of workers. None is no limit.",
    )
    wakes_per_address: int | None = _setting(
        values.optional(values.whole(1)),
        20,
        _WAKE,
        "wakes a minute",
        "How many sleeping sites one address may wake in a minute, or one /64 of IPv6; then 429. "
        "Requests for sites that are awake do not count, nor do those of TRUSTED_PROXIES "
        "themselves. None is no limit.",
    )
    wake: tuple[Rule, ...] = _setting(
        waking.rules,
        [],
        _WAKE,
        "list of dicts",
        "Requests that wake no site, and do not count as use of one that is awake: health checks, "
        "monitors, bots. All conditions of one dict must hold: user_agent, path, methods, "
        "addresses. A site that sleeps gives them 503, or the `answer` and `text` of the dict.",
    )
    head_timeout: float = _setting(
        values.seconds,
        15,
        _HTTP,
        "seconds",
        "From the first byte of a request's head to its last; then 408.",
    )
    body_timeout: float = _setting(
        values.seconds,
        60,
        _HTTP,
        "seconds",
        "How long a request's body may make no progress; in all it may take as long, and a second "
        "more for every 500 bytes of it; then 408. Time in which the app server reads nothing is "
        "not counted.",
    )
    response_timeout: float = _setting(
        values.seconds,
        60,
        _HTTP,
        "seconds",
        "To the first byte of a response, and between bytes, never in all; then 504. "
        "Not in event streams and tunnels.",
    )
    keepalive_timeout: float = _setting(
        values.seconds,
        75,
        _HTTP,
        "seconds",
        "How long a client's idle connection is kept.",
    )
    upstream_keepalive: float = _setting(
        values.seconds,
        4,
        _HTTP,
        "seconds",
        "How long an idle connection to a server is kept; less than the server's own time.",
    )
    max_head_size: int = _setting(
        values.whole(1),
        32 * 1024,
        _HTTP,
        "bytes",
        "The largest head of a request; above it 431.",
    )
    max_body_size: int | None = _setting(
        values.optional(values.whole(1)),
        None,
        _HTTP,
        "bytes",
        "The largest body of a request; above it 413. None is no limit.",
    )
    sites_dir: str | None = _setting(
        values.path,
        None,
        _USERS,
        "path",
        "The folder of site files, one TOML file a site (docs/sites.md); None is none. With it "
        "CMD_TPL may be left out.",
    )
    tenants: Mapping[str, Grant] = _setting(
        tenants,
        {},
        _USERS,
        "dict of dicts",
        "Users who may have site files of their own, each with the hosts that they may answer for "
        "and, if you like, the largest values of limits.",
    )
    run_as: str | int | values.Function | None = _setting(
        values.optional(values.run_as),
        None,
        _USERS,
        "user or function",
        'Who runs servers: "owner" (of PROJECT_PATH), a name, a uid, "root" written out, or a '
        "function that returns one of them, but root, for a site; None is the owner where "
        "PROJECT_PATH is set, else nobody under root, else Luisito's own user.",
    )
    min_uid: int = _setting(
        values.whole(1),
        1,
        _USERS,
        "uid",
        "Servers with a uid below this are refused.",
    )
    runtime_dir: str | None = _setting(
        values.path,
        None,
        _USERS,
        "path",
        "The folder of sockets, lost at reboot; None is /run/luisito for root, else luisito in "
        "$XDG_RUNTIME_DIR, else /tmp/luisito-UID, or where that is in use the same with a number "
        "behind it.",
    )
    state_dir: str | None = _setting(
        values.path,
        None,
        _USERS,
        "path",
        "The folder of what outlives a reboot, made where it is missing: how often sites are used "
        "(REWARM), what became of them (luisito why, errors, stats), what luisito advise has seen, "
        "which sites are pinned. None is no such folder.",
    )
    output_log_dir: str | None = _setting(
        values.path,
        None,
        _USERS,
        "path",
        "The folder of the servers' output, one file a site; None keeps no files.",
    )
    log_max_size: int = _setting(
        values.whole(64 * 1024),
        10 * 1024 * 1024,
        _USERS,
        "bytes",
        "The largest size of a file in OUTPUT_LOG_DIR; then SITE.log becomes SITE.log.1.",
    )
    log_keep: int = _setting(
        values.whole(0, 999),
        5,
        _USERS,
        "files",
        "How many old files of a site are kept, SITE.log.1 the newest; a site never takes more "
        "than LOG_MAX_SIZE for each of them and one more.",
    )
    log_rate: int = _setting(
        values.whole(1024),
        1024 * 1024,
        _USERS,
        "bytes a second",
        "How fast a server's output is read, with a burst of one second's; one that writes more "
        "waits, and no other.",
    )
    access_log: str | None = _setting(
        values.path,
        None,
        _USERS,
        "path",
        "The file of the access log, one line a request; None keeps none.",
    )
    access_log_format: str = _setting(
        values.access_format,
        "json",
        _USERS,
        '"json", "combined" or template',
        "How its lines are written: in JSON, as Apache and nginx do, or with the {fields} that "
        "docs/logs.md lists.",
    )
    rlimits: Mapping[str, Limit] = _setting(
        limits.rlimits,
        None,
        _LIMITS,
        "dict of numbers",
        "Limits of setrlimit(2) by their names, in lower case and without RLIMIT_: each a number "
        'for soft and hard, a pair of both, or "unlimited". docs/limits.md has their units. None '
        "is what Luisito itself was started with.",
    )
    memory_max: int | None = _setting(
        values.optional(limits.memory),
        None,
        _LIMITS,
        "bytes",
        "The memory of a server with all its processes; the kernel ends one that needs more, as a "
        "whole. It takes a cgroup that Luisito may divide, as do the next two. None is no limit.",
    )
    cpu_max: float | None = _setting(
        values.optional(limits.cores),
        None,
        _LIMITS,
        "cores",
        "The processor time of a server: 0.5 is half of one core. One that wants more runs slower. "
        "None is no limit.",
    )
    pids_max: int | None = _setting(
        values.optional(values.whole(1)),
        None,
        _LIMITS,
        "processes and threads",
        "How many processes and threads a server may have; above it its fork fails. None is no "
        "limit.",
    )
    hooks: Mapping[str, hooks.Hook] = _setting(
        hooks.hooks,
        {},
        _HOOKS,
        "dict of commands and URLs",
        "What is run when something happens to a server of any site: a command, which runs as "
        f"Luisito's own user, or the URL of a webhook for each of {', '.join(EVENTS)} "
        "(docs/hooks.md).",
    )
    hook_timeout: float = _setting(
        values.seconds,
        10,
        _HOOKS,
        "seconds",
        "How long a hook may take, of the settings or of a site; then it is killed, or the "
        "connection to the webhook ended.",
    )


SETTINGS: Final[Mapping[str, Setting]] = {
    field.name.upper(): field.metadata[Setting] for field in attrs.fields(Settings)
}

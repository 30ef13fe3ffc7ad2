"""What the network process and the spawner say to each other: orders out, facts back.

A message (see core.codec) is one SOCK_SEQPACKET packet; descriptors travel beside it (SCM_RIGHTS,
unix(7)). Each kind of message is declared once, as a class.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from luisito.core import codec, hooks
from luisito.errors import WireError

VERSION = 10
MAX_MESSAGE = codec.MAX_MESSAGE
MAX_DESCRIPTORS = 4
MAX_TEXT = 4096  # characters of an error message
MAX_WORDS, MAX_COMMAND = 100, 2000  # words of a command that is told, and their characters in all
MAX_FOLDER = 1000  # characters of a folder that is told
SERVERS_IN_A_MESSAGE = 100
SUCCEEDS = "LUISITO_SUCCEEDS"  # a variable that tells a successor the descriptor of its link
CONTROL = "control.sock"  # in RUNTIME_DIR; the network process makes it, the spawner removes it
LISTENERS_IN_A_MESSAGE = MAX_DESCRIPTORS
OWN: Final = "own "  # before the name of a listening socket that is a site's; no endpoint begins so
SIGNALS = ("TERM", "KILL", "USR1", "HUP")  # that servers may be sent
RELAYED = ("TERM", "HUP", "USR1", "USR2")  # that are meant for whoever serves

Scalar = codec.Scalar


# -- orders --------------------------------------------------------------------------------------
class Remember(NamedTuple):
    """How this process was started; the first one sends it, first of all.

    Beside it: a memfd with its core.recipe.Recipe, stdout and stderr.
    """


class AskListeners(NamedTuple):
    """Ask for the listening sockets that the spawner keeps; only before `Serve`."""

    ask: int


class Keep(NamedTuple):
    """Keep a copy of a listening socket, which is beside it.

    `name`: its endpoint; `own_name` where it is a site's. Only such may be kept after `Serve`, of
    an endpoint that a site file says.
    """

    name: str


class Drop(NamedTuple):
    """Close the copy of a site's listening socket, by its `own_name`; only after `Serve`."""

    name: str


class Configure(NamedTuple):
    """Everything the spawner will ever know of a network process; sent once, with all privileges.

    Beside it: a memfd with the text of the settings file, where there is one.
    """

    version: int
    max_servers: int
    overlap: int
    command: str | list[str] | None  # None: only sites of site files are served
    env: dict[str, str]
    project_path: str | None
    cwd: str
    run_as: str | int | None
    allow_root: bool
    min_uid: int
    umask: int
    output_log_dir: str | None
    log_max_size: int
    log_keep: int
    access_log: str | None
    runtime_dir: str | None
    network_gid: int
    sockets: list[str]  # unix ones of LISTEN, where the network process cannot remove them itself
    pidfile: str | None = None  # the network process's, where it cannot remove it itself
    run_as_file: str | None = None  # the settings file whose RUN_AS is a function
    run_as_digest: str | None = None  # of that file: another function may lie behind another one
    log: str | None = None  # the network process's own, to be opened again
    rlimits: dict[str, list[int | None]] | None = None  # soft and hard by name (core.rlimits)
    memory_max: int | None = None  # bytes
    cpu_max: int | None = None  # microseconds in each core.cgroup.CPU_PERIOD
    pids_max: int | None = None  # processes and threads
    on_crash: str | None = None  # "replace" or "stop"; null: as it was started
    network_uid: int | None = None
    sites_dir: str | None = None
    settings_file: str | None = None  # where the text beside it was read, for messages
    max_memory: int | None = None  # bytes of all servers; it says how often they are measured
    state_dir: str | None = None  # what sites' interpreters have learned is kept below it
    hibernate: str = ""  # how idle servers are frozen (HIBERNATE); "" where none is
    hooks: dict[str, list[str]] | None = None  # templates of commands by core.hooks.EVENTS (HOOKS)
    hook_timeout: int = 10_000_000  # microseconds (HOOK_TIMEOUT)


RUNS: Final = (
    "command", "env", "project_path", "cwd", "run_as", "run_as_file", "run_as_digest",
    "allow_root", "min_uid", "umask", "rlimits", "memory_max", "cpu_max", "pids_max",
)  # fmt: skip
"""What of Configure makes a difference to a server that runs."""


RUNS_SITES: Final = ("cwd", "run_as_file", "run_as_digest", "allow_root", "min_uid", "umask")
"""What of Configure makes a difference to a server of a site file, beside its run record."""


class Serve(NamedTuple):
    """Say that this process could serve now, its privileges given up."""


class CannotServe(NamedTuple):
    """Say why this process will never serve."""

    message: str


class Yielded(NamedTuple):
    """Answer `Yield`: this process accepts and orders no more, whatever it still has in flight."""


class Relay(NamedTuple):
    """Pass a signal on to whoever serves."""

    signal: str


class Stopping(NamedTuple):
    """Say that this process has been told to stop: nobody is to follow it."""


class Notify(NamedTuple):
    """Pass words on to the service manager (core.sdnotify)."""

    words: list[str]


class IsReady(NamedTuple):
    """Say that a server has been found to be ready; `ipv6`: on ::1."""

    server: int
    ipv6: bool


class Said(NamedTuple):
    """Note what a server has said of itself (core.busy.Said), for whoever adopts it.

    Times are in microseconds of the monotonic clock.
    """

    server: int
    busy_until: int
    busy: bool
    extended: int
    ready: bool


class Start(NamedTuple):
    """Start a server of a site; the listening socket travels beside it when the way is "fd".

    `worker`: not the server, but the worker of that name, which has no way in.
    """

    server: int
    site: str
    port: int | None
    worker: str | None = None


class Signal(NamedTuple):
    """Signal every process of a server."""

    server: int
    signal: str


class Hibernate(NamedTuple):
    """Freeze a server that is quiet, or let it run on; the former is answered by `Hibernated`.

    `force`: freeze it, though it be busy with work of its own.
    """

    server: int
    on: bool
    force: bool = False


class AskFolder(NamedTuple):
    """Ask whether a site's PROJECT_PATH exists, and whose it is."""

    ask: int
    site: str


class AskPage(NamedTuple):
    """Ask for the waiting page that a site has of its own, by the site's key."""

    ask: int
    site: str


class AskConfig(NamedTuple):
    """Ask what counts for a site that has a file, by its key: for people, without secrets."""

    ask: int
    site: str


class AskOwns(NamedTuple):
    """Ask whether a socket inode belongs to a process of a server."""

    ask: int
    server: int
    inode: int


class AskLog(NamedTuple):
    """Ask for an open log file: a site's, or the access log when site is null.

    `rotate`: of a site's, a new one, where that of now is large enough (core.sitelog.rotates).
    """

    ask: int
    site: str | None
    rotate: bool = False


class AskTail(NamedTuple):
    """Ask for the end of a site's log, or for what comes behind so many bytes of one of its files.

    `file` is what Log called that file; the one that has the site's name now, where it is "".
    """

    ask: int
    site: str
    after: int | None = None
    file: str = ""


class AskOwnLog(NamedTuple):
    """Ask for the network process's own log file, opened anew."""

    ask: int


class AskSites(NamedTuple):
    """Ask to have SITES_DIR looked through again; each who has been configured may, at any time.

    One look at a time, and at most one more that waits for its end.
    """

    ask: int


class RunHook(NamedTuple):
    """Run the command that a site's file, or the settings, say for an event.

    `own`: the site's, as its user; else that of HOOKS, as the network process's user. `event`,
    `facts`: see core.hooks.
    """

    ask: int
    site: str
    event: str
    own: bool
    facts: dict[str, str]


class AskList(NamedTuple):
    """Ask which servers there are."""

    ask: int


class Adopt(NamedTuple):
    """Ask for the descriptors of a server that somebody else had started."""

    ask: int
    server: int


class Quit(NamedTuple):
    """Kill what is left and exit with a status."""

    status: int = 0


# -- facts ---------------------------------------------------------------------------------------
class Hello(NamedTuple):
    """The answer to Configure: what is in force. `words` is for the log, `way` from the words.

    Beside it, where servers have cgroups: cgroup.kill of all of them (cgroups(7)).
    """

    version: int
    containment: str
    words: str
    runtime_dir: str
    way: str


class Listeners(NamedTuple):
    """Answers AskListeners, in as many messages as needed: `more` is false in the last one.

    Beside it the sockets, in the order of their names.
    """

    ask: int
    names: list[str]
    more: bool


class Yield(NamedTuple):
    """Make way for a successor; beside it one end of a SOCK_SEQPACKET pair with it.

    To one that has done so it comes again where another one has crashed: its successor may have.
    """


class Take(NamedTuple):
    """Serve from now on; beside it the other ends of such pairs, where anybody has made way.

    `last`: the highest number of a server so far. `words`: who has crashed, and how; "" for
    nobody. `pairs`: how many ends there are.
    """

    last: int
    words: str
    pairs: int = 0


class NotReplaced(NamedTuple):
    """Go on: no successor could be had."""

    message: str


class Signalled(NamedTuple):
    """The spawner was sent a signal that is meant for whoever serves."""

    signal: str


class Spare(NamedTuple):
    """A child waits to become this server; beside it the socket for `encode_start`.

    It may be told of its start directly, before the spawner is ordered the same. Without a socket
    it waits no more.
    """

    server: int


class Started(NamedTuple):
    """A process exists. Beside it: the output's read end, the notify datagram socket."""

    server: int
    pid: int


class Running(NamedTuple):
    """The command was executed, as `argv` (see `bounded`) by a user in a folder.

    Both are empty where the site has a file, which is not told.

    `pid`: of its first process. `environment`: names what it shares with others that a preloaded
    interpreter may fork, or "". `preloaded`: one has forked it; else `why` says why not.
    """

    server: int
    uid: int
    gid: int
    user: str
    folder: str
    argv: list[str]
    pid: int = 0
    environment: str = ""
    preloaded: bool = False
    why: str = ""


class Failed(NamedTuple):
    """No command came to run; `overloaded` when the machine lacked something for the moment."""

    server: int
    overloaded: bool
    message: str


class Exited(NamedTuple):
    """A server's first process was reaped and the rest of its tree is gone.

    `left`: the pid of a process that the first one had left behind, and that was then killed.
    `over_memory`: the kernel has ended it, since it was over its limit; `limit`: what says that,
    and where.
    """

    server: int
    code: int | None
    signal: int | None
    left: int | None = None
    over_memory: bool = False
    limit: str = "MEMORY_MAX"


class NotStopped(NamedTuple):
    """A server's stop command has failed, and a signal was sent instead.

    `program`: the command's first word, since others may be secrets. `code`, `signal`: how it
    ended, as in Exited. `sent`: the signal, without SIG. `current`: its site's file is still as it
    was when the server was started.
    """

    server: int
    program: str
    code: int | None
    signal: int | None
    sent: str
    current: bool


class Touched(NamedTuple):
    """In the folder of a server's site something says that another one is to take its place.

    `what`: the path of a file below that folder.
    """

    server: int
    what: str


class Hibernated(NamedTuple):
    """A server is frozen; or `message` says why not. `memory`: bytes it takes then, if measured."""

    server: int
    message: str
    memory: int | None


class Memory(NamedTuple):
    """What servers take: rows of `server` and `memory` in bytes."""

    servers: list[dict[str, Scalar]]


class Folder(NamedTuple):
    """Answers AskFolder; message says why when it does not exist or may not be used.

    `exists` is null where that could not be found out.
    """

    ask: int
    exists: bool | None
    uid: int | None
    gid: int | None
    message: str


class Page(NamedTuple):
    """Answers AskPage and AskConfig, with a memfd beside it, or with a message and none."""

    ask: int
    message: str


class Owns(NamedTuple):
    """Answers AskOwns."""

    ask: int
    yes: bool


class Log(NamedTuple):
    """Answers AskLog and AskOwnLog, with the descriptor beside it, or with a message and none.

    `size` in bytes; `midline`: the last line has no end yet. It answers AskTail, too, with a memfd,
    where `size` is of the file up to what that ends with, `file` is its inode, by which it is known
    when it has been renamed ("" for none), and `over`: that is its end, and another was begun.
    """

    ask: int
    message: str
    size: int = 0
    midline: bool = False
    file: str = ""
    over: bool = False


class Sites(NamedTuple):
    """Answers AskSites, with what has changed since the last answer; the first time, with all.

    Beside it a sealed memfd (memfd_create(2)) with an object of JSON: `sites`, the public records
    (settings.sites.records) of sites that are new or other than they were; `gone`, the names of
    those that are no more; `broken`, for each file that is wrong as it is now, changed or not, a
    list of its path and what is wrong. Or no memfd, and a message that says why there was no look:
    then all is as it was.
    """

    ask: int
    message: str


class HookEnded(NamedTuple):
    """Answers RunHook once nothing is left of the command; `message`: why it failed, or ""."""

    ask: int
    message: str


class Servers(NamedTuple):
    """Answers AskList, in as many messages as needed: `more` is false in the last one."""

    ask: int
    servers: list[dict[str, Scalar]]
    more: bool


class Adopted(NamedTuple):
    """Answers Adopt: beside it output, notify and, for the way "fd", the listening socket."""

    ask: int
    server: int
    message: str


class Refused(NamedTuple):
    """An order could not be understood or is not allowed; nothing was done."""

    message: str


Order = (
    Remember
    | AskListeners
    | Keep
    | Drop
    | Configure
    | Serve
    | CannotServe
    | Yielded
    | Relay
    | Stopping
    | Notify
    | IsReady
    | Said
    | Start
    | Signal
    | Hibernate
    | AskFolder
    | AskPage
    | AskConfig
    | AskOwns
    | AskLog
    | AskTail
    | AskOwnLog
    | AskSites
    | RunHook
    | AskList
    | Adopt
    | Quit
)
Fact = (
    Hello
    | Listeners
    | Yield
    | Take
    | NotReplaced
    | Signalled
    | Spare
    | Started
    | Running
    | Failed
    | Exited
    | NotStopped
    | Touched
    | Hibernated
    | Memory
    | Folder
    | Page
    | Owns
    | Log
    | Sites
    | HookEnded
    | Servers
    | Adopted
    | Refused
)
_ORDERS: dict[str, type[Order]] = {
    "remember": Remember,
    "listeners": AskListeners,
    "keep": Keep,
    "drop": Drop,
    "configure": Configure,
    "serve": Serve,
    "cannot serve": CannotServe,
    "yielded": Yielded,
    "relay": Relay,
    "stopping": Stopping,
    "notify": Notify,
    "ready": IsReady,
    "said": Said,
    "start": Start,
    "signal": Signal,
    "hibernate": Hibernate,
    "folder": AskFolder,
    "page": AskPage,
    "config": AskConfig,
    "owns": AskOwns,
    "log": AskLog,
    "tail": AskTail,
    "own log": AskOwnLog,
    "look": AskSites,
    "hook": RunHook,
    "list": AskList,
    "adopt": Adopt,
    "quit": Quit,
}
_FACTS: dict[str, type[Fact]] = {
    "hello": Hello,
    "kept": Listeners,
    "yield": Yield,
    "take": Take,
    "not replaced": NotReplaced,
    "signalled": Signalled,
    "spare": Spare,
    "started": Started,
    "running": Running,
    "failed": Failed,
    "exited": Exited,
    "not stopped": NotStopped,
    "touched": Touched,
    "hibernated": Hibernated,
    "memory": Memory,
    "folder": Folder,
    "page": Page,
    "owns": Owns,
    "log": Log,
    "sites": Sites,
    "hook ended": HookEnded,
    "servers": Servers,
    "adopted": Adopted,
    "refused": Refused,
}
_NAMES = {kind: name for table in (_ORDERS, _FACTS) for name, kind in table.items()}


def own_name(site: str, endpoint: str) -> str:
    """By what a site's listening socket is kept."""
    return f"{OWN}{site} {endpoint}"


def own_of(name: str) -> tuple[str, str]:
    """The site and the endpoint of an `own_name`; ("", "") of any other name."""
    if not name.startswith(OWN):
        return "", ""
    site, _, endpoint = name.removeprefix(OWN).partition(" ")
    return site, endpoint


def encode(message: Order | Fact) -> bytes:
    """Write a message.

    Raises:
        WireError: it is too long.
    """
    return codec.encode(_NAMES[type(message)], message)


def decode_order(data: bytes) -> Order:
    """Read an order.

    Raises:
        WireError: it is not exactly one of the known orders.
    """
    order = codec.decode(data, _ORDERS)
    if type(order) is Signal:
        _check_signal(order.signal, SIGNALS)
    elif type(order) is Relay:
        _check_signal(order.signal, RELAYED)
    elif type(order) is RunHook:
        wrong = hooks.wrong(order.event, order.facts)
        if wrong is not None:
            raise WireError(f"hook: {wrong}")
    return order


def decode_fact(data: bytes) -> Fact:
    """Read a fact.

    Raises:
        WireError: it is not exactly one of the known facts.
    """
    fact = codec.decode(data, _FACTS)
    if type(fact) is Signalled:
        _check_signal(fact.signal, RELAYED)
    return fact


def _check_signal(name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise WireError(f"signal {name!r:.100} is none of {', '.join(known)}")


def encode_start(order: Start) -> bytes:
    """Write an order for a child that waits for it; quicker to read than the others."""
    return f"{order.server} {order.port or 0} {order.site}".encode()


def decode_start(data: bytes) -> Start:
    """Read what `encode_start` wrote.

    Raises:
        WireError: it is something else.
    """
    try:
        server, port, site = data.decode().split(" ", 2)
        order = Start(int(server), site, int(port) or None)
    except ValueError:
        order = None
    # int() takes signs, white space, underscores and the digits of all scripts
    if order is None or encode_start(order) != data:
        raise WireError(f"{data[:100]!r} is no order to start")
    return order


def bounded(argv: Sequence[str]) -> list[str]:
    """Cut a command to what a message may hold; what was left out shows as "..."."""
    words: list[str] = []
    left = MAX_COMMAND
    for word in argv[:MAX_WORDS]:
        if len(word) > left:
            return [*words, word[:left] + "..."]
        words.append(word)
        left -= len(word)
    return words if len(argv) <= MAX_WORDS else [*words, "..."]


def server_folder(runtime_dir: str, server: int) -> str:
    """Name the folder that holds a server's sockets."""
    return f"{runtime_dir}/{server}"


def socket_path(runtime_dir: str, server: int) -> str:
    """Name the unix socket that %SOCKET stands for."""
    return f"{runtime_dir}/{server}/socket"


def notify_path(runtime_dir: str, server: int) -> str:
    """Name the datagram socket of NOTIFY_SOCKET (sd_notify(3))."""
    return f"{runtime_dir}/{server}/notify"


def control_path(runtime_dir: str) -> str:
    """Name the unix socket that operators speak to."""
    return f"{runtime_dir}/{CONTROL}"

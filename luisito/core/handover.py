"""What a network process that has yielded and its successor say to each other.

The one that serves has all say about servers; the one before it asks for leases, as its requests
did of its own pool, and gives them back. A message (see core.codec) is one SOCK_SEQPACKET packet.
Times are in microseconds of the monotonic clock, which both processes share.
"""

from typing import NamedTuple

from luisito.core import codec
from luisito.core.lifecycle import State
from luisito.errors import WireError

VERSION = 3
SITES_IN_A_MESSAGE = 200
MAX_TEXT = 4096  # characters of a reason, or of a server's last output

_STATES = tuple(
    state.value for state in (State.STARTING, State.READY, State.DRAINING, State.STOPPING)
)


# -- from the one that has yielded -----------------------------------------------------------------
class Begin(NamedTuple):
    """The first message: of which version the others are."""

    version: int


class Held(NamedTuple):
    """A server, as the one that has yielded knows it; see core.lifecycle.Server.

    `server` is the spawner's number. `lease` stands for all that is in flight there, null for
    nothing. `connected`: somebody has connected to the socket that was handed over to it. `ipv6`:
    it listens on ::1. `signalled_at`: when it was last told to stop, and `killed` that it was sent
    SIGKILL. `heard`: its last output.
    """

    server: int
    state: str
    lease: int | None
    early: bool
    connected: bool
    ipv6: bool
    released: int
    started_at: int
    ready_at: int | None
    used_at: int
    signalled_at: int | None
    killed: bool
    heard: str


class Lent(NamedTuple):
    """A lease that it holds on a server, where who gave it has crashed; it knows no more of it.

    `server` is the spawner's number, `early` as in Granted.
    """

    server: int
    lease: int
    early: bool


class Want(NamedTuple):
    """A request waits for a lease on a site's server; since when for room, null where for none."""

    waiter: int
    site: str
    since: int | None


class Failed(NamedTuple):
    """A site that is left alone for a while, as its starts have failed; see core.sites.Failure.

    `runs` is a digest of what was run: another command is tried at once.
    """

    site: str
    runs: str
    detail: str
    until: int
    times: int
    forget_at: int


class Took(NamedTuple):
    """What sites took when they were weighed last: rows of `site` and `memory` in bytes."""

    sites: list[dict[str, codec.Scalar]]


class Handed(NamedTuple):
    """All servers, and all who waited so far, have been told."""


class Unwant(NamedTuple):
    """It waits no longer."""

    waiter: int


class Connected(NamedTuple):
    """Who holds an early lease has connected to the server."""

    lease: int


class Answered(NamedTuple):
    """The server has answered who holds an early lease, so it is ready."""

    lease: int


class Released(NamedTuple):
    """A lease is given back."""

    lease: int


class Client(NamedTuple):
    """A client's connection to go on with, from a port; beside it what net.handed.pack makes."""

    port: int


class OwnClient(NamedTuple):
    """The same, where it came in at the endpoint of one site."""

    port: int
    site: str


# -- from the one that serves ----------------------------------------------------------------------
class Granted(NamedTuple):
    """A lease, which is numbered by the one that serves, above those that were held.

    `server` is the spawner's number. `early`: the server is not ready yet. `address` and `port`
    (null for a unix socket): where it listens; nobody but the user `uid` is to be connected to
    there, null where nobody else can be.
    """

    waiter: int
    lease: int
    server: int
    early: bool
    address: str
    port: int | None
    uid: int | None
    started_at: int


class Refused(NamedTuple):
    """There is no lease; `retry_after` in milliseconds."""

    waiter: int
    status: int
    detail: str
    retry_after: int | None


class Withdrawn(NamedTuple):
    """The server of an early lease will never be ready."""

    lease: int
    status: int
    detail: str


Told = (
    Begin
    | Held
    | Lent
    | Failed
    | Took
    | Want
    | Handed
    | Unwant
    | Connected
    | Answered
    | Released
    | Client
    | OwnClient
)
Reply = Granted | Refused | Withdrawn

_TOLD: dict[str, type[Told]] = {
    "begin": Begin,
    "held": Held,
    "lent": Lent,
    "failed": Failed,
    "took": Took,
    "want": Want,
    "handed": Handed,
    "unwant": Unwant,
    "connected": Connected,
    "answered": Answered,
    "released": Released,
    "client": Client,
    "own client": OwnClient,
}
_REPLIES: dict[str, type[Reply]] = {
    "granted": Granted,
    "refused": Refused,
    "withdrawn": Withdrawn,
}
_NAMES = {kind: name for table in (_TOLD, _REPLIES) for name, kind in table.items()}


def encode(message: Told | Reply) -> bytes:
    """Write a message.

    Raises:
        WireError: it is too long.
    """
    return codec.encode(_NAMES[type(message)], message)


def decode_told(data: bytes) -> Told:
    """Read what the one that has yielded says.

    Raises:
        WireError: it is not exactly one of the known messages.
    """
    told = codec.decode(data, _TOLD)
    if type(told) is Held and told.state not in _STATES:
        raise WireError(f"state {told.state!r:.100} is none of {', '.join(_STATES)}")
    return told


def decode_reply(data: bytes) -> Reply:
    """Read what the one that serves says.

    Raises:
        WireError: it is not exactly one of the known messages.
    """
    return codec.decode(data, _REPLIES)


def micros(seconds: float) -> int:
    """Tell a time as messages have it."""
    return max(0, round(seconds * 1e6))


def seconds(micros: int) -> float:
    """Tell a time of a message in seconds."""
    return micros / 1e6


def sizes(told: Took) -> list[tuple[str, int]]:
    """Read the rows of a message.

    Raises:
        WireError: one of them is no site with its bytes.
    """
    found = []
    for row in told.sites:
        site, size = row.get("site"), row.get("memory")
        if not isinstance(site, str) or not isinstance(size, int):
            raise WireError(f"took: {row!r:.100} names no site and its bytes")
        found.append((site, size))
    return found

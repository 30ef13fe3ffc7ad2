"""Server-sent events: what happens to sites, and what rows have changed, a few times a second."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Protocol

from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from zope.interface import implementer

from luisito.control.front.watch import Rows
from luisito.control.turns import in_turns
from luisito.core.events import for_owner

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure

    from luisito.control.front.guests import GuestRequest
    from luisito.control.roles import Roles

TICK: Final = 0.4
"""Seconds between two looks at the rows."""
_STATUS: Final = 5  # ticks from one look at the whole to the next
_ALL: Final = 25  # ticks from one look at all sites, those asleep too, to the next
_ALIVE: Final = 40  # ticks without a word, after which a comment is sent
_PAUSE: Final = 30.0  # seconds for which a client may read nothing
_LONGEST: Final = 3600.0  # seconds of a stream; whoever begins another is judged anew
MOST: Final = 64
"""Streams at a time."""
OF_MEMBERS: Final = 32
"""Streams at a time of all together who are no operators."""
OF_A_MEMBER: Final = 8
"""Streams at a time of one user who is none."""
_OPERATORS: Final = 0  # the user who stands for all of them, as they are told the same
_UNSENT: Final = 500  # events between two ticks; of more, the client asks for what it has missed
_ROWS: Final = 100  # in a message, and compared in one turn

_HEAD: Final = (
    (b"Content-Type", b"text/event-stream"),
    (b"X-Accel-Buffering", b"no"),  # or nginx holds them back
)


class Told(Protocol):
    """An event, as the chronicle tells it."""

    @property
    def uid(self) -> int | None:
        """Whom the server runs as."""

    def as_dict(self) -> Mapping[str, Any]:
        """For JSON."""


class Shown(Protocol):
    """What is looked at."""

    def all(self, uid: int) -> Iterator[Mapping[str, Any]]:
        """The rows of the sites that a user sees."""

    def busy(self, uid: int, before: Collection[str]) -> Iterator[Mapping[str, Any]]:
        """Those of them that are not merely asleep, and of those that were not so before."""

    def status(self) -> Mapping[str, Any]:
        """The whole."""

    def drawing(self) -> Mapping[str, Any]:
        """How many servers are advised: words, figures and a drawing."""


@implementer(IPushProducer)
class Stream:
    """One client's.

    Attributes:
        uid: whose rights it has.
        began: when, on the clock.
        paused: the client reads more slowly than it is told; since when, or None.
        missed: something was not told because of that.
    """

    def __init__(self, request: GuestRequest, uid: int, clock: Callable[[], float]) -> None:
        self._request, self.uid, self._clock = request, uid, clock
        self.began = clock()
        self.paused: float | None = None
        self.missed = False
        self.silent = 0

    def begin(self) -> None:
        """Has the head sent with the first message."""
        for name, value in _HEAD:
            self._request.setHeader(name, value)
        self._request.registerProducer(self, True)

    def tell(self, message: bytes) -> None:
        """Sends a message, or notes that it was missed."""
        if self.paused is not None:
            self.missed = True
            return
        self.silent = 0
        self._request.write(message)

    def is_alive(self) -> None:
        """Has proxies on the way, and the client, know that there is nothing to tell."""
        self.silent += 1
        if self.silent >= _ALIVE and self.paused is None:
            self.silent = 0
            self._request.write(b":\n\n")

    def end(self) -> None:
        """Ends it at once."""
        self._request.abort()

    def pauseProducing(self) -> None:
        """See IPushProducer."""
        if self.paused is None:
            self.paused = self._clock()

    def resumeProducing(self) -> None:
        """See IPushProducer."""
        self.paused = None
        if self.missed:
            self.missed = False
            self.tell(_MISSED)

    def stopProducing(self) -> None:
        """See IProducer."""


class Streams:
    """All of them; nothing is looked at while there is none.

    Args:
        board: for timers.
        roles: who sees what.
        shown: what is told of.
    """

    _log = Logger()

    def __init__(self, board: IReactorTime, roles: Roles, shown: Shown) -> None:
        self._board, self._roles, self._shown = board, roles, shown
        self._streams: list[Stream] = []
        self._seen: dict[int, Rows] = {}
        self._events: list[Told] = []
        self._overrun = False
        self._ticks = 0
        self._turns = in_turns(board)
        self._timer: Any = None

    def begin(self, request: GuestRequest) -> bool:
        """Begins one; False where there are too many."""
        uid = _OPERATORS if self._roles.is_operator(request.uid) else request.uid
        if not self._has_room(uid):
            return False
        stream = Stream(request, uid, self._board.seconds)
        request.guest.stay()
        request.notifyFinish().addBoth(lambda _: self._ended(stream))
        self._streams.append(stream)
        stream.begin()
        if uid in self._seen:
            stream.tell(_HELLO)
        if self._timer is None:
            self._timer = self._board.callLater(0.0, self._tick)
        return True

    def _has_room(self, uid: int) -> bool:
        uids = [stream.uid for stream in self._streams]
        members = len(uids) - uids.count(_OPERATORS)
        return len(uids) < MOST and (
            uid == _OPERATORS or (members < OF_MEMBERS and uids.count(uid) < OF_A_MEMBER)
        )

    def heard(self, event: Told) -> None:
        """Something has happened; it is told at the next tick."""
        if not self._streams:
            return
        if len(self._events) < _UNSENT:
            self._events.append(event)
        else:
            self._overrun = True

    def close(self) -> None:
        """Ends all."""
        for stream in list(self._streams):
            stream.end()

    def _ended(self, stream: Stream) -> None:
        self._streams.remove(stream)
        if not any(other.uid == stream.uid for other in self._streams):
            self._seen.pop(stream.uid, None)
        if not self._streams:
            self._events.clear()
            self._overrun = False

    def _tick(self) -> None:
        task = self._turns.cooperate(self._look())
        task.whenDone().addCallbacks(lambda _: self._again(), self._broken)

    def _again(self) -> None:
        self._timer = self._board.callLater(TICK, self._tick) if self._streams else None

    def _broken(self, failure: Failure) -> None:
        self._log.failure("What the page is told could not be composed", failure)
        self._timer = None
        self.close()

    def _look(self) -> Iterator[None]:
        self._tell_events()
        self._cut_off()
        for uid in self._watching():
            yield from self._look_for(uid)
        if self._ticks % _STATUS == 0 and _OPERATORS in self._watching():
            self._tell(_OPERATORS, _message("status", self._shown.status()))
        self._ticks += 1
        for stream in self._streams:
            stream.is_alive()

    def _look_for(self, uid: int) -> Iterator[None]:
        known = self._seen.get(uid)
        seen = Rows() if known is None else known
        whole = known is None or self._ticks % _ALL == 0
        rows = self._shown.all(uid) if whole else self._shown.busy(uid, seen.busy)
        changed: list[Mapping[str, Any]] = []
        seen.begin(whole=whole)
        while part := list(islice(rows, _ROWS)):
            changed += filter(seen.is_new, part)
            yield
        changed += seen.end()
        if known is None:
            # Who has been greeted asks for all that there is: what is another from now on is told.
            if uid in self._watching():
                self._seen[uid] = seen
                self._tell(uid, _HELLO)
            return
        for at in range(0, len(changed), _ROWS):
            self._tell(uid, _message("rows", {"sites": changed[at : at + _ROWS]}))
            yield

    def _watching(self) -> set[int]:
        return {stream.uid for stream in self._streams}

    def _tell(self, uid: int, message: bytes) -> None:
        for stream in [one for one in self._streams if one.uid == uid]:
            stream.tell(message)

    def _tell_events(self) -> None:
        events, self._events = self._events, []
        overrun, self._overrun = self._overrun, False
        for uid in self._watching():
            own = [one for one in events if self._roles.sees(uid, one.uid)]
            if own:
                told = map(_told if uid == _OPERATORS else _told_to_owner, own)
                self._tell(uid, _message("events", {"events": list(told)}))
            if overrun:
                self._tell(uid, _MISSED)

    def _cut_off(self) -> None:
        now = self._board.seconds()
        for stream in list(self._streams):
            reads_nothing = stream.paused is not None and now - stream.paused > _PAUSE
            if reads_nothing or now - stream.began > _LONGEST:
                stream.end()


def _message(kind: str, value: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps(value)}\n\n".encode()


_HELLO: Final = _message("hello", {})
_MISSED: Final = _message("missed", {})


def _told(event: Told) -> Mapping[str, Any]:
    return event.as_dict()


def _told_to_owner(event: Told) -> Mapping[str, Any]:
    told = event.as_dict()
    return {**told, "other": None, "words": for_owner(told["words"], told["other"])}

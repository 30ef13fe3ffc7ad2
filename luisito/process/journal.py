"""Says what becomes of each server: in Luisito's own log, and in the file of its site's output."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

from twisted.logger import Logger, LogLevel

from luisito.core.background import went
from luisito.core.ending import SOON, ending, killing, not_stopped, stopping, suspicion
from luisito.core.events import Kind, for_owner
from luisito.core.lifecycle import State
from luisito.core.members import first_of
from luisito.core.text import mebibytes, visible

if TYPE_CHECKING:
    from constantly import NamedConstant  # type: ignore[import-untyped]

    from luisito.core import wire
    from luisito.core.orders import AskToStop, Terminate
    from luisito.process.chronicle import Chronicle
    from luisito.process.start import Start

_LAST_WORDS: Final = 1000  # characters of a server's output in Luisito's own log
_ON_ITS_WAY_OUT: Final = (State.DRAINING, State.STOPPING)


class Journal:
    """Tells the life of each server, each event in one line that needs no other beside it.

    Args:
        chronicle: takes it as events.
    """

    _log = Logger()

    def __init__(self, chronicle: Chronicle) -> None:
        self._chronicle = chronicle

    def wakes(self, start: Start, cause: str) -> None:
        """Its start is ordered."""
        self._note(start, Kind.WAKE, f"started {cause}")

    def running(self, start: Start, fact: wire.Running) -> None:
        """Its command was executed."""
        what = f"in {fact.folder}: {shlex.join(fact.argv)}" if fact.argv else "by its site file"
        if fact.preloaded:
            what += ", forked by a preloaded interpreter"
        elif fact.why:
            what += f", by itself: its preloaded interpreter: {fact.why}"
        self._say(
            start,
            f"started as pid {start.pid}, user {fact.user} (uid {fact.uid}, gid {fact.gid}),"
            f" {start.way_in}, {what}",
        )

    def ready(self, start: Start, seconds: float) -> None:
        """It is ready, so many seconds after it was asked for."""
        words = f"pid {start.pid} ready after {seconds:.3f} s"
        self._say(start, words)
        self._note(start, Kind.READY, words, seconds=seconds)

    def touched(self, start: Start, what: str) -> None:
        """A file in its site's folder says that another one is to take its place."""
        self._say(start, f"{visible(what)} has changed: another server takes its place")

    def stopping(self, start: Start, order: Terminate, waited_for: str) -> None:
        """It is sent SIGTERM; where it has no process as yet, its start is called off.

        Args:
            start: of the server.
            order: says why.
            waited_for: what it was waited for; "" where it was ready.
        """
        words = stopping(start.pid, order.reason, starts=bool(waited_for))
        server, wanted_by = start.server, order.wanted_by
        if wanted_by is None:
            self._note(start, Kind.STOPPED, words)
        else:
            took = server.ready_at - server.started_at if server.ready_at else None
            site = first_of(wanted_by) or None
            self._note(start, Kind.EVICTED, words, seconds=took, other=site, memory=server.memory)
        if order.overdue:
            self._say(start, f"{words}; {waited_for}", LogLevel.warn)
        else:
            self._say(start, words, wanted_by=wanted_by)

    def not_yet(self, start: Start, order: AskToStop) -> None:
        """It has asked for time before it is stopped."""
        words = f"pid {start.pid} asks to be stopped later (pre_stop); {order.reason}"
        self._say(start, words, wanted_by=order.wanted_by)

    def hibernates(self, start: Start) -> None:
        """It is frozen."""
        memory = start.server.memory
        takes = "" if memory is None else f", and takes {mebibytes(memory)} now"
        self._say(start, f"pid {start.pid} is frozen until the next request{takes}")

    def does_not_hibernate(self, start: Start, why: str) -> None:
        """It cannot be frozen; said once."""
        if start.not_frozen != why:
            start.not_frozen = why
            self._say(start, f"pid {start.pid} is not frozen though it is idle: {why}")

    def exceeds(self, start: Start, limit: int | None) -> None:
        """It takes more than MAX_MEMORY by itself."""
        memory = mebibytes(start.server.memory or 0)
        self._say(
            start,
            f"pid {start.pid} takes {memory} by itself, more than MAX_MEMORY = {limit}: it runs"
            " alone, and while it is busy other sites wait; raise MAX_MEMORY, or bound each server"
            " by MEMORY_MAX",
            LogLevel.warn,
        )

    def killing(self, start: Start) -> None:
        """It is sent SIGKILL."""
        if not start.killed:
            start.killed = True
            words = killing(start.pid, "STOP_TIMEOUT")
            self._say(start, words)
            self._note(start, Kind.KILLED, words)

    def not_stopped(self, start: Start, fact: wire.NotStopped) -> str:
        """Its stop command has failed; returns that in words."""
        words = not_stopped(fact.program, fact.code, fact.signal, fact.sent)
        self._say(start, f"pid {start.pid}: {words}", LogLevel.error)
        return words

    def no_room(self, start: Start) -> None:
        """It cannot be taken over, and is sent SIGKILL."""
        start.killed = True
        words = "cannot be taken over, with too many files open; raise the limit (LimitNOFILE=)"
        self._say(start, f"pid {start.pid} {words}: killing it", LogLevel.error)
        self._note(start, Kind.KILLED, f"pid {start.pid} {words}")

    def failed(self, start: Start, message: str) -> None:
        """No command came to run."""
        words = f"cannot start: {message}"
        self._end(start, words, LogLevel.error)
        self._note(start, Kind.FAILED, words)

    def other_port(self, start: Start, why: str) -> None:
        """It is tried again on another port."""
        self._end(start, f"{why}; trying another port", LogLevel.warn)

    def lost(self, start: Start) -> None:
        """The spawner has gone, and it with the spawner."""
        who = f"pid {start.pid}" if start.pid else "its start"
        words = f"{who} is gone, as the spawner is"
        self._end(start, words)
        self._note(start, Kind.EXITED, words)

    def exited(self, start: Start, fact: wire.Exited, now: float, *, broke: bool) -> str:
        """It has gone, and counts as a failed start if it `broke`; returns why, for an operator."""
        server, state = start.server, start.server.state
        seconds = now - server.started_at
        how = ending(fact.code, fact.signal)
        suspect = suspicion(
            fact.signal, killed=start.killed, over_memory=fact.over_memory, limit=fact.limit
        )
        if (
            fact.code == 0
            and fact.left is not None
            and state not in _ON_ITS_WAY_OUT
            and now - (server.ready_at or now) < SOON
        ):
            how = went(fact.left, start.argv)
            self._end(start, how, LogLevel.error)
            self._note(start, Kind.FAILED, how, code=fact.code)
            return how
        if state is not State.STARTING and not broke:
            unasked = "" if state in _ON_ITS_WAY_OUT else ", though nobody had stopped it"
            detail = f"pid {start.pid} {how} after {seconds:.3f} s{suspect or unasked}"
            self._end(start, detail)
            self._note_end(start, Kind.EXITED, detail, fact, seconds)
            return detail
        when = f"{now - server.ready_at:.3f} s after" if broke else "before"
        detail = f"the command {how} {when} it was ready{suspect}"
        words = start.tail[-_LAST_WORDS:]
        rest = f"; its last output:\n{words}" if words else ", without any output"
        self._say_here(start, detail + rest, LogLevel.error)
        self._end_there(start, f"{detail} (pid {start.pid}, after {seconds:.3f} s)")
        self._note_end(start, Kind.FAILED, detail + rest, fact, seconds)
        return detail + rest

    def _note_end(
        self, start: Start, kind: Kind, words: str, fact: wire.Exited, seconds: float
    ) -> None:
        memory = start.server.memory
        ended = {"code": fact.code, "signal": fact.signal}
        self._note(start, kind, words, seconds=seconds, memory=memory, **ended)

    def _note(self, start: Start, kind: Kind, words: str, **facts: float | str | None) -> None:
        site, pid = first_of(start.server.site), start.pid or None
        self._chronicle.tell(kind, site, words, pid=pid, uid=start.uid, **facts)

    def _say(
        self,
        start: Start,
        words: str,
        level: NamedConstant = LogLevel.info,
        *,
        wanted_by: str | None = None,
    ) -> None:
        self._say_here(start, visible(words), level)
        if start.log is not None:
            start.log.say(for_owner(words, wanted_by))

    def _end(self, start: Start, words: str, level: NamedConstant = LogLevel.info) -> None:
        self._say_here(start, visible(words), level)
        self._end_there(start, words)

    def _say_here(self, start: Start, words: str, level: NamedConstant) -> None:
        self._log.emit(level, "{site}: {words}", site=start.server.site, words=words)

    def _end_there(self, start: Start, words: str) -> None:
        if start.log is not None:
            start.log.say(words)
            start.log.release()
            start.log = None

"""The process of a worker: its output, and what is told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.logger import Logger, LogLevel

from luisito.core.ending import ending, killing, stopping, suspicion
from luisito.core.events import Kind
from luisito.core.prefixed import Prefixed
from luisito.core.text import visible
from luisito.net.output import Output

if TYPE_CHECKING:
    from constantly import NamedConstant  # type: ignore[import-untyped]

    from luisito.core import wire
    from luisito.core.worker import Worker
    from luisito.process.chronicle import Chronicle
    from luisito.process.start import Ways

_LAST_WORDS: Final = 1000  # characters of its output in Luisito's own log


class WorkerProcess:
    """One process of a worker, from its start to its end.

    Attributes:
        number: what the spawner knows it by.
        worker: whose it is.
        pid: of it; 0 before there is one.
        uid: of it; None before its command was executed.
        killed: it was sent SIGKILL.
        memory: what it takes, in bytes; 0 before that was measured.
    """

    _log = Logger()

    def __init__(self, ways: Ways, chronicle: Chronicle, number: int, worker: Worker) -> None:
        self._ways, self._chronicle = ways, chronicle
        self.number, self.worker = number, worker
        self.pid = 0
        self.uid: int | None = None
        self.killed = False
        self.memory = 0
        self._lines = Prefixed(worker.name)
        self._site_log = None if ways.logs is None else ways.logs.open(worker.site)
        self._output: Output | None = None

    def read(self, output: int) -> None:
        """Owns the reading end of its output from now on."""
        ways = self._ways
        sink = None if self._site_log is None else self._append
        self._output = Output(ways.board, ways.clock, output, ways.log_rate, sink)

    def running(self, uid: int) -> None:
        """Its command was executed, as this user; what it writes is read from now on."""
        self.uid = uid
        if self._output is not None:
            self._output.start()

    def let_go(self) -> None:
        """Another process goes on with it: gives back all that is ours."""
        if self._output is not None:
            self._output.let_go()
        self._release()

    def close(self) -> None:
        """It has gone: takes what it still had to say."""
        if self._output is not None:
            self._output.close()

    # -- what is told

    def tell_running(self, fact: wire.Running) -> None:
        """Its command was executed."""
        words = f"started as pid {self.pid}, user {fact.user} (uid {fact.uid}, gid {fact.gid})"
        self._say(words)
        self._note(Kind.READY, words, uid=fact.uid)

    def tell_stopping(self, reason: str) -> None:
        """It is sent its stop signal."""
        words = stopping(self.pid, reason)
        self._say(words)
        self._note(Kind.STOPPED, words)

    def tell_killing(self) -> None:
        """It is sent SIGKILL."""
        if not self.killed:
            self.killed = True
            words = killing(self.pid, "stop_timeout")
            self._say(words)
            self._note(Kind.KILLED, words)

    def tell_failed(self, message: str) -> None:
        """No command came to run."""
        words = f"cannot start: {message}"
        self._say(words, LogLevel.error)
        self._note(Kind.FAILED, words)
        self._release()

    def tell_exited(self, fact: wire.Exited, seconds: float) -> str:
        """It has gone, so many seconds after its start; returns how, for an operator."""
        worker = self.worker
        how = ending(fact.code, fact.signal)
        suspect = suspicion(
            fact.signal, killed=self.killed, over_memory=fact.over_memory, limit=fact.limit
        )
        unasked = "" if worker.stopping else ", though nobody had stopped it"
        detail = f"pid {self.pid} {how} after {seconds:.3f} s{suspect or unasked}"
        bad = bool(fact.code) and not worker.stopping
        words = "" if self._output is None else self._output.tail[-_LAST_WORDS:]
        rest = f"; its last output:\n{words}" if bad and words else ""
        self._say_here(detail + rest, LogLevel.error if bad else LogLevel.info)
        self._say_there(detail)
        self._release()
        ended = {"code": fact.code, "signal": fact.signal, "memory": self.memory or None}
        kind = Kind.FAILED if bad else Kind.EXITED
        self._note(kind, detail + rest, seconds=seconds, **ended)
        return detail + rest

    def _append(self, data: bytes) -> None:
        lines = self._lines.feed(data)
        if lines and self._site_log is not None:
            self._site_log.append(lines)

    def _note(self, kind: Kind, words: str, **facts: float | None) -> None:
        who = {"worker": self.worker.name, "pid": self.pid or None, "uid": self.uid}
        self._chronicle.tell(kind, self.worker.site, words, **(who | facts))

    def _say(self, words: str, level: NamedConstant = LogLevel.info) -> None:
        self._say_here(visible(words), level)
        self._say_there(words)

    def _say_here(self, words: str, level: NamedConstant) -> None:
        worker = self.worker
        self._log.emit(level, "{site} ({name}): {words}", site=worker.site, name=worker.name,
                       words=words)  # fmt: skip

    def _say_there(self, words: str) -> None:
        if self._site_log is not None:
            self._site_log.say(f"{self.worker.name}: {words}")

    def _release(self) -> None:
        if self._site_log is not None:
            rest = self._lines.end()
            if rest:
                self._site_log.append(rest)
            self._site_log.release()
            self._site_log = None

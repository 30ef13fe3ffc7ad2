"""What the logs are told of exchanges: the access log of each, Luisito's own of what failed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

from luisito.core import access

if TYPE_CHECKING:
    from collections.abc import Callable

    from luisito.proxy.accesslog import AccessLog
    from luisito.proxy.counters import Counters
    from luisito.proxy.downstream import Downstream
    from luisito.proxy.exchange import Exchange


ASLEEP: Final = b"asleep"
WAKES: Final = b"wakes"
WAITING: Final = b"waiting"
REFUSED: Final = b"refused"
UNNOTICED: Final = b"unnoticed"
MAINTENANCE: Final = b"maintenance"
UNASKED: Final = frozenset([ASLEEP, WAKES, WAITING])
"""Reasons of answers for which no server was asked for."""


class Reports:
    """Writes the lines, and counts them.

    Attributes:
        form: of the access log's lines.
        access: where they are counted, and written where there is an access log.
    """

    _log = Logger()

    def __init__(
        self,
        clock: Callable[[], float],
        counters: Counters,
        form: access.Form,
        access_log: AccessLog,
    ) -> None:
        self._clock, self._counters = clock, counters
        self.form, self.access = form, access_log
        self._next_second = 0.0
        self._stamp = b""

    def failed(self, exchange: Exchange, status: int, detail: str) -> None:
        """Tells the log why an exchange failed."""
        self._log.warn(
            "{site}: {status} for {method} {target}: {detail}",
            site=exchange.down.destination.site,
            status=status,
            method=exchange.line.method.decode(),
            target=access.escaped(exchange.line.target.partition(b"?")[0]).decode(),
            detail=detail,
        )

    def silent(self, exchange: Exchange, seconds: float, wanted_by: str) -> None:
        """Tells the log that a stream is ended for another site."""
        self._log.info(
            "{site}: a stream silent for {seconds:.0f} s was ended: room was needed for"
            " {wanted_by}",
            site=exchange.down.destination.site,
            seconds=seconds,
            wanted_by=wanted_by,
        )

    def over(self, exchange: Exchange, now: float, end: bytes, reason: bytes = b"") -> None:
        """Writes the access line of an exchange that is over."""
        self._counters.lines += 1
        if now >= self._next_second:
            self._new_second(now)
        began, first_byte = exchange.began, exchange.first_byte
        if end or exchange.delayed:
            start = b"cold" if exchange.cold else b"warm"
            if exchange.down.destination.status or reason in UNASKED:
                start = b""  # no server was asked for
            reason = reason or exchange.reason
            ending = self.form.how(start, exchange.queued, exchange.starting, end, reason)
        else:
            ending = self.form.at_once
        self.access.add(
            (
                self._stamp,
                exchange.down.whom,
                exchange.line.logged,
                exchange.status,
                exchange.bytes_in,
                exchange.bytes_out,
                first_byte - began if first_byte else 0.0,
                now - began,
                ending,
            )
        )

    def bad(self, down: Downstream, status: int, size: int, reason: str) -> None:
        """Writes the access line of a request whose head could not be read."""
        self._counters.lines += 1
        now = self._clock()
        if now >= self._next_second:
            self._new_second(now)
        form = self.form
        ending = form.how(b"", 0.0, 0.0, reason.encode())
        self.access.add((self._stamp, down.whom, form.nothing, status, 0, size, 0.0, 0.0, ending))

    def _new_second(self, now: float) -> None:
        """Access lines tell the time in seconds, so it is composed once in a second."""
        wall = time.time()
        self._next_second = now + 1.0 - wall % 1.0
        self._stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(wall)).encode()

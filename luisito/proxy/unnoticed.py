"""An exchange of a request that a rule of WAKE matches: it wakes no site, and is no use of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luisito.core import pages
from luisito.core.wakerules import RETRY_AFTER, SLEEPS
from luisito.proxy.exchange import Exchange
from luisito.proxy.reports import ASLEEP, UNNOTICED

if TYPE_CHECKING:
    from luisito.core.lifecycle import Server
    from luisito.core.request import RequestFields, RequestLine
    from luisito.core.wakerules import Rule
    from luisito.proxy.downstream import Downstream


class Unnoticed(Exchange):
    """See Exchange.

    Attributes:
        rule: that matches.
    """

    __slots__ = ("rule",)

    reason = UNNOTICED

    def __init__(
        self,
        down: Downstream,
        line: RequestLine,
        fields: RequestFields,
        size: int,
        rule: Rule,
    ) -> None:
        super().__init__(down, line, fields, size)
        self.rule = rule
        self.delayed = True  # so that its line says why
        self.usual = False

    def sleeps(self) -> None:
        """Its site is not awake: answers in its place."""
        self.waiting = False
        gateway, rule = self.gateway, self.rule
        gateway.counters.asleep += 1
        if rule.answer is None:
            why = f"it is asleep, and WAKE does not let this request wake it ({rule})"
            self.refuse(SLEEPS, why, RETRY_AFTER, reason=ASLEEP)
            return
        self._end_body()
        to_head = self.line.to_head
        page = pages.plain(rule.answer, rule.text, close=not self.keep, body=not to_head)
        self.reply(rule.answer, page, ASLEEP)

    def _answered(self, now: float) -> None:
        server = self.server
        if server is not None:
            self.server = None
            self._release(server, now)
        super()._answered(now)

    def _release(self, server: Server, now: float) -> None:
        self.gateway.release_unnoticed(server, now)

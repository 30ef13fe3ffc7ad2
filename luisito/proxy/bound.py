"""An exchange of a site whose clients are led to the same one of its servers by a cookie."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luisito.core.redirect import scheme_of
from luisito.proxy.exchange import Exchange

if TYPE_CHECKING:
    from luisito.core.request import RequestFields, RequestLine
    from luisito.core.response import Response
    from luisito.core.sticky import Sticky
    from luisito.proxy.downstream import Downstream
    from luisito.proxy.upstream import Upstream


class Bound(Exchange):
    """See Exchange.

    Args:
        sticky: the cookie.
        liked: the server that it names, by its key; None for none.
    """

    __slots__ = ("_liked", "_sticky")

    def __init__(
        self,
        down: Downstream,
        line: RequestLine,
        fields: RequestFields,
        size: int,
        sticky: Sticky,
        liked: str | None,
    ) -> None:
        super().__init__(down, line, fields, size)
        self._sticky, self._liked = sticky, liked
        # Its answer is this client's alone: no connection learns its head, nor knows it by another.
        self.usual = False

    def _told(self, lines: bytes) -> bytes:
        """The head of the answer, with the cookie where the client has none of that server."""
        server = self.server
        if server is None or server.site == self._liked:
            return lines
        secure = scheme_of(self.down.sent) == "https"
        return self._sticky.told(lines, server.site, secure=secure)

    def answer(self, head: Response, body: bytes, now: float) -> None:
        """See Exchange."""
        super().answer(head._replace(lines=self._told(head.lines)), body, now)

    def switch(self, upstream: Upstream, lines: bytes, rest: bytes) -> None:
        """See Exchange."""
        super().switch(upstream, self._told(lines), rest)

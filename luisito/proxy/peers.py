"""What is believed of clients, and told to them, by their addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from luisito.core.admission import place_of

if TYPE_CHECKING:
    from luisito.core.request import RequestFields
    from luisito.settings import Settings

# No request comes through so many proxies; a client may write thousands of addresses in a line.
_MAX_HOPS: Final = 100
_LONGEST: Final = 64  # bytes of what is no address


class Peers:
    """Knows trusted proxies and operators; the peer of a unix socket is empty."""

    def __init__(self, settings: Settings) -> None:
        self._trusted, self._operators = settings.trusted_proxies, settings.operators

    def trusts(self, peer: bytes) -> bool:
        """Whether a peer's forwarded fields are believed."""
        return self._trusted.includes(peer.decode() or "unix")

    def client_of(self, peer: bytes, sent: tuple[tuple[bytes, bytes], ...]) -> bytes:
        """The address of the client: the last one that no trusted proxy has, for the access log."""
        # Several lines are one list, in their order (RFC 9110 section 5.3).
        lines = [value for name, value in sent if name == b"x-forwarded-for"]
        hops = [hop.strip() for value in lines for hop in value.split(b",")] + [peer or b"unix"]
        for hop in hops[: -_MAX_HOPS - 1 : -1]:
            try:
                if not self._trusted.includes(hop.decode("latin-1")):
                    return hop
            except ValueError:
                return hop
        return hops[max(0, len(hops) - _MAX_HOPS)]

    def place_of(self, client: bytes) -> bytes | None:
        """Where the wakes of a client are counted; None for a trusted proxy, whose do not count.

        Args:
            client: as `client_of` tells it.
        """
        try:
            if self._trusted.includes(client.decode("latin-1")):
                return None
            return place_of(client)
        except ValueError:
            return client[:_LONGEST]  # a proxy may tell what is no address

    def is_operator(self, peer: bytes, fields: RequestFields | None) -> bool:
        """Whether a client may be told what failed: it is one, and did not come through a proxy."""
        proxied = fields is not None and bool(fields.forwarded)
        return bool(peer) and not proxied and self._operators.includes(peer.decode())

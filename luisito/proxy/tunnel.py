"""After 101 Switching Protocols: bytes both ways, unread (RFC 9110 section 7.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from luisito.net.stream import Stream


class _Side:
    """The receiver of one end of a tunnel."""

    __slots__ = ("bytes_in", "done", "far", "reads_on", "stream", "tunnel")

    def __init__(self, tunnel: Tunnel, stream: Stream, *, reads_on: bool) -> None:
        self.tunnel, self.stream = tunnel, stream
        self.reads_on = reads_on
        self.bytes_in = 0
        self.done = False
        self.far: _Side

    def received(self, data: bytes) -> None:
        """See Receiver."""
        self.bytes_in += len(data)
        self.tunnel.active()
        self.far.stream.send(data)

    def ended(self) -> None:
        """See Receiver."""
        self.done = True
        if self.far.done:
            self.tunnel.finish(clean=True)
        else:
            self.far.stream.end()
            self.tunnel.half_closed()

    def full(self) -> None:
        """See Receiver."""
        self.far.stream.pause()

    def drained(self) -> None:
        """See Receiver."""
        self.tunnel.active()
        self.far.stream.resume()

    def lost(self, error: OSError | None) -> None:
        """See Receiver."""
        del error
        self.tunnel.finish(clean=False)


class Tunnel:
    """Joins two streams until both have ended or one is lost."""

    def __init__(
        self,
        client: Stream,
        server: Stream,
        active: Callable[[], None],
        half_closed: Callable[[], None],
        on_end: Callable[[bool, int, int], None],
    ) -> None:
        """Joins them.

        Args:
            client: the stream to the client.
            server: the stream to the app server.
            active: called whenever something went by.
            half_closed: called when one side has ended, and the other has not.
            on_end: called once with whether it ended cleanly, and the bytes that came from the
                client and from the app server.
        """
        self.active, self.half_closed = active, half_closed
        self._on_end: Callable[[bool, int, int], None] | None = on_end
        # What an app server said before it hung up still goes to its client, however slow.
        self._client = _Side(self, client, reads_on=False)
        self._server = _Side(self, server, reads_on=True)
        self._client.far, self._server.far = self._server, self._client
        client.watch(self._client)
        server.watch(self._server)

    @property
    def half(self) -> bool:
        """Whether one side has ended."""
        return self._client.done or self._server.done

    def from_client(self, data: bytes) -> None:
        """Bytes that had come in before the tunnel was there."""
        self._client.received(data)

    def from_server(self, data: bytes) -> None:
        """Bytes that came behind the 101."""
        self._server.received(data)

    def client_ended(self) -> None:
        """The client had ended its direction before the tunnel was there."""
        self._client.ended()

    def finish(self, *, clean: bool) -> None:
        """Closes both ends."""
        on_end, self._on_end = self._on_end, None
        if on_end is None:
            return
        for side in (self._client, self._server):
            if clean:
                side.stream.close()
            else:
                side.stream.abort()
        on_end(clean, self._client.bytes_in, self._server.bytes_in)

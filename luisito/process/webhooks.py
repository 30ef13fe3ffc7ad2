"""Sends what a webhook is told: one POST over a connection of its own, of which a status comes."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NoReturn

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError, ConnectionDone, DNSLookupError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import optionsForClientTLS

from luisito.core import health, webhook
from luisito.errors import LuisitoError

if TYPE_CHECKING:
    from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IStreamClientEndpoint
    from twisted.python.failure import Failure

    from luisito.core.webhook import Target

_MOST: Final = 32  # hosts of which it is remembered what is asked of their certificates
_FRESH: Final = 3600.0  # seconds; the machine may trust others by then


class WebhookError(LuisitoError):
    """A webhook was not sent, or not answered well; the message says why."""


class _Sender(Protocol):
    """Sends a request, and reads until there is a status.

    Args:
        request: all of it.
    """

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._data = b""
        self.answered: Deferred[str] = Deferred(lambda _: self._abort())

    def connectionMade(self) -> None:
        """Sends it."""
        assert self.transport is not None  # noqa: S101 - for the types
        self.transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        """Reads the status; of the rest nothing is of interest."""
        self._data += data
        status = health.status(self._data)
        if status is not None and not self.answered.called:
            self.answered.callback(webhook.refusal(status))
            self._abort()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Tells why, where there was no status."""
        if not self.answered.called:
            why = "it was not answered: "
            done = reason.check(ConnectionDone) is not None
            why += "the connection was ended" if done else reason.getErrorMessage()
            self.answered.errback(WebhookError(why))

    def _abort(self) -> None:
        if self.transport is not None:
            self.transport.abortConnection()  # type: ignore[attr-defined]


def send(reactor: Any, target: Target, body: bytes, timeout: float) -> Deferred[str]:  # noqa: ANN401 - several of Twisted's reactor interfaces at once
    """Sends one.

    A certificate is looked at as a browser does it: it must be of an authority that the machine
    trusts, and for that host.

    Args:
        reactor: Twisted's.
        target: where to.
        body: in JSON.
        timeout: seconds for all of it.

    Returns:
        What is wrong with the answer, or "".

    Raises:
        WebhookError: (in the Deferred) there was none.
    """
    sender = _Sender(target.request(body))
    endpoint = _endpoint(reactor, target, timeout)
    factory = Factory.forProtocol(lambda: sender)
    factory.noisy = False
    connecting = endpoint.connect(factory)
    sent = connecting.addCallback(lambda _: sender.answered).addTimeout(timeout, reactor)
    return sent.addErrback(_why, timeout)


def _endpoint(reactor: Any, target: Target, timeout: float) -> IStreamClientEndpoint:  # noqa: ANN401 - as above
    endpoint: IStreamClientEndpoint = HostnameEndpoint(
        reactor, target.address, target.port, timeout=timeout
    )
    if target.tls:
        hour = int(reactor.seconds() / _FRESH)
        endpoint = wrapClientTLS(_options(target.address, hour), endpoint)
    return endpoint


@lru_cache(maxsize=_MOST)
def _options(host: str, hour: int) -> IOpenSSLClientConnectionCreator:
    """What is asked of a host's certificate; to read all authorities takes some milliseconds."""
    del hour
    return optionsForClientTLS(host)


def _why(failure: Failure, timeout: float) -> NoReturn:
    if failure.check(TimeoutError, DeferredTimeout, ConnectTimeout, CancelledError) is not None:
        raise WebhookError(f"it was not answered within HOOK_TIMEOUT = {timeout:g} s")
    if failure.check(WebhookError) is not None:
        failure.raiseException()
    if failure.check(ConnectError, DNSLookupError) is not None:
        raise WebhookError(f"it cannot be connected to: {failure.getErrorMessage()}")
    raise WebhookError(f"it cannot be sent: {failure.getErrorMessage()}")

"""What a network process and the spawner tell each other before it serves; here one may wait."""

from __future__ import annotations

import os
import select
import socket
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from luisito.core import wire
from luisito.core.recipe import Recipe, encode_recipe
from luisito.errors import SettingsError, SpawnerLost
from luisito.spawner import channel

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping, Sequence
    from io import FileIO

    from luisito.core.wire import Configure, Fact, Hello

_TIMEOUT = 10.0  # seconds for the spawner to answer, which takes it some 50 ms
_MAX_TEXT = 16 << 20  # bytes of a settings file


class Claimed(NamedTuple):
    """What a successor was started with.

    Attributes:
        sock: its link to the spawner.
        text: the settings that are to be taken instead of the file's; None for the file.
    """

    sock: socket.socket
    text: bytes | None


def claim(environ: MutableMapping[str, str]) -> Claimed | None:
    """Take the link out of the environment; None in a process that is nobody's successor.

    Raises:
        SettingsError: somebody else has put something there.
    """
    told = environ.pop(wire.SUCCEEDS, None)
    if told is None:
        return None
    try:
        link, *text = map(int, told.split(":"))
        sock = socket.socket(fileno=link)
    except (ValueError, OSError):
        raise SettingsError(
            f"${wire.SUCCEEDS} = {told!r}: is Luisito's own, for its successors; unset it"
        ) from None
    sock.set_inheritable(False)
    sock.setblocking(False)
    if not text:
        return Claimed(sock, None)
    with open(text[0], "rb", buffering=0) as file:
        return Claimed(sock, os.pread(file.fileno(), _MAX_TEXT, 0))


def refuse(claimed: Claimed | None, reason: object) -> None:
    """Tell why we cannot serve, where anybody waits for that."""
    if claimed is not None:
        _send(claimed.sock, wire.CannotServe(str(reason)[: wire.MAX_TEXT]))


def how_started(argv: Sequence[str], cwd: str, *, foreground: bool) -> Recipe:
    """Tell how to start this process again.

    Args:
        argv: the interpreter and its arguments.
        cwd: where it was started.
        foreground: whoever started it waits for its end.
    """
    umask = os.umask(0)
    os.umask(umask)
    path = [os.path.abspath(place) for place in sys.path]
    return Recipe(list(argv), cwd, dict(os.environ), umask, foreground, path)


def remember(sock: socket.socket, recipe: Recipe) -> None:
    """Tell how we were started; successors write where we do."""
    with _memfd("recipe", encode_recipe(recipe)) as file:
        _send(sock, wire.Remember(), (file.fileno(), _open(1), _open(2)))


def _open(descriptor: int) -> int:
    try:
        os.fstat(descriptor)
    except OSError:  # closed before we were started
        os.dup2(os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC), descriptor)
    return descriptor


def ask_listeners(sock: socket.socket) -> dict[str, int]:
    """Ask for the listening sockets of whoever serves, by name.

    Raises:
        SpawnerLost: there is no answer.
    """
    _send(sock, wire.AskListeners(1))
    found: dict[str, int] = {}
    while True:
        fact, descriptors = _receive(sock)
        if not isinstance(fact, wire.Listeners) or len(descriptors) != len(fact.names):
            channel.close(descriptors)
            raise SpawnerLost(f"the spawner answered {fact!r:.200} instead of its sockets")
        found.update(zip(fact.names, descriptors, strict=True))
        if not fact.more:
            return found


def keep(sock: socket.socket, listeners: Mapping[str, int]) -> None:
    """Give the spawner copies of listening sockets, by name."""
    for name, descriptor in listeners.items():
        _send(sock, wire.Keep(name), (descriptor,))


def configure(sock: socket.socket, order: Configure, text: bytes | None) -> tuple[Hello, int]:
    """Tell the spawner the settings and wait for its answer.

    Args:
        sock: the link.
        order: what it is told.
        text: of the settings file, where there is one.

    Returns:
        The answer, and what kills all servers; see Launched.

    Raises:
        SettingsError: it refused one.
        SpawnerLost: there is no answer.
    """
    if text is None:
        _send(sock, order)
    else:
        with _memfd("settings", text) as file:
            _send(sock, order, (file.fileno(),))
    fact, descriptors = _receive(sock)
    if not isinstance(fact, wire.Hello):
        channel.close(descriptors)
    if isinstance(fact, wire.Refused):
        raise SettingsError(fact.message)
    if not isinstance(fact, wire.Hello) or fact.version != wire.VERSION:
        raise SpawnerLost(f"the spawner answered {fact!r:.200} instead of hello")
    return fact, descriptors[0] if descriptors else -1


def _memfd(name: str, data: bytes) -> FileIO:
    file = os.fdopen(os.memfd_create(f"luisito-{name}", os.MFD_CLOEXEC), "w+b", buffering=0)
    file.write(data)
    return file


def _send(sock: socket.socket, order: wire.Order, descriptors: tuple[int, ...] = ()) -> None:
    data = wire.encode(order)
    while True:
        try:
            channel.send(sock, data, descriptors)
        except BlockingIOError:
            _wait(sock, select.POLLOUT)
        except BrokenPipeError:
            return  # it has ended, which is found when it is to answer
        else:
            return


def _receive(sock: socket.socket) -> tuple[Fact, list[int]]:
    _wait(sock, select.POLLIN)
    try:
        data, descriptors = channel.receive(sock)
    except OSError as error:
        raise SpawnerLost(f"the spawner ended while starting: {error.strerror}") from None
    if not data:
        raise SpawnerLost("the spawner ended while starting; its last words are on stderr")
    return wire.decode_fact(data), descriptors


def _wait(sock: socket.socket, event: int) -> None:
    # poll, not select: the descriptor may be over 1023.
    poller = select.poll()
    poller.register(sock, event)
    deadline = time.monotonic() + _TIMEOUT
    if not poller.poll((deadline - time.monotonic()) * 1000):
        raise SpawnerLost(f"the spawner did not answer within {_TIMEOUT:g} s")

"""Starting the spawner, while Luisito still may, and telling it its configuration."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from luisito.core import wire
from luisito.errors import SettingsError, SpawnerLost
from luisito.spawner import channel

if TYPE_CHECKING:
    from luisito.core.wire import Configure, Hello

_TIMEOUT = 10.0  # seconds for the spawner to answer, which takes it some 50 ms
_PASSED_ON = ("PATH", "LANG", "TZ", "XDG_RUNTIME_DIR")
_CODE = (
    "import sys; sys.path.insert(0, {root!r}); "
    "from luisito.spawner.main import main; main({descriptor})"
)


class Launched(NamedTuple):
    """A spawner that is configured and waits for orders.

    Attributes:
        sock: our end of the pair; non-blocking.
        process: the spawner, or the guardian above it.
        hello: what is in force there.
        killer: to write "1" to it kills all servers, whatever has become of the spawner; -1 where
            they have no cgroups.
    """

    sock: socket.socket
    process: subprocess.Popen[bytes]
    hello: Hello
    killer: int = -1


def launch(configure: Configure) -> Launched:
    """Start the spawner and wait until it has accepted its configuration.

    To be called before privileges drop. The spawner has a session of its own, so that Ctrl-C at
    the terminal reaches the network process only, which then ends things in order.

    Raises:
        SettingsError: the spawner refused a setting.
        SpawnerLost: it did not start.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # Not through an installed package: -I and -S keep the spawner small and its imports ours.
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    with theirs:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [
                sys.executable,
                "-I",
                "-S",
                "-c",
                _CODE.format(root=root, descriptor=theirs.fileno()),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=_environ(configure),
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
        )
    try:
        ours.setblocking(False)
        with suppress(BrokenPipeError):  # it ended at once, which the next line tells
            channel.send(ours, wire.encode(configure))
        hello, killer = _first_fact(ours)
    except BaseException:
        ours.close()  # which ends the spawner
        process.wait()
        raise
    return Launched(ours, process, hello, killer)


def _environ(configure: Configure) -> dict[str, str]:
    """What the spawner passes on of the environment; servers get no more than `_PASSED_ON`."""
    if configure.run_as_file is not None:
        # Whoever calls RUN_AS loads the settings file as we did.
        paths = (os.path.abspath(path) for path in sys.path)
        return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ}


def _first_fact(sock: socket.socket) -> tuple[Hello, int]:
    deadline = time.monotonic() + _TIMEOUT
    # poll, not select: the descriptor may be over 1023.
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    if not poller.poll((deadline - time.monotonic()) * 1000):
        raise SpawnerLost(f"the spawner did not answer within {_TIMEOUT:g} s")
    try:
        data, descriptors = channel.receive(sock)
    except OSError as error:
        raise SpawnerLost(f"the spawner ended while starting: {error.strerror}") from None
    if not data:
        raise SpawnerLost("the spawner ended while starting; its last words are on stderr")
    fact = wire.decode_fact(data)
    if not isinstance(fact, wire.Hello):
        channel.close(descriptors)
    if isinstance(fact, wire.Refused):
        raise SettingsError(fact.message)
    if not isinstance(fact, wire.Hello) or fact.version != wire.VERSION:
        raise SpawnerLost(f"the spawner answered {fact!r:.200} instead of hello")
    return fact, descriptors[0] if descriptors else -1

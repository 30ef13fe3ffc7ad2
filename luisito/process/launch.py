"""Starting the spawner, while Luisito still may, and telling it its configuration."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

from luisito.process import handshake

if TYPE_CHECKING:
    from collections.abc import Mapping

    from luisito.core.recipe import Recipe
    from luisito.core.wire import Configure, Hello
    from luisito.process.handshake import Claimed

_PASSED_ON = ("PATH", "LANG", "TZ", "XDG_RUNTIME_DIR")
_CODE = (
    "import sys; sys.path.insert(0, {root!r}); "
    "from luisito.spawner.main import main; main({descriptor})"
)


class Launched(NamedTuple):
    """A spawner that is configured.

    Attributes:
        sock: our end of the pair; non-blocking.
        process: the spawner, or the guardian above it; None where we are somebody's successor.
        hello: what is in force there.
        killer: to write "1" to it kills all servers, whatever has become of the spawner; -1 where
            they have no cgroups.
    """

    sock: socket.socket
    process: subprocess.Popen[bytes] | None
    hello: Hello
    killer: int = -1


def launch(
    configure: Configure,
    recipe: Recipe | None = None,
    text: bytes | None = None,
    listeners: Mapping[str, int] | None = None,
) -> Launched:
    """Start the spawner and wait until it has accepted its configuration.

    To be called before privileges drop. The spawner has a session of its own, so that Ctrl-C at
    the terminal reaches the network process only, which then ends things in order.

    Args:
        configure: what it is told.
        recipe: how we were started; None where nobody is to succeed us.
        text: of the settings file, where there is one.
        listeners: our listening sockets, by name.

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
            env={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
        )
    try:
        ours.setblocking(False)
        if recipe is not None:
            handshake.remember(ours, recipe)
        handshake.keep(ours, listeners or {})
        hello, killer = handshake.configure(ours, configure, text)
    except BaseException:
        ours.close()  # which ends the spawner
        process.wait()
        raise
    return Launched(ours, process, hello, killer)


def configured(
    claimed: Claimed, configure: Configure, text: bytes | None, listeners: Mapping[str, int]
) -> Launched:
    """Tell the spawner that runs what its new configuration would be.

    Args:
        claimed: our link.
        configure: what it is told.
        text: of the settings file, where there is one.
        listeners: our listening sockets, by name.

    Raises:
        SettingsError: the spawner refused a setting.
        SpawnerLost: it has gone.
    """
    handshake.keep(claimed.sock, listeners)
    hello, killer = handshake.configure(claimed.sock, configure, text)
    return Launched(claimed.sock, None, hello, killer)

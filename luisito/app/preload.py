"""An interpreter that has loaded what sites share, and forks a server for each that asks.

It is asked on descriptor 3, by processes of its own user (luisito.spawner.preloaded). It reads no
order itself: what a site has in its environment is never in the memory that all others share.
"""

from __future__ import annotations

import array
import gc
import json
import os
import socket
import struct
import sys
import time
from typing import TYPE_CHECKING, Any

from . import ours, renewal
from .forking import die_with_parent, fork_sibling, set_title
from .learning import VARIABLE, Loaded, learned
from .stale import Files
from .watching import note_environment, probe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Seen = Mapping[str, str | None]

_LISTENER = 3
_QUEUE = 128  # orders that may wait
_LARGEST = 200_000  # bytes of an order
_DESCRIPTORS = 4  # beside it: listener, output, folder, and where the last word comes from
_ROUNDS = 6
_PATIENCE = 20.0  # seconds for all rounds
_MORE = 20  # modules that were learned since, for which a new interpreter is worth its start
_UCRED = struct.Struct("3i")  # unix(7): pid, uid, gid

# Of a server, whatever it serves.
_ALWAYS = (
    "luisito_app.serve", "luisito_app.wsgi", "waitress", "waitress.server", "waitress.task",
    "waitress.channel", "waitress.proxy_headers", "encodings.idna", "json.decoder",
)  # fmt: skip


class _Refused(Exception):
    """Why no server is forked."""


def main(argv: Sequence[str]) -> int:
    """Load, wait and fork until a signal comes; in a forked child, serve."""
    names = list(argv)
    lent = ""
    if names[:1] == ["--servers"]:
        lent, names = names[1], names[2:]
    folder = os.environ.get(VARIABLE, "")
    ours.offer(lent)
    gc.disable()
    seen = _load(folder, names)
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=os.dup(_LISTENER)) as listener:
        os.close(_LISTENER)
        listener.listen(_QUEUE)
        _say("forks from now on")
        return _Nursery(listener, seen, folder, set(sys.modules)).run()


def _load(folder: str, more: Sequence[str]) -> Seen:
    """Import what is shared and harmless; return what variables were seen on the way."""
    names = [*_ALWAYS, *more, *learned(folder)]
    bad: dict[str, str] = {}
    last = time.monotonic() + _PATIENCE
    for _ in range(_ROUNDS):
        left = last - time.monotonic()
        found = probe([name for name in names if name not in bad], left) if left > 1 else None
        if found is None:
            names, bad = list(_ALWAYS), {}  # something in there ends or hangs
            break
        new = found.keys() - bad.keys()
        bad.update(found)
        if not new:
            break
    _tell(names, bad, more)
    end = note_environment()
    for name in names:
        if name not in bad:
            try:
                __import__(name)
            except Exception as error:  # noqa: BLE001 - it may still do for the sites
                _say(f"{name} {type(error).__name__}: {error}")
    return end()


def _tell(names: Sequence[str], bad: Mapping[str, str], more: Sequence[str]) -> None:
    loaded = sum(name not in bad for name in names)
    _say(f"has loaded {loaded} modules; {len(bad)} are left to the sites")
    for name in more:
        if name in bad:
            _say(f"{name} {bad[name]}: it is left to the sites")


def _say(words: str) -> None:
    print(words, flush=True)  # noqa: T201 - its output is a log


class _Nursery:
    """Answers orders.

    Attributes:
        _seen: variables that modules have read while they were imported, and what those were.
    """

    def __init__(self, listener: socket.socket, seen: Seen, folder: str, loaded: set[str]) -> None:
        self._listener, self._seen, self._folder, self._loaded = listener, seen, folder, loaded
        self._files = Files()
        self._looked = time.monotonic()
        # Whatever is made from here on is made anew in each child.
        gc.freeze()

    def run(self) -> int:
        while True:
            connection, _ = self._listener.accept()
            why = self._why_not(connection)
            if why is None:
                if fork_sibling() == 0:
                    return _serve(_born(self._listener, connection, self._seen))
            elif why:
                _answer(connection, {"refused": why})
            connection.close()
            if why and why.startswith("stale"):
                return 0
            if self._has_learned():
                _say("more was learned: ends, so that another one loads that, too")
                return 0

    def _why_not(self, connection: socket.socket) -> str | None:
        """Say why it forks no server; "" where it says nothing, None where it forks."""
        _, uid, _ = _UCRED.unpack(
            connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        )
        if uid != os.geteuid():
            return ""
        if len(os.listdir("/proc/self/task")) > 1:
            return "it has threads"
        changed = self._files.changed()
        return f"stale: {changed} has changed" if changed else None

    def _has_learned(self) -> bool:
        """Whether so much has been learned since that another one should take our place."""
        now = time.monotonic()
        if now < self._looked + 10.0:
            return False
        self._looked = now
        new = {name for name in learned(self._folder) if name not in self._loaded}
        before, self._loaded = self._loaded, self._loaded | new
        return len(self._loaded) - len(before) >= _MORE


def _answer(connection: socket.socket, said: Mapping[str, object]) -> None:
    try:
        connection.settimeout(1.0)
        connection.send(json.dumps(said).encode())
    except OSError:
        pass  # whoever asked has gone


def _born(listener: socket.socket, connection: socket.socket, seen: Seen) -> list[str]:
    """Become the server that is asked for; return its command line."""
    listener.close()
    connection.settimeout(2.0)
    try:
        order, descriptors = _receive(connection)
        os.setsid()
        die_with_parent(order["spawner"])
        environ = order["environ"]
        for name, value in seen.items():
            if environ.get(name) != value:
                raise _Refused(f"the variable {name} differs from its own")
    except _Refused as error:
        _answer(connection, {"refused": str(error)})
        os._exit(0)
    except (OSError, ValueError, KeyError) as error:
        _answer(connection, {"refused": f"{type(error).__name__}: {error}"})
        os._exit(0)
    _answer(connection, {"pid": os.getpid()})
    connection.close()
    word = _take_place(*descriptors)
    renewal.restore_signals()
    renewal.take_environment(environ)
    if "LISTEN_PID" in environ:
        os.environ["LISTEN_PID"] = str(os.getpid())
    set_title(f"luisito app {order['site']}", f"LUISITO_SERVER={order['server']}")
    renewal.renew()
    word.send(b"here")
    if word.recv(16) != b"go":
        os._exit(0)  # nobody wants it any more
    word.close()
    argv: list[str] = order["argv"]
    return argv


def _receive(connection: socket.socket) -> tuple[dict[str, Any], Sequence[int]]:
    space = socket.CMSG_SPACE(_DESCRIPTORS * array.array("i").itemsize)
    data, ancillary, flags, _ = connection.recvmsg(_LARGEST, space, socket.MSG_CMSG_CLOEXEC)
    descriptors = array.array("i")
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(value[: len(value) - len(value) % descriptors.itemsize])
    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC) or len(descriptors) != _DESCRIPTORS:
        raise _Refused("an order was cut")
    return json.loads(data), descriptors


def _take_place(listener: int, output: int, folder: int, word: int) -> socket.socket:
    """Have the descriptors of a server, and go where it works; return the one for the last word."""
    os.fchdir(folder)
    os.close(folder)
    high = os.dup(word)
    while high <= _LISTENER:
        high = os.dup(high)
    os.set_inheritable(high, False)
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    first = os.dup(listener)
    while first <= _LISTENER:
        first = os.dup(first)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.dup2(first, _LISTENER)
    os.closerange(_LISTENER + 1, high)
    os.closerange(high + 1, os.sysconf("SC_OPEN_MAX"))
    return socket.socket(fileno=high)


def _serve(argv: Sequence[str]) -> int:
    from .serve import main as serve

    Loaded.before = len(sys.modules)
    return serve(argv)

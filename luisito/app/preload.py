"""An interpreter that has loaded what sites share, and forks a server for each that asks.

It is asked on descriptor 3, by processes of its own user (luisito.spawner.preloaded). It reads no
order itself, and begins without the environment of the site whose worker it is: what one site has
is never in the memory that all others share.
"""

from __future__ import annotations

import gc
import os
import pwd
import select
import signal
import socket
import struct
import sys
import time
from typing import TYPE_CHECKING

from . import ours, sibling
from .ahead import WARMS, Ahead
from .forking import Forker, Title, close_above, die_with_parent, threads
from .learning import VARIABLE
from .nursery import Nursery, say
from .stale import Files

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

_LISTENER = 3
_QUEUE = 128  # orders that may wait
_UCRED = struct.Struct("3i")  # unix(7): pid, uid, gid
_PATIENCE = 1.0  # seconds that somebody who is refused may take to ask
_QUIET = 0.05  # seconds without an order, after which something else is done for a moment
_AGAIN = "--again="
_ROOM = 300  # bytes for a title

# What acts on an interpreter from its start, and is equal for all that ask (spawner.preloaded); and
# what this process is told by.
_KEPT = ("PYTHON", "LD_", "LC_", "MALLOC_", "OPENSSL_", "LANG", "GLIBC_TUNABLES",
         VARIABLE, "LUISITO_SERVER", WARMS)  # fmt: skip


def main(argv: Sequence[str]) -> int:
    """Load, wait and fork until a signal comes; in a forked child, serve.

    Args:
        argv: [--servers FOLDER] [MODULE ...].
    """
    words = list(argv)
    if not words or not words[0].startswith(_AGAIN):
        _begin_again(words)
    del words[0]
    more = words
    if words[:1] == ["--servers"]:
        ours.offer(words[1])
        more = words[2:]
    try:
        interpreter = _Interpreter(words, more)
    except OSError as error:
        sys.stderr.write(
            f"luisito: preload: descriptor {_LISTENER} must be a bound unix socket, which Luisito"
            f" sees to: {error.strerror}\n"
        )
        return 2
    return interpreter.run()


def _begin_again(words: Sequence[str]) -> NoReturn:
    """Execute the same anew, with no site's environment, and with room for a title."""
    environ = {name: value for name, value in os.environ.items() if name.startswith(_KEPT)}
    try:
        environ["HOME"] = pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        pass
    room = _AGAIN + "-" * _ROOM
    os.execve(sys.executable, [sys.executable, sys.argv[0], "preload", room, *words], environ)  # noqa: S606


class _Interpreter:
    """Answers orders, and loads in between.

    Attributes:
        _ours: whether this process is the interpreter, and no child of it.
    """

    def __init__(self, words: Sequence[str], more: Sequence[str]) -> None:
        self._words = words
        die_with_parent()
        os.chdir("/")
        self._title = _hide_environment()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        close_above(_LISTENER)
        self._forker = Forker()
        self._ahead = Ahead(self._forker, self._title)
        self._listener = socket.socket(fileno=_LISTENER)
        self._listener.getsockname()
        self._listens = False
        self._poll = select.poll()
        gc.disable()
        self._nursery = Nursery(os.environ.get(VARIABLE, ""), more)
        self._files = Files()

    def run(self) -> int:
        """Do so until a signal comes, or what was loaded has changed."""
        if threads() > 1:
            return self._refuse_all()
        probing = -1
        while True:
            if self._nursery.ready and not self._listens:
                self._listener.listen(_QUEUE)
                self._poll.register(self._listener, select.POLLIN)
                self._listens = True
                say("forks from now on")
            if self._nursery.descriptor != probing:
                if probing >= 0:
                    self._poll.unregister(probing)
                probing = self._nursery.descriptor
                if probing >= 0:
                    self._poll.register(probing, select.POLLIN)
            ready = dict(self._poll.poll(self._timeout()))
            if self._listener.fileno() in ready:
                done = self._take()
                if done is not None:
                    return done
            elif probing in ready:
                self._nursery.read()
            elif self._nursery.go_on():
                self._ahead.drop()
                self._files = Files()
                if threads() > 1:
                    if not self._nursery.forsake():
                        return self._refuse_all()
                    say("a module has left a thread behind: begins again without it")
                    _begin_again(self._words)
            elif self._listens and (connection := self._ahead.fork()) is not None:
                return self._serve(connection)

    def _refuse_all(self) -> int:
        """Fork nobody, as there is a thread of nothing that we have loaded; see `run`."""
        say(
            "forks nobody: sitecustomize or a .pth file has started a thread; write preload = false"
        )
        self._listener.listen(_QUEUE)
        while (done := self._take()) is None:
            pass
        return done

    def _timeout(self) -> float | None:
        """Tell how long to wait for an order, in milliseconds; None for ever."""
        due = [self._nursery.timeout(), self._ahead.timeout() if self._listens else None]
        return min((at for at in due if at is not None), default=None)

    def _take(self) -> int | None:
        """Answer an order; None where more are to be answered, else the status to exit with."""
        try:
            connection, _ = self._listener.accept()
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        except OSError:
            time.sleep(_QUIET)  # whoever asked has gone, or there are no descriptors for a while
            return None
        with connection:
            if _UCRED.unpack(credentials)[1] != os.geteuid():
                return None
            changed = self._files.changed()
            why = f"stale: {changed} has changed" if changed else ""
            if not why and threads() > 1:
                why = "it has threads"
            try:
                if not why and not self._ahead.hand(connection) and self._forker.fork() == 0:
                    return self._serve(connection)
            except OSError as error:
                why = f"it cannot fork: {error.strerror}"
            if why:
                _refuse(connection, why)
        self._nursery.asked()
        return 0 if changed else None

    def _serve(self, connection: socket.socket) -> int:
        """Be a server; return its exit status."""
        have = self._nursery
        preloaded = sibling.Preloaded(
            self._title, have.seen, have.names, sibling.home(), have.handled
        )
        argv = sibling.born(connection, preloaded)
        if argv is None:
            os._exit(0)
        self._listener.detach()  # the descriptor is the server's
        from .serve import main as serve

        return serve(argv)


def _hide_environment() -> Title:
    """Let nothing point to the memory that the environment came in; give that to titles."""
    environ = dict(os.environ)
    os.environ.clear()
    os.environ.update(environ)
    title = Title()
    title.clear()
    title.set("luisito preload", f"LUISITO_SERVER={environ.get('LUISITO_SERVER', '')}")
    return title


def _refuse(connection: socket.socket, why: str) -> None:
    """Answer without having read the order; the kernel drops the descriptors in it."""
    connection.settimeout(_PATIENCE)
    try:
        # What is left unread when we close would reach the other side before the answer.
        connection.recv(1, socket.MSG_TRUNC)
    except OSError:
        return
    sibling.answer(connection, {"refused": why})

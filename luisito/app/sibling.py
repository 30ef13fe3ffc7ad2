"""The forked child of a preloaded interpreter, which becomes the server of one site."""

from __future__ import annotations

import array
import fcntl
import json
import os
import site
import socket
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from . import renewal
from .forking import close_above, die_with_parent
from .learning import Loaded
from .prefixes import known
from .stale import packages

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

    from .forking import Title

_LISTENER, _WORD = 3, 4
_LARGEST = 200_000  # bytes of an order
_DESCRIPTORS = 4  # beside it: listener, output, folder, and where the last word comes from
_PATIENCE = 2.0  # seconds


class Preloaded(NamedTuple):
    """What is known of the interpreter.

    Attributes:
        title: of the process.
        seen: variables that modules have read while they were imported, and what those were.
        names: the first parts of the names of all modules that it has, or has not found.
        home: its HOME, which may have packages; None where they are not looked for.
        handled: the signals that a module handles.
    """

    title: Title
    seen: Mapping[str, str | None]
    names: frozenset[str]
    home: str | None
    handled: Iterable[int]


class RefusedError(Exception):
    """Why this server must not be forked; it names no value of a variable."""


def born(connection: socket.socket, preloaded: Preloaded) -> list[str] | None:
    """Become the server that is asked for.

    Args:
        connection: from whoever asks.
        preloaded: what it was forked from.

    Returns:
        Its command line; None where it is not wanted, or must not be.
    """
    try:
        order, descriptors = _receive(connection)
        os.fchdir(descriptors[2])
        refuse(order, preloaded)
        os.setsid()
        die_with_parent()
        if os.getppid() != order["spawner"]:
            raise RefusedError("whoever asks is not the child of its parent")
    except (RefusedError, OSError) as error:
        answer(connection, {"refused": str(error)})
        return None
    answer(connection, {"pid": os.getpid()})
    connection.close()
    _take_place(descriptors)
    renewal.restore_signals(preloaded.handled)
    renewal.take_environment(order["environ"])
    if "LISTEN_PID" in os.environ:
        os.environ["LISTEN_PID"] = str(os.getpid())
    preloaded.title.set(f"luisito app {order['site']}", f"LUISITO_SERVER={order['server']}")
    argv: list[str] = order["argv"]
    sys.argv[1:] = ["serve", *argv]
    if hasattr(sys, "orig_argv"):  # since Python 3.10
        sys.orig_argv[2:] = ["serve", *argv]
    renewal.renew()
    with socket.socket(fileno=_WORD) as word:
        word.send(b"here")
        if word.recv(16) != b"go":
            return None  # nobody wants it any more
    Loaded.before = len(sys.modules)
    return argv


def answer(connection: socket.socket, said: Mapping[str, object]) -> None:
    """Tell whoever asks what comes of it."""
    try:
        connection.settimeout(_PATIENCE)
        connection.send(json.dumps(said).encode())
    except OSError:
        pass  # whoever asked has gone


def _receive(connection: socket.socket) -> tuple[dict[str, Any], Sequence[int]]:
    connection.settimeout(_PATIENCE)
    space = socket.CMSG_SPACE(_DESCRIPTORS * array.array("i").itemsize)
    data, ancillary, flags, _ = connection.recvmsg(_LARGEST, space, socket.MSG_CMSG_CLOEXEC)
    descriptors = array.array("i")
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(value[: len(value) - len(value) % descriptors.itemsize])
    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC) or len(descriptors) != _DESCRIPTORS:
        raise RefusedError("an order was cut")
    try:
        order = json.loads(data)
        whole = isinstance(order["site"], str) and isinstance(order["server"], int)
        whole = whole and all(type(word) is str for word in order["argv"])
        for name, value in order["environ"].items():
            whole = whole and bool(name) and "\0" not in name + value and "=" not in name
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise RefusedError("an order cannot be read")
    return order, descriptors


def refuse(order: Mapping[str, Any], preloaded: Preloaded) -> None:
    """Look whether a server would find what a plain start finds.

    Raises:
        RefusedError: it would not.
    """
    environ = order["environ"]
    if preloaded.home is not None and environ.get("HOME") != preloaded.home:
        raise RefusedError("HOME differs from that of its user")
    for name, value in preloaded.seen.items():
        if environ.get(name) != value:
            raise RefusedError(f"the variable {name} differs from what its modules have seen")
    for folder in (*_folders(order["argv"]), *_first()):
        found = _hides(folder, preloaded.names)
        if found is not None:
            raise RefusedError(
                f"{found} in the site's folder has the name of a module that it has, or sought"
            )


def _folders(argv: Sequence[str]) -> Iterator[str]:
    """The folders where a server looks for modules first, after the one where it works."""
    yield "."
    for option, value in zip(argv, argv[1:]):  # noqa: B905, RUF007 - of Python 3.10
        if option in ("--django", "--chdir"):
            yield value
            if option == "--django" and not os.path.isfile(f"{value}/manage.py"):
                yield from (f"{value}/{name}" for name in _names(value))


def _first() -> Iterator[str]:
    """The folders on the path before those of the environment, as PYTHONPATH has them."""
    installed = packages()
    for folder in sys.path:
        if folder in installed:
            break
        yield folder


def _hides(folder: str, names: Container[str]) -> str | None:
    """Find what would be imported from a folder in the place of one of these modules."""
    for name in _names(folder):
        first, dot, rest = name.partition(".")
        has = known(sys.modules.get(first)).get("__file__")
        if first not in names or str(has).startswith(f"{folder}/{first}"):
            continue
        if rest in ("py", "pyc") or rest.endswith("so"):
            return name
        if not dot and os.path.isfile(f"{folder}/{name}/__init__.py"):
            return name
    return None


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []  # nor can a module be found there


def _take_place(descriptors: Sequence[int]) -> None:
    """Have the descriptors of a server, and go where it works."""
    listener, output, folder, word = (
        fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, _WORD + 1) for number in descriptors
    )
    os.close(folder)
    nowhere = os.open(os.devnull, os.O_RDONLY)
    for number, place in ((nowhere, 0), (output, 1), (output, 2), (listener, _LISTENER)):
        os.dup2(number, place)
    os.dup2(word, _WORD, inheritable=False)
    close_above(_WORD)


def home() -> str | None:
    """Say where a user's own packages were looked for; None where they were not."""
    return os.environ.get("HOME") if site.ENABLE_USER_SITE else None

"""How a start is handed to a preloaded interpreter, which forks its server (luisito.app.preload).

All of this is done by the child of a start that has become the site's user already.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from _blake2 import blake2b  # by hashlib all that the spawner forks would have OpenSSL mapped, too
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from luisito.errors import LuisitoError
from luisito.spawner import channel
from luisito.spawner.users import StartRefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from luisito.spawner.rlimits import Limits
    from luisito.spawner.users import Identity

FOLDER: Final = "preload"  # in RUNTIME_DIR and in STATE_DIR
LEARN: Final = "LUISITO_LEARN"
"""The variable that names the file where a server says which modules it has imported, and to an
interpreter the folder of these files."""

WARMS: Final = "LUISITO_WARMS"
"""The variable that lets an interpreter's next child take memory ahead, which is counted in its
cgroup for as long as that child, a server by then, has it."""

_PATIENCE: Final = 2.0  # seconds for an answer
_LARGEST: Final = 180_000  # bytes of a message, which a socket's buffer takes (net.core.wmem_max)
# What an interpreter, or the C library below it, looks at when it begins, and not again.
_EARLY: Final = ("PYTHON", "LD_", "LC_", "MALLOC_", "OPENSSL_", "LANG", "GLIBC_TUNABLES")
# Of these, where a path in it may begin at the folder where it begins, once and for all.
_PATHS: Final = ("PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE")
_UCRED: Final = struct.Struct("3i")  # unix(7): pid, uid, gid


class NotPreloadedError(LuisitoError):
    """Why a server is started without a preloaded interpreter."""


def make_folders(runtime_dir: str, state_dir: str | None, user: Identity) -> str:
    """Make the folders of a user's interpreters, before becoming that user.

    Returns:
        The one for what is learned, in STATE_DIR where there is one that the user can reach.

    Raises:
        StartRefusedError: none can be made in RUNTIME_DIR.
    """
    try:
        folder = _make(runtime_dir, user)
    except OSError as error:
        raise StartRefusedError(
            f"RUNTIME_DIR: its folder {FOLDER!r} cannot be made: {error.strerror}"
        ) from None
    if state_dir is not None:
        with suppress(OSError):  # it is told to nobody: what is learned lasts until a reboot then
            return _make(state_dir, user)
    return folder


def _make(path: str, user: Identity) -> str:
    """Make PATH/preload/UID, not following what somebody who may write in PATH put there."""
    flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    above = os.open(path, flags)
    try:
        with suppress(FileExistsError):
            os.mkdir(FOLDER, 0o711, dir_fd=above)
        ours = os.open(FOLDER, flags, dir_fd=above)
    finally:
        os.close(above)
    try:
        if os.fstat(ours).st_uid != os.geteuid():
            raise PermissionError(0, "it belongs to somebody else")
        name = str(user.uid)
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=ours)
        # Whoever made it may have been killed before it was the user's.
        if os.stat(name, dir_fd=ours, follow_symlinks=False).st_uid != user.uid:
            os.chown(name, user.uid, user.gid, dir_fd=ours, follow_symlinks=False)
    finally:
        os.close(ours)
    return f"{path}/{FOLDER}/{name}"


def environment(
    argv: Sequence[str], environ: Mapping[str, str], user: Identity, limits: Limits, umask: int
) -> str:
    """Name what all servers of one interpreter share: it is no other process's place to differ.

    To be asked in the folder where the server will work.

    Args:
        argv: of the server; its first word is the interpreter.
        environ: of the server.
        user: who runs it.
        limits: rlimits of it.
        umask: of it.
    """
    shared = {
        "interpreter": _which(argv[0], environ.get("PATH", os.defpath)),
        "user": [user.uid, user.gid, sorted(os.getgroups())],
        "limits": sorted((number, *pair) for number, pair in limits.items()),
        "umask": umask,
        "environ": sorted(pair for pair in environ.items() if pair[0].startswith(_EARLY)),
        "folder": os.getcwd() if _has_relative_path(environ) else None,
    }
    return blake2b(json.dumps(shared).encode(), digest_size=8).hexdigest()


def _has_relative_path(environ: Mapping[str, str]) -> bool:
    """Tell whether the same variables are other paths in another folder."""
    said = (environ.get(name, "") for name in _PATHS)
    return any(
        not path.startswith("/") for value in said if value for path in value.split(os.pathsep)
    )


def _which(program: str, path: str) -> str:
    if "/" in program:
        return os.path.abspath(program)
    for folder in path.split(os.pathsep):
        found = os.path.join(folder or os.curdir, program)
        if os.access(found, os.X_OK) and os.path.isfile(found):
            return os.path.abspath(found)
    return program


def learned(folder: str, runtime_dir: str, uid: int, name: str) -> str:
    """Make the folder for what is learned of an environment, as its user.

    Args:
        folder: of the user, where that can be reached.
        runtime_dir: else it is in there.
        uid: of the user.
        name: of the environment.

    Returns:
        Its path; "" where it cannot be made, as on a disk that is full: then nothing is learned.
    """
    if not os.access(folder, os.W_OK):
        folder = f"{runtime_dir}/{FOLDER}/{uid}"
    path = f"{folder}/{name}"
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    except OSError:
        return ""
    return path


def listen(runtime_dir: str, uid: int, name: str) -> socket.socket:
    """Make the socket where an interpreter is asked for servers; it listens once it has loaded.

    Raises:
        OSError: it cannot be made.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    folder, path = _reach(runtime_dir, uid, name)
    try:
        with suppress(FileNotFoundError):  # of one that has gone
            os.unlink(f"{name}.socket", dir_fd=folder)
        sock.bind(path)
    finally:
        os.close(folder)
    return sock


def _reach(runtime_dir: str, uid: int, name: str) -> tuple[int, str]:
    """Open the folder of a user's sockets; say how one in it is named in less than 108 bytes."""
    flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    folder = os.open(f"{runtime_dir}/{FOLDER}/{uid}", flags)
    return folder, f"/proc/self/fd/{folder}/{name}.socket"


def hand_over(
    runtime_dir: str, uid: int, name: str, order: Mapping[str, object], descriptors: Sequence[int]
) -> None:
    """Have an interpreter fork a server; it is the spawner's child then, and waits for its word.

    Args:
        runtime_dir: of Luisito.
        uid: of the user that we are.
        name: of the environment.
        order: what the server is to be.
        descriptors: that it gets: its listener, its output, its folder and where its word comes.

    Raises:
        NotPreloadedError: there is no interpreter, or it refuses.
    """
    message = json.dumps(order).encode()
    if len(message) > _LARGEST:
        raise NotPreloadedError("its environment is too large")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.settimeout(_PATIENCE)
        try:
            folder, path = _reach(runtime_dir, uid, name)
            try:
                sock.connect(path)
            finally:
                os.close(folder)
        except (FileNotFoundError, ConnectionRefusedError):
            raise NotPreloadedError("") from None
        except BlockingIOError:
            raise NotPreloadedError(
                "too many have asked it already, and it has not answered"
            ) from None
        except OSError as error:
            raise NotPreloadedError(f"it cannot be asked: {error.strerror}") from None
        try:
            credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
            if _UCRED.unpack(credentials)[1] != uid:
                raise NotPreloadedError("another user listens in its place")
            channel.send(sock, message, tuple(descriptors))
            answer = json.loads(sock.recv(65536) or b'{"refused": "it has ended"}')
        except TimeoutError:
            raise NotPreloadedError(f"it has not answered within {_PATIENCE:.0f} s") from None
        except (OSError, ValueError, RecursionError) as error:
            raise NotPreloadedError(str(error)) from None
    if not isinstance(answer, dict) or "pid" not in answer:
        refused = answer.get("refused") if isinstance(answer, dict) else answer
        raise NotPreloadedError(str(refused))

"""The other end of the control socket: one request, and its answer."""

from __future__ import annotations

import http.client
import json
import os
import socket
import struct
from contextlib import suppress
from typing import Any, Final

from luisito.errors import LuisitoError
from luisito.readiness.credentials import peer_uid

_TIMEOUT: Final = 10  # seconds


class ControlError(LuisitoError):
    """What was asked for was not done."""


class NotRunningError(ControlError):
    """Nobody listens at a control socket."""


class _CutOffError(ControlError):
    """The connection was closed before there was an answer."""


class _Connection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, *, named: bool) -> None:
        super().__init__("luisito")
        self._path, self._named = path, named

    def connect(self) -> None:
        """See HTTPConnection."""
        self.sock = sock = socket.socket(socket.AF_UNIX)
        # A socket with Python's timeout does not wait while the backlog is full.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _TIMEOUT, 0))
        sock.connect(self._path)
        sock.settimeout(_TIMEOUT)
        uid, ours = peer_uid(sock), os.geteuid()
        if not self._named and ours and uid not in (0, ours):
            raise ControlError(
                f"{self._path}: who listens there is uid {uid}, neither root nor you;"
                " if that is the Luisito meant, give --runtime-dir"
            )


def ask(path: str, method: str, target: str, *, named: bool = True) -> tuple[int, Any]:
    """Makes a request.

    Args:
        path: of the socket.
        method: of HTTP.
        target: the resource.
        named: the user has said that it is there; else only root's and their own is spoken to,
            and root speaks to anybody's.

    Returns:
        The status, and what the JSON of the answer means.

    A GET that is cut off is made once more: when one Luisito hands over to the next, it closes the
    connections that it has, and the other one answers new ones.

    Raises:
        NotRunningError: nobody listens there.
        ControlError: the socket may not be used, or the answer does not come.
    """
    if method == "GET":
        with suppress(_CutOffError):
            return _ask(path, method, target, named=named)
    return _ask(path, method, target, named=named)


def _ask(path: str, method: str, target: str, *, named: bool) -> tuple[int, Any]:
    connection = _Connection(path, named=named)
    try:
        with suppress(BrokenPipeError):  # it was refused before it was read
            connection.request(method, target)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        raise NotRunningError(f"no Luisito answers at {path}") from None
    except PermissionError:
        raise ControlError(
            f"{path}: permission denied; run this as root, or as the user who started Luisito"
        ) from None
    except (TimeoutError, BlockingIOError):
        raise ControlError(f"{path}: no answer came within {_TIMEOUT} s") from None
    except ConnectionResetError as error:  # RemoteDisconnected is one
        raise _CutOffError(f"{path}: {error}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ControlError(f"{path}: {error}") from None
    finally:
        connection.close()

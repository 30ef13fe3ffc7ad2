"""Where RUNTIME_DIR is when nobody says: the same for who starts Luisito and for who asks it."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

SYSTEM_PLACE = "/run/luisito"
_MAX_BASE = 48  # bytes; with "/luisito-100" and the sockets it must fit into a sun_path (unix(7))


def default_place(uid: int, environ: Mapping[str, str]) -> str:
    """Name the folder; it need not be there.

    Args:
        uid: who starts Luisito.
        environ: of its process.
    """
    if uid == 0 and os.path.isdir("/run"):
        return SYSTEM_PLACE
    base = environ.get("XDG_RUNTIME_DIR", "")
    if base.startswith("/") and len(os.fsencode(base)) < _MAX_BASE and _is_ours(base, uid):
        return f"{base}/luisito"
    # Whoever comes first may take any name there: the owner is checked before it is used.
    return f"/tmp/luisito-{uid}"  # noqa: S108 - see above


def likely_places(uid: int, environ: Mapping[str, str]) -> list[str]:
    """Name the folders of whoever a user may mean, the likeliest first.

    Luisito may have been started without the environment of a login, or by root.

    Args:
        uid: who asks.
        environ: of his process.
    """
    environs: tuple[Mapping[str, str], ...] = environ, {"XDG_RUNTIME_DIR": f"/run/user/{uid}"}, {}
    own = [default_place(uid, one) for one in environs]
    return list(dict.fromkeys([*own, SYSTEM_PLACE]))


def is_ours(status: os.stat_result, uid: int) -> bool:
    """Whether a folder is a user's own, and nobody else may write there."""
    return status.st_uid == uid and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def may_pass(status: os.stat_result) -> bool:
    """Whether all users may pass through a folder: sites' servers, where root starts Luisito."""
    return bool(status.st_mode & stat.S_IXOTH)


def _is_ours(path: str, uid: int) -> bool:
    try:
        status = os.stat(path)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and is_ours(status, uid)

"""The start file: a program in the site's own folder, which must not be a link to another's."""

from __future__ import annotations

import os
import shlex

from luisito.spawner.users import StartRefusedError


def refuse_hard_link(program: str, uid: int) -> None:
    """Refuse a program of the site's folder that is another user's and has a second name.

    It would run as `uid` all the same, so that nothing is gained by the link itself; but whoever
    looks into the folder takes for the site's own what somebody else can change. A program outside
    of the folder is the operator's choice, and a file with one name may be anybody's: root may well
    keep a site's code out of its user's hands.

    Args:
        program: as the command names it; we are in the site's folder.
        uid: of the server.

    Raises:
        StartRefusedError: it is such a link.
    """
    if "/" not in program:
        return  # one of PATH
    try:
        file = os.open(program, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # exec says why
    try:
        status = os.fstat(file)
        place = os.readlink(f"/proc/self/fd/{file}")
    finally:
        os.close(file)
    if status.st_nlink > 1 and status.st_uid != uid and place.startswith(f"{os.getcwd()}/"):
        path = shlex.quote(place)
        raise StartRefusedError(
            f"program {place!r} belongs to uid {status.st_uid} and has {status.st_nlink} names"
            f" (hard links), so that it may not be the site's own; copy it:"
            f" cp -p {path} {path}.new && mv {path}.new {path}"
        )

"""Why a program could not be executed: said in the child, by the user that it has become."""

from __future__ import annotations

import os
import shlex

from luisito.core.paths import walk
from luisito.core.permissions import EXECUTE, Status, User, allows, mend
from luisito.core.program import HEAD, Shebang, shebang


def why_not(program: str, path: str, error: OSError, said_by: str) -> str:
    """Say why a program could not be executed by the user that we are, and the mend.

    Args:
        program: the first word of the command.
        path: the PATH that it was looked for on.
        error: of execve(2).
        said_by: where the command was written.
    """
    places = [program] if "/" in program else [f"{at}/{program}" for at in path.split(":")]
    found = next((place for place in places if os.path.exists(place)), None)
    # What a link leads to, or lies behind a folder, that we may not enter does not seem to exist.
    seen = found or next((place for place in places if os.path.lexists(place)), None)
    if seen is None and "/" in program:
        seen = program
    barred = None if seen is None else _barred(seen)
    if barred is not None:
        return (
            f"{seen!r} cannot be executed: its user may not enter {barred!r}, which is on the way"
            f" to it or to its interpreter; run {_passage(barred)}"
        )
    if found is None:
        where = "" if "/" in program else f" (PATH={path})"
        words = f"no such program: {program!r}{where}; install it or mend {said_by}"
        hidden = next(filter(None, map(_barred, places)), None)
        if hidden is None:
            return words
        return (
            f"{words}; or, if it is behind {hidden!r}, which its user may not enter, run"
            f" {_passage(hidden)}"
        )
    if isinstance(error, FileNotFoundError):
        if _ends_in_cr_lf(found):
            return (
                f"{found!r} has lines that end in CR LF, so that its interpreter is not found;"
                f" run sed -i 's/\\r$//' {shlex.quote(found)}"
            )
        return f"{found!r} names an interpreter in its first line that is missing; install it"
    return f"{found!r} cannot be executed: {error.strerror}; make it executable or mend {said_by}"


def _barred(program: str) -> str | None:
    """The first folder that we may not enter, on the way to a program or to its interpreter."""
    found = _shebang(program)
    for path in (program, "" if found is None else found.interpreter):
        if not path.startswith("/"):
            continue  # from the folder that we are in, which has been entered
        for folder in walk(path, _link).folders:
            if os.path.isdir(folder) and not os.access(folder, os.X_OK):
                return folder
    return None


def _passage(folder: str) -> str:
    """The command that lets us through a folder that we may not enter."""
    found = os.stat(folder)
    status = Status(found.st_mode, found.st_uid, found.st_gid)
    user = User("", os.geteuid(), os.getegid(), frozenset((os.getegid(), *os.getgroups())))
    if allows(status, user, EXECUTE):  # an access control list or a security module forbids it
        return f"setfacl -m u:{user.uid}:x {shlex.quote(folder)}"
    return mend(folder, status, user, EXECUTE, have=0, setfacl=False)


def _link(path: str) -> str | None:
    try:
        return os.readlink(path)
    except OSError:
        return None


def _shebang(script: str) -> Shebang | None:
    try:
        with open(script, "rb") as file:
            return shebang(file.read(HEAD))
    except OSError:
        return None


def _ends_in_cr_lf(script: str) -> bool:
    found = _shebang(script)
    return found is not None and found.ends_in_cr_lf

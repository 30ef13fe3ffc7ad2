"""Who the network process is once it has its listening sockets, and becoming that user."""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING

from luisito.errors import SettingsError
from luisito.process.confinement import confine, in_force
from luisito.settings.values import Function
from luisito.spawner import privileges

if TYPE_CHECKING:
    from collections.abc import Callable

    from luisito.process.confinement import InForce

OWN_USERS = ("luisito", "nobody")  # the first that exists, where twistd was given no --uid


def network_user(
    uid: int | None,
    gid: int | None,
    *,
    euid: int,
    egid: int,
    look_up: Callable[[str], pwd.struct_passwd] = pwd.getpwnam,
) -> tuple[int, int]:
    """Decide which uid and gid the network process drops to.

    Args:
        uid: twistd's --uid, if given.
        gid: twistd's --gid, if given.
        euid: who we are now.
        egid: which group we have now.
        look_up: finds a user by name, or raises KeyError.

    Raises:
        SettingsError: root was asked for, or no user was found.
    """
    if euid != 0:
        if uid not in (None, euid) or gid not in (None, egid):
            given = {"--uid": uid, "--gid": gid}
            words = " ".join(
                f"{name} {value}" for name, value in given.items() if value is not None
            )
            raise SettingsError(
                f"{words}: only root can change users; start Luisito as root, or leave it out"
            )
        return euid, egid
    if uid is None:
        user = _first(look_up)
        uid, gid = user.pw_uid, user.pw_gid if gid is None else gid
    elif gid is None:
        raise SettingsError(f"--uid {uid} without --gid: give both")
    if uid == 0 or gid == 0:
        raise SettingsError(
            f"--uid {uid} --gid {gid}: the network process must not be root; give a user's"
        )
    return uid, gid


def _first(look_up: Callable[[str], pwd.struct_passwd]) -> pwd.struct_passwd:
    for name in OWN_USERS:
        try:
            return look_up(name)
        except KeyError:
            continue
    raise SettingsError(
        f"neither user {' nor '.join(OWN_USERS)} exists; create one:"
        " adduser --system --group luisito"
    )


def servers_user(
    run_as: str | int | Function | None, project_path: str | None, *, euid: int
) -> int | None:
    """Tell whom all servers run as, where that is one user and Luisito chooses it as root.

    Args:
        run_as: RUN_AS.
        project_path: PROJECT_PATH.
        euid: who we are now.

    Returns:
        A uid; None where each site has a user of its own, or nobody is known by that name.
    """
    if euid != 0 or run_as == "owner" or (run_as is None and project_path is not None):
        return None
    if isinstance(run_as, Function):
        return None
    if isinstance(run_as, int):
        return run_as
    try:
        return pwd.getpwnam(run_as or "nobody").pw_uid
    except KeyError:
        return None


def drop(uid: int, gid: int) -> InForce:
    """Become a user for good: no groups, no capabilities, no way to get any back, no programs.

    Not undone by anything: call it last. Where we are not root, the servers and the spawner run as
    our own user: nothing can part us from what that user may do to files.

    Returns:
        What is in force from now on.
    """
    privileges.set_no_new_privs()
    privileges.drop_bounding_set()
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        # What runs as the same user must not read the clients' requests and our keys. The kernel
        # does it at a change of user, but for where fs.suid_dumpable says otherwise.
        privileges.forbid_tracing()
    privileges.clear_capabilities()
    return in_force(confine())

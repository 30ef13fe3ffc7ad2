"""Who else than its owner a file's mode lets in."""

from __future__ import annotations

import grp
import pwd


def is_private(gid: int, uid: int) -> bool:
    """Whether a group is root's, or a user's own and without any other member."""
    try:
        name = pwd.getpwuid(uid)
        group = grp.getgrgid(gid)
    except KeyError:
        return False
    own = name.pw_gid == gid and name.pw_name == group.gr_name
    return (gid == 0 or own) and set(group.gr_mem) <= {name.pw_name, "root"}

"""Who may see and do what at the control socket: a decision about uids, without any I/O."""

from __future__ import annotations

from typing import Final

_ROOT: Final = 0
# Also what the kernel calls any user whom a user namespace has no number for (user_namespaces(7)).
_NOBODY: Final = 65534

# At ADMIN_LISTEN; no user has such a number.
TOKEN: Final = -1
"""Whoever knows ADMIN_TOKEN: an operator."""
STRANGER: Final = -2
"""Somebody of whom nothing is known."""


def called(uid: int) -> str:
    """Who somebody is, for people."""
    return "somebody with ADMIN_TOKEN" if uid == TOKEN else f"uid {uid}"


class Roles:
    """Operators may do everything; others see and stop the servers that run as themselves.

    Whoever is nobody sees none, unless nobody has started Luisito: many users may have that uid.

    Root and the starter are operators, and so is the network process's user, unless others may be
    that user too: the app servers, or whoever is nobody.

    Args:
        started_by: who started Luisito.
        serves_as: whom the network process became.
        servers_as: whom all servers run as; None where each site has a user of its own.

    Attributes:
        servers_as: the same.
    """

    def __init__(self, *, started_by: int, serves_as: int, servers_as: int | None) -> None:
        own = {serves_as} - {servers_as, _NOBODY}
        self._operators = frozenset({_ROOT, started_by, TOKEN, *own})

        # Many programs run as one that is no operator's, and may do what others ask of them.
        self.shared = frozenset({serves_as, servers_as or _NOBODY, _NOBODY} - {started_by, _ROOT})
        """Users whose connection over TCP says nothing of who is behind it."""
        self.servers_as = servers_as

    def is_operator(self, uid: int) -> bool:
        """Whether a user may do everything."""
        return uid in self._operators

    def sees(self, uid: int, runs_as: int | None) -> bool:
        """Whether a user may see and stop a server.

        Args:
            uid: the user.
            runs_as: the server's; None where that is not known yet.
        """
        return uid in self._operators or (uid == runs_as and uid != _NOBODY)

"""$MAINPID in stop commands, which no shell reads: as in ExecStop= (systemd.service(5))."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME: Final = "MAINPID"


def with_main_pid(argv: Sequence[str], pid: int) -> list[str]:
    """Put the pid of a server's first process in for $MAINPID and ${MAINPID}."""
    return [word.replace(f"${{{NAME}}}", str(pid)).replace(f"${NAME}", str(pid)) for word in argv]

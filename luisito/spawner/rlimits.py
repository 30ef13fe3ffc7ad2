"""The limits that servers get by setrlimit(2), and our right to give them."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

from luisito.core.rlimits import exceeds, shown
from luisito.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from luisito.core.rlimits import Limit

Limits = dict[int, tuple[int, int]]  # by the number of the limit: soft and hard, as for setrlimit


def claim(wanted: Mapping[str, Limit]) -> Limits:
    """Raise our own hard limits to what servers are to get, which their users may not do.

    Args:
        wanted: RLIMITS.

    Raises:
        SettingsError: a limit is not known here, or above what we may give.
    """
    claimed: Limits = {}
    for name, limit in wanted.items():
        number = getattr(resource, f"RLIMIT_{name.upper()}", None)
        what = f'RLIMITS["{name}"] = {shown(limit)}'
        if number is None:
            raise SettingsError(f"{what}: there is no such limit on this machine; remove it")
        soft, hard = (_number(part) for part in limit)
        own_soft, own_hard = resource.getrlimit(number)
        given = None if own_hard == resource.RLIM_INFINITY else own_hard
        if exceeds(limit[1], given):
            try:
                resource.setrlimit(number, (own_soft, hard))
            except (ValueError, OSError):
                raise SettingsError(
                    f"{what}: is above {own_hard}, the hard limit that Luisito was started with"
                    f" and cannot raise; lower it, or raise that one ({_mend(name)})"
                ) from None
        claimed[number] = (soft, hard)
    return claimed


def _number(limit: int | None) -> int:
    return resource.RLIM_INFINITY if limit is None else limit


def _mend(name: str) -> str:
    if name == "nofile":
        return "LimitNOFILE= in its unit, ulimit -Hn; fs.nr_open is above both"
    return f"Limit{name.upper()}= in its unit, or prlimit --{name}"


def limit_processes(limits: Limits) -> None:
    """Set the limit of processes; before the user is changed, which is when the kernel counts."""
    if resource.RLIMIT_NPROC in limits:
        resource.setrlimit(resource.RLIMIT_NPROC, limits[resource.RLIMIT_NPROC])


def limit(limits: Limits) -> None:
    """Set all limits; last of all, since memory or descriptors may be few then."""
    for number, pair in limits.items():
        resource.setrlimit(number, pair)

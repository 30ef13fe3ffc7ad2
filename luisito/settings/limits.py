"""Readers of what bounds each server: RLIMITS, MEMORY_MAX, CPU_MAX and PIDS_MAX."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from luisito.core.cgroup import CPU_PERIOD
from luisito.core.rlimits import LARGEST, NO_EFFECT, UNITS, fits
from luisito.settings.values import Wrong, shown, whole

if TYPE_CHECKING:
    from luisito.core.rlimits import Limit

_UNLIMITED: Final = "unlimited"
_LEAST_CPU: Final = 1000 / CPU_PERIOD  # cores; the kernel takes no less (cpu.max)
_MOST_CPU: Final = 1_000_000

memory = whole(1024 * 1024)


def cores(value: object) -> float:
    """How many processors, or what part of one."""
    must = f"must be a number of cores, at least {_LEAST_CPU:g}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        if _LEAST_CPU <= value <= _MOST_CPU:
            return float(value)
        raise Wrong(must)
    try:
        meant = float(value) if isinstance(value, str) else 0.0
    except ValueError:
        meant = 0.0
    if _LEAST_CPU <= meant <= _MOST_CPU:
        raise Wrong(must, mend=meant)
    raise Wrong(must)


def rlimits(value: object) -> dict[str, Limit]:
    """Limits of setrlimit(2): for each name soft and hard; None of these is no limit."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise Wrong("must be a dict, or None", mend={"nofile": 1024, "core": 0})
    return {_name(name, value): _limit(name, item) for name, item in value.items()}


def _name(name: object, value: Mapping[object, object]) -> str:
    if isinstance(name, str) and name in UNITS:
        return name
    rest = {key: item for key, item in value.items() if key != name}
    if name in NO_EFFECT:
        raise Wrong(f"has {shown(name)}, which has no effect on Linux", mend=rest)
    meant = str(name).lower().removeprefix("rlimit_")
    near = difflib.get_close_matches(meant, UNITS, n=1, cutoff=0.0)[0]
    raise Wrong(
        f"has {shown(name)}, which is no limit of setrlimit(2); the nearest is {shown(near)}",
        mend={near if key == name else key: item for key, item in value.items()},
    )


def _limit(name: str, value: object) -> Limit:
    item = f"[{shown(name)}]"
    parts = list(value) if isinstance(value, tuple | list) else []
    soft, hard = parts if len(parts) == 2 else (value, value)
    try:
        limit = _number(soft), _number(hard)
    except Wrong as wrong:
        mend = (1024, 4096) if parts else wrong.mend
        raise Wrong(wrong.must, item=item, value=value, mend=mend) from None
    if not fits(*limit):
        must = "must not have a soft limit, the first, above the hard one"
        raise Wrong(must, item=item, value=value, mend=(hard, soft))
    return limit


def _number(value: object) -> int | None:
    if value == _UNLIMITED:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST:
        return value
    meant = int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 19 else None
    mend = _UNLIMITED if meant is None else meant
    raise Wrong('must be a whole number, "unlimited", or (soft, hard) of these', mend=mend)

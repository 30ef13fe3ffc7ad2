"""Whether the limits of servers can be kept: RLIMITS by setrlimit(2), the others by cgroups."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

from luisito.checks.report import Mend, Problem
from luisito.core.rlimits import exceeds, shown
from luisito.spawner.delegation import CannotDivideError, check, here, lacks

if TYPE_CHECKING:
    from luisito.checks.machine import Kernel
    from luisito.checks.whom import Whom
    from luisito.core.rlimits import Limit
    from luisito.settings import Settings
    from luisito.spawner.config import Config


def rlimits(settings: Settings, who: Whom, found: Kernel) -> list[Problem]:
    """What is above the limits that whoever starts Luisito may give."""
    problems = []
    for name, limit in settings.rlimits.items():
        most = _most(name, found, raises=found.raises or (who.root and not found.root))
        if most is None or not exceeds(limit[1], most):
            continue
        what = (
            f"{name!r} is {shown(limit)}, and {who.starter.name} can give no more than {most} here"
            f" (Limit{name.upper()}=, prlimit --{name})"
        )
        soft = most if limit[0] is None else min(limit[0], most)
        meant = {**settings.rlimits, name: (soft, most)}
        line = {each: _written(pair) for each, pair in meant.items()}
        problems.append(Problem("RLIMITS", what, Mend("write", f"RLIMITS = {line!r}")))
    return problems


def _most(name: str, found: Kernel, *, raises: bool) -> int | None:
    """The highest hard limit that can be given; None for any."""
    if raises:
        return found.most_files if name == "nofile" else None
    _, hard = resource.getrlimit(getattr(resource, f"RLIMIT_{name.upper()}"))
    return None if hard == resource.RLIM_INFINITY else hard


def _written(limit: Limit) -> object:
    soft, hard = ("unlimited" if part is None else part for part in limit)
    return soft if soft == hard else (soft, hard)


def cgroups(config: Config, runtime_dir: str) -> tuple[str, list[Problem]]:
    """Whether each server can have a cgroup that keeps what is set.

    What the machine lacks is a problem. Whether Luisito may divide the cgroup that it is started in
    can only be told of the one that this command runs in: a unit of systemd has another.

    Returns:
        Words on that, "" where no limit is set; and what the machine lacks.
    """
    settings = config.limits.settings()
    if not settings:
        return "", []
    try:
        at = here(runtime_dir)
    except CannotDivideError as error:
        return "", [_problem(setting, str(error)) for setting in settings.values()]
    found = {setting: lacks(at.top, controller) for controller, setting in settings.items()}
    problems = [_problem(setting, obstacle) for setting, obstacle in found.items() if obstacle]
    if problems:
        return "", problems
    try:
        check(at, root=config.root)
    except CannotDivideError as error:
        return f"not kept where this command runs: {error}", []
    for controller in settings:
        if obstacle := lacks(at.folder, controller):
            return f"not kept where this command runs: {obstacle}", []
    return f"kept by a cgroup for each server in {at.folder}", []


def _problem(setting: str, obstacle: str) -> Problem:
    what, _, mend = obstacle.partition("; ")
    return Problem(setting.partition(" ")[0], what, Mend("do", mend))

"""Becoming a process that reads what people have written: settings and site files.

The spawner itself never does, since that takes Python modules of theirs, and any time.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from typing import TYPE_CHECKING, Final

from luisito.spawner import privileges

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from luisito.core.recipe import Recipe

_FIRST: Final = 3  # the number of the first descriptor that it gets


def become_reader(
    arguments: Sequence[str],
    descriptors: Sequence[int],
    cwd: str,
    parent: int,
    recipe: Recipe | None,
) -> None:
    """Be a module of ours, with our rights, in a forked child; never returns.

    Args:
        arguments: the module, and what comes first on its command line.
        descriptors: that it gets; their new numbers come last, -1 for those that are none.
        cwd: where Luisito was started.
        parent: what getppid() answers as long as the spawner lives.
        recipe: how Luisito was started: settings are loaded with the same environment.
    """
    try:
        privileges.drop_bounding_set()
        privileges.set_parent_death_signal(signal.SIGKILL)
        if os.getppid() != parent:
            return
        environ: Mapping[str, str] = os.environ
        if recipe is not None:
            environ = {**recipe.environ, "PYTHONPATH": os.pathsep.join(recipe.path)}
        os.chdir(cwd)
        # -P: what may be imported was said by PYTHONPATH, not by the working folder.
        argv = [sys.executable, "-P", "-m", *arguments, *map(str, _placed(descriptors))]
        os.execve(sys.executable, argv, environ)
    finally:
        os._exit(127)


def _placed(descriptors: Sequence[int]) -> list[int]:
    """Put descriptors in their places, and close all others."""
    last = _FIRST + len(descriptors)
    aside = [
        -1 if each < 0 else fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, last) for each in descriptors
    ]
    placed = [-1 if each < 0 else os.dup2(each, at) for at, each in enumerate(aside, _FIRST)]
    for at, number in enumerate(placed, _FIRST):
        if number < 0:
            os.closerange(at, at + 1)
    os.closerange(last, os.sysconf("SC_OPEN_MAX"))
    return placed

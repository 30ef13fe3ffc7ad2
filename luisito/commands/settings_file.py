"""Which settings file a command means, where it is not an argument of its own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import argparse

    from luisito.checks.report import Problem

HERE: Final = "settings.py"


class SettingsFile(NamedTuple):
    """A settings file.

    Attributes:
        path: of it.
        named: somebody has named it; else it is just here.
        problem: why it must not be run: it is Python, and another may have written it.
    """

    path: str
    named: bool
    problem: Problem | None


def settings_file(options: argparse.Namespace) -> SettingsFile | None:
    """Looks for it: that of --settings, else of $LUISITO_SETTINGS, else the one in this folder.

    Args:
        options: with --settings.

    Returns:
        What is found; None where nothing is named and none is here.
    """
    named = options.settings or os.environ.get("LUISITO_SETTINGS")
    if named:
        return SettingsFile(named, True, None)
    if not os.path.exists(HERE):
        return None
    from luisito.checks.files import exposed
    from luisito.checks.whom import present

    return SettingsFile(HERE, False, exposed(HERE, present()))

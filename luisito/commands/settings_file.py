"""Which settings file a command means, where it is not an argument of its own."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final, NamedTuple

from luisito.errors import SettingsError

if TYPE_CHECKING:
    import argparse

    from luisito.checks.report import Problem
    from luisito.settings import Source

HERE: Final = "settings.py"


class SettingsFile(NamedTuple):
    """A settings file.

    Attributes:
        path: of it.
        named: somebody has named it; else it is just here.
        problem: why it must not be run: it is Python, and another may have written it.
        text: what was judged, and is to be run; None where it is still to be read.
    """

    path: str
    named: bool
    problem: Problem | None
    text: bytes | None = None


def settings_file(options: argparse.Namespace) -> SettingsFile | None:
    """Looks for it: that of --settings, else of $LUISITO_SETTINGS, else the one in this folder.

    Args:
        options: with --settings.

    Returns:
        What is found; None where nothing is named and none is here.

    Raises:
        SettingsError: the one that is here cannot be read.
    """
    named = options.settings or os.environ.get("LUISITO_SETTINGS")
    if named:
        return SettingsFile(named, True, None)
    from luisito.checks.files import exposed
    from luisito.checks.report import Mend, Problem
    from luisito.checks.whom import present
    from luisito.settings import read

    try:
        # a FIFO that nobody writes is not waited for
        source: Source = read(HERE, flags=os.O_NOFOLLOW | os.O_NONBLOCK)
    except SettingsError as error:
        code = error.__cause__.errno if isinstance(error.__cause__, OSError) else None
        if code == errno.ENOENT:
            return None
        if code == errno.ELOOP:
            mend = Mend("do", "name the file itself: --settings FILE")
            what = "a symbolic link is followed only where it is named"
            return SettingsFile(HERE, False, Problem(os.path.abspath(HERE), what, mend))
        raise
    return SettingsFile(HERE, False, exposed(HERE, present(), source.status), source.text)

"""The %-words of a command and of ENV: which are misspelt, and whether any says the way in."""

from __future__ import annotations

import difflib
import re
import shlex
from typing import TYPE_CHECKING, Final

from luisito.checks.report import Mend, Problem
from luisito.core.template import NAMES, Template

if TYPE_CHECKING:
    from collections.abc import Iterator

    from luisito.settings import Settings

# Ours and %% first, so that what is left is passed on as it is.
_WORD: Final = re.compile(rf"%(?:%|{'|'.join(NAMES)}|([A-Z]{{2,}}))")
_WAYS: Final = frozenset({"PORT", "SOCKET", "FD"})


def misspelt(settings: Settings) -> list[Problem]:
    """Find words that are none of ours, but near to one; there may be any other, as of date(1)."""
    problems = []
    for setting, text in _texts(settings):
        for word in _WORD.findall(text):
            for meant in difflib.get_close_matches(word, NAMES, n=1):
                mend = Mend("do", f"did you mean %{meant}? If not, write %%{word}")
                problems.append(Problem(setting, f"%{word} is passed on as it is", mend))
    return problems


def way_in(settings: Settings, planned: str) -> str:
    """Add to where a server is reached that its templates do not say so.

    Args:
        settings: checked.
        planned: where it is reached.
    """
    used = {word for _, text in _texts(settings) for word in Template.text(text).words}
    return planned if used & _WAYS else f"{planned} (as no %PORT, %SOCKET or %FD is used)"


def _texts(settings: Settings) -> Iterator[tuple[str, str]]:
    """The names of settings, and the templates in them."""
    command = settings.cmd_tpl or ()
    for word in shlex.split(command) if isinstance(command, str) else command:
        yield "CMD_TPL", word
    for name, text in settings.env.items():
        yield f"ENV[{name!r}]", text

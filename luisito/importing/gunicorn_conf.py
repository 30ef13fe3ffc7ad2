"""gunicorn's configuration file: what its plain assignments say. It is Python, and is not run."""

from __future__ import annotations

import ast
import warnings
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT: Final = "gunicorn.conf.py"  # in the folder that it is started in
_OPTIONS: Final = ("-c", "--config")


def path_of(argv: Sequence[str]) -> str:
    """The file that a command of gunicorn's names, else the one that it looks for."""
    for at, word in enumerate(argv):
        name, equals, value = word.partition("=")
        if word in _OPTIONS and at + 1 < len(argv):
            return argv[at + 1].removeprefix("file:")
        if equals and name == "--config":
            return value.removeprefix("file:")
    return DEFAULT


def settings(text: str) -> dict[str, Any]:
    """The settings that are set to what is written out, by their names; others are left out."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about how it is written
            tree = ast.parse(text)
            found: dict[str, Any] = {}
            for one in tree.body:
                if isinstance(one, ast.Assign) and len(one.targets) == 1:
                    target = one.targets[0]
                    if isinstance(target, ast.Name):
                        found.pop(target.id, None)
                        try:
                            found[target.id] = ast.literal_eval(one.value)
                        except ValueError:  # it is worked out
                            continue
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    return found


def binds(found: dict[str, Any]) -> list[str]:
    """Where it listens by its settings."""
    said = found.get("bind")
    several = said if isinstance(said, list | tuple) else [said]
    return [part for one in several if isinstance(one, str) for part in one.split(",")]

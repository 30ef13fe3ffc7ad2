"""Finds waitress and uvicorn where Luisito is installed, for sites that have none of their own."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from .errors import UnusableError

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

# All that they need is written in Python, so that any version of it can take them.
_NAMES = frozenset({"waitress", "uvicorn", "click", "h11", "typing_extensions"})


class _Finder:
    """Finds these few in one folder; asked last of all."""

    def __init__(self, folder: str) -> None:
        self.lent = folder

    def find_spec(
        self, name: str, path: object = None, _target: object = None
    ) -> ModuleSpec | None:
        """See importlib.abc.MetaPathFinder."""
        if path is not None or name not in _NAMES:
            return None
        from importlib.machinery import PathFinder

        return PathFinder.find_spec(name, [self.lent])


def server(name: str, folder: str) -> None:
    """Import a server.

    Args:
        name: of its module.
        folder: where Luisito's own copy lies, or "".

    Raises:
        UnusableError: neither the site nor Luisito has it.
    """
    offer(folder)
    try:
        __import__(name)
    except ModuleNotFoundError as error:
        if error.name not in _NAMES:
            raise
        raise UnusableError(
            f"there is no {error.name}, neither for {sys.executable} nor beside Luisito; pip"
            f" install {name} into the site's virtual environment"
        ) from None


def offer(folder: str) -> None:
    """Have those in a folder found from now on, where nothing else has them."""
    if folder and not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder(folder))

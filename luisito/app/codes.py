"""Has the code of modules that only sites may execute at hand, so that no server has to read it.

Code is what a file says, whoever executes it, and never changes. A server that finds it here shares
its memory with all others, and saves the time that marshal takes.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder, SourceFileLoader
from typing import TYPE_CHECKING, Any

from .prefixes import is_inside
from .stale import stamp

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.machinery import ModuleSpec
    from types import CodeType


class Codes:
    """The code of modules, by the paths of their files; imports find it here once it is offered."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[object, CodeType]] = {}

    def __iter__(self) -> Iterator[CodeType]:
        return (code for _, code in self._known.values())

    def read(self, name: str) -> bool:
        """Read a module's code, as an import would, and execute nothing.

        Returns:
            Whether it is at hand now: it is a file's, of the environment, and can be read.
        """
        try:
            spec = _spec(name)
            loader = None if spec is None else spec.loader
            if type(loader) is not SourceFileLoader or not is_inside(loader.path):
                return False
            before = stamp(loader.path)
            code = loader.get_code(name)
        except Exception:  # noqa: BLE001 - it is the sites that may be told
            return False
        if code is None or before is None or stamp(loader.path) != before:
            return False
        self._known[loader.path] = before, code
        return True

    def offer(self) -> None:
        """Have imports of this process and its children take code from here."""
        known, get_code = self._known, SourceFileLoader.get_code

        def get(loader: Any, fullname: str) -> CodeType | None:  # noqa: ANN401 - or a subclass
            # One of another kind may make other code of the same file.
            if type(loader) is SourceFileLoader:
                before, code = known.get(loader.path, (None, None))
                if code is not None and stamp(loader.path) == before:
                    return code
            return get_code(loader, fullname)

        SourceFileLoader.get_code = get  # type: ignore[assignment,method-assign]


def _spec(name: str) -> ModuleSpec | None:
    """Find a module without importing the packages that it is in."""
    package = name.rpartition(".")[0]
    where = None
    if package:
        there = sys.modules.get(package)
        spec = _spec(package) if there is None else None
        where = (
            getattr(there, "__path__", None) if spec is None else spec.submodule_search_locations
        )
        if where is None:
            return None
    return PathFinder.find_spec(name, where)

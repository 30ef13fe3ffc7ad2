"""Notes which modules are looked for in vain while others are imported.

A site may have one of these in its folder, so that what has looked for it would be another there.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

_STANDARD = os.path.dirname(os.__file__) + "/"
_INSTALLED = ("/site-packages/", "/dist-packages/")


class Sought:
    """A finder that finds nothing; it is to be the last one.

    Attributes:
        names: what was looked for, but by the standard library, which knows of no site.
    """

    def __init__(self) -> None:
        self.names: set[str] = set()

    def __enter__(self) -> None:
        sys.meta_path.append(self)

    def __exit__(self, *_: object) -> None:
        sys.meta_path.remove(self)

    def find_spec(self, name: str, path: object = None, _target: object = None) -> None:
        """See importlib.abc.MetaPathFinder."""
        if path is None and not _asks_standard():
            self.names.add(name)


def _asks_standard() -> bool:
    """Whether the standard library imports something at this moment, as it does for Jython."""
    frame: FrameType | None = sys._getframe(2)  # noqa: SLF001 - inspect takes long to import
    while frame is not None:
        asks = frame.f_code.co_filename
        if not asks.startswith(("<frozen", f"{_STANDARD}importlib/")):
            return asks.startswith(_STANDARD) and not any(one in asks for one in _INSTALLED)
        frame = frame.f_back
    return True

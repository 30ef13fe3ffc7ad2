"""What belongs to an environment, rather than to one of the sites that use it."""

from __future__ import annotations

import os
import sys

_OURS = "luisito_app"


def folders() -> tuple[str, ...]:
    """The folders of the interpreter and of its environment, each with a slash behind."""
    found = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    found |= {os.path.realpath(folder) for folder in found}
    # Packages that Luisito lends lie elsewhere.
    found |= {
        folder for finder in sys.meta_path if (folder := getattr(finder, "lent", None)) is not None
    }
    return tuple(sorted(folder.rstrip("/") + "/" for folder in found))


def belongs(module: object) -> bool:
    """Tell whether other sites of the environment would import the very same module."""
    name = getattr(module, "__name__", "")
    spec = getattr(module, "__spec__", None)
    if spec is None or name.startswith(("__main__", _OURS)):
        return False
    origin = getattr(spec, "origin", None)
    if origin in ("built-in", "frozen"):
        return True
    return origin is not None and is_inside(origin)


def is_inside(path: str) -> bool:
    """Tell whether a file belongs to the environment."""
    path = os.path.abspath(path)
    site = os.getcwd().rstrip("/") + "/"
    # The site's folder may have its environment in it, or lie in a prefix as wide as /usr.
    return any(
        path.startswith(folder) and (folder.startswith(site) or not path.startswith(site))
        for folder in folders()
    )

"""What belongs to an environment, rather than to one of the sites that use it."""

from __future__ import annotations

import os
import sys
from types import ModuleType

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
    said = known(module)
    name, spec = said.get("__name__"), said.get("__spec__")
    if not isinstance(name, str) or spec is None or name.startswith(("__main__", _OURS)):
        return False
    origin = getattr(spec, "origin", None)
    if origin in ("built-in", "frozen"):
        return True
    return isinstance(origin, str) and is_inside(origin)


def known(module: object) -> dict[str, object]:
    """What a module has, of which nothing is executed: one that is lazy stays so.

    Anything may stand in sys.modules, and what is asked there for an attribute may do anything; of
    what is no module there is nothing to know.
    """
    if not issubclass(type(module), ModuleType):
        return {}
    has: dict[str, object] = object.__getattribute__(module, "__dict__")
    return has


def is_inside(path: str) -> bool:
    """Tell whether a file belongs to the environment."""
    path = os.path.abspath(path)
    site = os.getcwd().rstrip("/") + "/"
    # The site's folder may have its environment in it, or lie in a prefix as wide as /usr.
    return any(
        path.startswith(folder) and (folder.startswith(site) or not path.startswith(site))
        for folder in folders()
    )

"""Finds the app that MODULE:CALLABLE names."""

from __future__ import annotations

import sys

from . import kinds
from .errors import UnusableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

_USUAL = ("application", "app")


def load(written: str) -> tuple[Any, str]:
    """Imports an app, and calls what makes it.

    An exception in the app's own code goes through: its traceback belongs to who wrote that.

    Args:
        written: "shop.wsgi:application", "shop:create_app('live')", or a module alone.

    Returns:
        The app, and what it is: kinds.WSGI, ASGI2 or ASGI3.

    Raises:
        UnusableError: there is none.
    """
    name, colon, expression = written.partition(":")
    if not all(part.isidentifier() for part in name.split(".")) or (colon and not expression):
        raise UnusableError(f"{written!r}: is no module and callable; write shop.wsgi:application")
    module = import_module(name, written)
    attribute, call, _ = expression.partition("(")
    if not attribute:
        found = [usual for usual in _USUAL if hasattr(module, usual)]
        if not found:
            raise UnusableError(
                f"{written!r}: module {name} has neither application nor app; write {name}:NAME"
            )
        attribute = found[0]
    app: Any = module
    for part in attribute.strip().split("."):
        try:
            app = getattr(app, part)
        except AttributeError:
            raise UnusableError(_lacks(written, name, attribute.strip(), module)) from None
    if call:
        app = _made(app, expression, written)
    return judged(app, written)


def judged(app: Any, written: str) -> tuple[Any, str]:  # noqa: ANN401 - whatever a module has
    """What an object that was named is, once a factory has been called."""
    made = False
    while True:
        if app is None or not callable(app):
            what = f"is no app but {type(app).__name__}"
            what = f"returned no app but {type(app).__name__}" if made else what
            raise UnusableError(f"{written!r}: {what}; name a WSGI or ASGI app, or what makes one")
        kind = kinds.kind(app)
        if kind != kinds.FACTORY:
            return app, kind
        if made:
            raise UnusableError(f"{written!r}: makes what makes an app; name that")
        app, made = app(), True


def import_module(name: str, written: str) -> ModuleType:
    """Imports a module.

    Raises:
        UnusableError: there is no such module.
    """
    try:
        __import__(name)
    except ModuleNotFoundError as error:
        # Not one that the module itself imports.
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise UnusableError(
            f"{written!r}: no module {error.name!r} in {sys.path[0] or '.'} or elsewhere on"
            f" sys.path of {sys.executable}; mend the name, the folder or the virtual environment"
        ) from None
    return sys.modules[name]


def _lacks(written: str, name: str, attribute: str, module: ModuleType) -> str:
    near = [usual for usual in (*_USUAL, "create_app", "make_app") if hasattr(module, usual)]
    mend = f"write {name}:{near[0]}" if near else "mend the name"
    where = getattr(module, "__file__", None) or "a folder without __init__.py"
    return f"{written!r}: module {name} ({where}) has no {attribute}; {mend}"


def _made(factory: Any, expression: str, written: str) -> Any:  # noqa: ANN401 - as above
    """Calls a factory with the literals that are written behind it."""
    import ast

    try:
        call = ast.parse(expression.strip(), mode="eval").body
        if not isinstance(call, ast.Call):
            raise ValueError  # noqa: TRY004 - as literal_eval does
        args = [ast.literal_eval(one) for one in call.args]
        named = {one.arg or "**": ast.literal_eval(one.value) for one in call.keywords}
    except (SyntaxError, ValueError):
        raise UnusableError(
            f"{written!r}: only literals may be given to a factory; write create_app('live')"
        ) from None
    return factory(*args, **named)

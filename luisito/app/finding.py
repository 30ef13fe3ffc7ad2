"""Finds the application that a command line means, and tells what kind it is."""

from __future__ import annotations

import importlib
import os
import re
import sys
from typing import TYPE_CHECKING, Any

from .errors import UnusableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from .options import Options

    Application = Callable[..., Any]

_COROUTINE = 0x80  # inspect.CO_COROUTINE
_VARARGS = 0x04  # inspect.CO_VARARGS
_SETTINGS = "DJANGO_SETTINGS_MODULE"
_IN_MANAGE = re.compile(
    rb"""setdefault\(\s*['"]DJANGO_SETTINGS_MODULE['"]\s*,\s*['"]([A-Za-z0-9_.]+)['"]"""
)


def find(options: Options) -> Application:
    """Import what is to be served; return it."""
    if options.django:
        return _django(options.django)
    # As `python -m` has it: what lies where we are comes first.
    _put_first(os.getcwd())
    return _named(options.app)


def is_asgi(app: Application) -> bool:
    """Tell whether an application speaks ASGI (https://asgi.readthedocs.io/en/latest/specs/main.html)."""
    call = app if hasattr(app, "__code__") else getattr(app, "__call__", app)  # noqa: B004
    call = getattr(call, "__func__", call)
    while hasattr(call, "__wrapped__"):
        call = call.__wrapped__
    code = getattr(call, "__code__", None)
    return code is not None and bool(code.co_flags & _COROUTINE)


def _put_first(folder: str) -> None:
    if folder not in sys.path:
        sys.path.insert(0, folder)


def _named(name: str) -> Application:
    module, _, path = name.partition(":")
    call = path.endswith("()")
    path = path[:-2] if call else path
    if not module or not path:
        raise UnusableError(f"{name!r}: must be module:callable, such as shop.wsgi:application")
    found: Any = _module(module)
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise UnusableError(
                f"{name!r}: module {module} has no {part}; name the application there"
            ) from None
    if not callable(found):
        raise UnusableError(f"{name!r}: is no application, since it cannot be called")
    made: Application = found() if call or _makes_one(found) else found
    return made


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # What the application itself lacks is told by its own traceback.
        if error.name is None or not (name + ".").startswith(error.name + "."):
            raise
        raise UnusableError(
            f"there is no module {error.name} in {os.getcwd()}, nor in what {sys.executable} finds;"
            " mend its name, folder or virtualenv"
        ) from None


def _makes_one(found: Application) -> bool:
    """Tell whether a function takes nothing, so that it must be what makes the application."""
    code = getattr(found, "__code__", None)
    if code is None or code.co_flags & (_COROUTINE | _VARARGS):
        return False
    return bool(code.co_argcount <= len(getattr(found, "__defaults__", None) or ()))


def _django(folder: str) -> Application:
    folder = _project(os.path.abspath(folder))
    _put_first(folder)
    if not os.environ.get(_SETTINGS):
        os.environ[_SETTINGS] = _settings(folder)
    try:
        from django.conf import settings
    except ModuleNotFoundError as error:
        if error.name != "django":
            raise
        raise UnusableError(
            f"{sys.executable} has no Django: make a virtual environment in the project's folder"
            f" (python3 -m venv {folder}/.venv; {folder}/.venv/bin/pip install django), or name the"
            " one it has by virtualenv"
        ) from None
    try:
        name = settings.WSGI_APPLICATION
    except ModuleNotFoundError as error:
        module = os.environ[_SETTINGS]
        if error.name is None or not (module + ".").startswith(error.name + "."):
            raise
        raise UnusableError(
            f"there is no module {error.name} in {folder}, which {_SETTINGS} = {module} names"
        ) from None
    name = name or getattr(settings, "ASGI_APPLICATION", None)
    app: Application
    if name:
        module, _, attribute = name.rpartition(".")
        app = getattr(_module(module), attribute)
    else:
        from django.core.wsgi import get_wsgi_application

        app = get_wsgi_application()
    return app


def _project(folder: str) -> str:
    """The folder of a project's manage.py, which may be one below the one that was named."""
    if os.path.isfile(f"{folder}/manage.py"):
        return folder
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise UnusableError(f"django {folder!r}: {error.strerror}") from None
    found = [f"{folder}/{name}" for name in names if os.path.isfile(f"{folder}/{name}/manage.py")]
    if len(found) == 1:
        return found[0]
    why = "there are several manage.py below it" if found else "there is no manage.py in it"
    raise UnusableError(f"django {folder!r}: {why}; name the folder of the project's")


def _settings(folder: str) -> str:
    """The module of settings that manage.py names, without running it."""
    path = f"{folder}/manage.py"
    with open(path, "rb") as file:
        named = _IN_MANAGE.search(file.read(1 << 20))
    if named is None:
        raise UnusableError(f"{path}: names no {_SETTINGS}; set that in env")
    return named.group(1).decode()

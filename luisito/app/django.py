"""Finds a Django project and its app."""

from __future__ import annotations

import os
import sys

from . import kinds
from .errors import UnusableError
from .loading import import_module, judged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

VARIABLE = "DJANGO_SETTINGS_MODULE"
_ONLY_AST = 0x400  # ast.PyCF_ONLY_AST: nothing is executed, and ast need not be imported


def find(folder: str) -> str:
    """The folder of manage.py: the one that was named, or the only one below that has it.

    Raises:
        UnusableError: none has, or several have.
    """
    folder = os.path.abspath(folder)
    try:
        with os.scandir(folder) as entries:
            below = sorted(one.name for one in entries if one.is_dir())
    except OSError as error:
        raise UnusableError(
            f"--django {folder!r}: {error.strerror} (for uid {os.geteuid()}); write the folder of"
            " manage.py, which this user may read"
        ) from None
    if os.path.isfile(f"{folder}/manage.py"):
        return folder
    found = [name for name in below if os.path.isfile(f"{folder}/{name}/manage.py")]
    if len(found) == 1:
        return f"{folder}/{found[0]}"
    if found:
        what = f"it could be any of {', '.join(found)}"
        raise UnusableError(f"--django {folder!r}: {what}; write --django {folder}/{found[0]}")
    raise UnusableError(f"--django {folder!r}: no manage.py is there; write the folder that has it")


def settings_module(folder: str) -> str:
    """The settings of a project: DJANGO_SETTINGS_MODULE, what manage.py says, or settings.py.

    Args:
        folder: of manage.py.

    Raises:
        UnusableError: none is found, or several are.
    """
    said = os.environ.get(VARIABLE)
    if said:
        return said
    found = _named_by(f"{folder}/manage.py") or _lying_in(folder)
    if len(found) == 1:
        return found.pop()
    what = "manage.py names no settings module"
    if found:
        what = f"the settings could be any of {', '.join(sorted(found))}"
    mend = f'write env = {{ {VARIABLE} = "shop.settings" }} in the site file'
    raise UnusableError(f"--django {folder!r}: {what}; {mend}, or set that variable")


def _named_by(manage: str) -> set[str]:
    """What is written as DJANGO_SETTINGS_MODULE there, by setdefault() or an assignment."""
    try:
        with open(manage, "rb") as file:
            text = file.read()
        plain = _plainly(text)
        if plain:
            return {plain}
        tree = compile(text, manage, "exec", _ONLY_AST, dont_inherit=True)
    except (OSError, SyntaxError, ValueError):
        return set()
    values = [value for node in _nodes(tree) for value in _settings_of(node)]
    return {value for value in values if isinstance(value, str)}


def _plainly(text: bytes) -> str:
    """What is named where all is as django-admin writes it; "" where it is not.

    A syntax tree would take 200 kB of a forked server's own, and more time.
    """
    lines = [line for line in text.splitlines() if VARIABLE.encode() in line]
    line = lines[0].strip().decode("ascii", "replace") if len(lines) == 1 else ""
    for quote in ("'", '"'):
        head, tail = f"os.environ.setdefault({quote}{VARIABLE}{quote}, {quote}", f"{quote})"
        named = line[len(head) : -len(tail)]
        if line == head + named + tail and named.replace(".", "_").isidentifier():
            return named
    return ""


def _nodes(tree: object) -> Iterator[Any]:
    yield tree
    for name in getattr(tree, "_fields", ()):
        inner = getattr(tree, name, None)
        for one in inner if isinstance(inner, list) else (inner,):
            if hasattr(one, "_fields"):
                yield from _nodes(one)


def _settings_of(node: Any) -> list[object]:  # noqa: ANN401 - a node of _ast
    what = type(node).__name__
    if what == "Call" and len(node.args) == 2 and _is_variable(node.args[0]):
        return [getattr(node.args[1], "value", None)]
    if what == "Assign" and any(
        _is_variable(getattr(target, "slice", None)) for target in node.targets
    ):
        return [getattr(node.value, "value", None)]
    return []


def _is_variable(node: object) -> bool:
    return getattr(node, "value", None) == VARIABLE


def _lying_in(folder: str) -> set[str]:
    found = set()
    with os.scandir(folder) as entries:
        for one in entries:
            inner = f"{one.path}/settings"
            if one.name.isidentifier() and (
                os.path.isfile(f"{inner}.py") or os.path.isfile(f"{inner}/__init__.py")
            ):
                found.add(f"{one.name}.settings")
    return found


def load(folder: str) -> tuple[Any, str]:
    """Loads a project's app: its WSGI_APPLICATION; that of asgi.py where it has no other.

    Args:
        folder: of the project, or the one above.

    Returns:
        See loading.load.

    Raises:
        UnusableError: the project, its settings or Django are missing, or Django objects.
    """
    folder = find(folder)
    sys.path.insert(0, folder)
    module = os.environ[VARIABLE] = settings_module(folder)
    try:
        from django.conf import settings
        from django.core.exceptions import ImproperlyConfigured
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "django":
            raise
        raise UnusableError(
            f"{sys.executable} has no Django; name the virtual environment that has it"
            ' (virtualenv = "/srv/venv" in the site file), or make one:'
            f" python3 -m venv {folder}/.venv && {folder}/.venv/bin/pip install django"
        ) from None
    try:
        import_module(module, module)
        return _app(folder, module, settings)
    except ImproperlyConfigured as error:
        because = f" ({error.__cause__})" if error.__cause__ else ""
        words = " ".join(f"{error}{because}".split())
        raise UnusableError(f"{module}: {words}; mend the project's settings") from None


def _app(folder: str, module: str, settings: Any) -> tuple[Any, str]:  # noqa: ANN401 - Django's own
    wsgi, asgi = getattr(settings, "WSGI_APPLICATION", None), _asgi(folder, module, settings)
    written = wsgi or ""
    if wsgi and not _there(wsgi):
        written = ""
    if not written and asgi:
        written = asgi
    if written:
        name, _, attribute = written.rpartition(".")
        made = import_module(name, written)
        try:
            app = getattr(made, attribute)
        except AttributeError:
            key = "WSGI_APPLICATION" if written == wsgi else "ASGI_APPLICATION"
            raise UnusableError(
                f"{written!r}: module {name} has no {attribute}; mend {key} in {module}"
            ) from None
        return judged(app, written)
    from django.core.wsgi import get_wsgi_application

    return get_wsgi_application(), kinds.WSGI


def _asgi(folder: str, module: str, settings: Any) -> str:  # noqa: ANN401 - as above
    said = getattr(settings, "ASGI_APPLICATION", None)
    if said:
        return str(said)
    while module := module.rpartition(".")[0]:  # of shop.settings.live, shop has it
        if os.path.isfile(f"{folder}/{module.replace('.', '/')}/asgi.py"):
            return f"{module}.asgi.application"
    return ""


def _there(written: str) -> bool:
    """Whether the module of an app is there, that was written as a.b.application."""
    from importlib.util import find_spec

    try:
        return find_spec(written.rpartition(".")[0]) is not None
    except ModuleNotFoundError:
        return False

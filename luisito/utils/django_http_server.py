#!/usr/bin/env python3
"""Serves one Django project on one port, run by the interpreter of its site.

    python -m luisito.utils.django_http_server /srv/shop --port 8000
    python /opt/luisito/lib/.../luisito/utils/django_http_server.py /srv/shop --port 8000

It imports the standard library and Django only: nothing else of Luisito's need be installed there.
"""

from __future__ import annotations

import argparse
import ast
import glob
import importlib
import os
import pwd
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

if __package__:
    from luisito.utils.threaded_wsgi import Server
else:  # run by its path; the project need not find what lies beside it
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    from threaded_wsgi import Server  # type: ignore[import-not-found,no-redef]

    del sys.path[0]

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from wsgiref.types import WSGIApplication

_NAME = "django_http_server"
_VARIABLE = "DJANGO_SETTINGS_MODULE"


class UnusableError(Exception):
    """It cannot serve as it was told to; the message says why and the mend, in one line."""


# -- what it is told -----------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Says it in one line, without the usage before it."""
        self.exit(2, f"{self.prog}: {message.removeprefix('argument ')}; see --help\n")


def _number(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        # isascii, since isdigit takes the digits of every script
        if text.isascii() and text.isdigit() and low <= int(text) <= high:
            return int(text)
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number from {low} to {high}")

    return read


def _module(text: str) -> str:
    if all(part.isidentifier() for part in text.split(".")):
        return text
    raise argparse.ArgumentTypeError(
        f"{text!r} must be a module as Python imports it, such as project.settings"
    )


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog=_NAME, description="Serve a Django project.", allow_abbrev=False)
    ids = _number(0, 2**32 - 2)
    parser.add_argument("path", metavar="PATH", help="the project's folder, with manage.py")
    parser.add_argument("--host", default="127.0.0.1", help="to listen on (127.0.0.1)")
    parser.add_argument("--port", required=True, type=_number(1, 65535), help="to listen on")
    parser.add_argument(
        "--settings",
        type=_module,
        metavar="MODULE",
        help=f"default: ${_VARIABLE}, or what manage.py names, or the only settings.py",
    )
    parser.add_argument("--uid", type=ids, help="to run as; only root can change it")
    parser.add_argument("--gid", type=ids, help="to run as; default: the group of --uid")
    return parser


# -- who it is -----------------------------------------------------------------------------------


def become(uid: int | None, gid: int | None) -> None:
    """Gives up root for a user; does nothing where the process is that user already.

    Args:
        uid: None for the present one.
        gid: None for the present one, or that of the user in passwd.

    Raises:
        UnusableError: the process may not.
    """
    wanted = {"--uid": (uid, os.getuid()), "--gid": (gid, os.getgid())}
    differing = [name for name, (asked, present) in wanted.items() if asked not in (None, present)]
    if not differing:
        return
    if os.geteuid() != 0:
        option = differing[0]
        asked, present = wanted[option]
        raise UnusableError(
            f"{option} {asked}: this process has {present}, and only root can change it;"
            f" write {option} {present}, or remove it"
        )
    uid = os.getuid() if uid is None else uid
    entry = None
    with suppress(KeyError):
        entry = pwd.getpwuid(uid)
    if gid is None:
        if entry is None:
            raise UnusableError(
                f"--uid {uid}: is not in passwd, which would tell its group; add --gid"
            )
        gid = entry.pw_gid
    try:
        # In this order: whoever has changed the user may change no groups any more.
        os.setgroups([gid] if entry is None else os.getgrouplist(entry.pw_name, gid))
        os.setgid(gid)
        os.setuid(uid)
    except OSError as error:
        raise UnusableError(
            f"--uid {uid} --gid {gid}: cannot become that user: {error.strerror};"
            " give it CAP_SETUID and CAP_SETGID, or remove both options"
        ) from None


# -- what it serves ------------------------------------------------------------------------------


def find_settings(path: str) -> str:
    """Finds the one settings module of a project: what manage.py names, else by its file's name.

    Raises:
        UnusableError: there is none, or more than one.
    """
    found = _named_by(f"{path}/manage.py") or _lying_in(path)
    if len(found) == 1:
        return found.pop()
    problem = "no settings module was found there"
    if found:
        problem = f"it could be any of {', '.join(sorted(found))}"
    raise UnusableError(f"PATH {path!r}: {problem}; write --settings MODULE")


def _named_by(manage: str) -> set[str]:
    """What is written as DJANGO_SETTINGS_MODULE, by setdefault() or an assignment."""
    try:
        with open(manage, "rb") as file:
            tree = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError):
        return set()  # none, or one of Python 2
    found: list[ast.expr] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and len(node.args) == 2 and _is_variable(node.args[0]):
            found.append(node.args[1])
        elif isinstance(node, ast.Assign):
            subscripts = [target for target in node.targets if isinstance(target, ast.Subscript)]
            found += [node.value for target in subscripts if _is_variable(target.slice)]
    values = [node.value for node in found if isinstance(node, ast.Constant)]
    return {value for value in values if isinstance(value, str)}


def _is_variable(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == _VARIABLE


def _lying_in(path: str) -> set[str]:
    patterns = ("settings.py", "*/settings.py", "settings/__init__.py", "*/settings/__init__.py")
    files = [name for pattern in patterns for name in glob.glob(pattern, root_dir=path)]
    modules = {
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in files
    }
    return {module for module in modules if all(map(str.isidentifier, module.split(".")))}


def load(path: str, named: str | None) -> WSGIApplication:
    """Loads a project's WSGI application, with its static files where DEBUG is on.

    An exception in the project's own code goes through: its traceback belongs to who wrote that.

    Args:
        path: the project's folder, put before all others on sys.path.
        named: its settings module; None for $DJANGO_SETTINGS_MODULE, or the one that is found.

    Raises:
        UnusableError: the folder, the settings or Django are missing, or Django objects to them.
    """
    path = os.path.abspath(path)
    try:
        os.scandir(path).close()
    except OSError as error:
        raise UnusableError(
            f"PATH {path!r}: {error.strerror} (for uid {os.geteuid()}); write the folder that"
            " holds manage.py, which this user may read"
        ) from None
    module = named or os.environ.get(_VARIABLE) or find_settings(path)
    os.environ[_VARIABLE] = module
    sys.path.insert(0, path)
    try:
        import django
    except ModuleNotFoundError as error:
        if error.name != "django":
            raise
        raise UnusableError(
            f"{sys.executable} has no Django; run this by the site's own interpreter, such as"
            f" {path}/venv/bin/python"
        ) from None
    from django.core.exceptions import ImproperlyConfigured

    try:
        importlib.import_module(module)
        django.setup()
        return _application()
    except ImproperlyConfigured as error:
        because = f" ({error.__cause__})" if error.__cause__ else ""
        words = " ".join(f"{error}{because}".split())
        raise UnusableError(f"--settings {module}: {words}") from None
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise UnusableError(
            f"--settings {module}: no module {error.name!r} in {path} or elsewhere on sys.path;"
            " mend the name, or PATH"
        ) from None


def _application() -> WSGIApplication:
    from django.apps import apps
    from django.conf import settings
    from django.core.servers.basehttp import get_internal_wsgi_application

    application: WSGIApplication = get_internal_wsgi_application()
    if not (settings.DEBUG and apps.is_installed("django.contrib.staticfiles")):
        return application
    from django.contrib.staticfiles.handlers import StaticFilesHandler

    with_files: WSGIApplication = StaticFilesHandler(application)
    return with_files


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status.

    Args:
        argv: without the program's name; None for the process's own.
    """
    options = _parser().parse_args(argv)
    try:
        become(options.uid, options.gid)
        application = load(options.path, options.settings)
        server = _listen(options.host, options.port, application)
    except UnusableError as error:
        print(f"{_NAME}: {error}", file=sys.stderr)  # noqa: T201 - a command's error
        return 2
    server.serve()
    return 0


def _listen(host: str, port: int, application: WSGIApplication) -> Server:
    from django.core.handlers.wsgi import LimitedStream
    from django.db import connections

    try:
        # A thread has database connections of its own, and here it ends with the response.
        return Server((host, port), application, LimitedStream, connections.close_all)
    except OSError as error:
        raise UnusableError(
            f"--host {host} --port {port}: cannot listen there: {error.strerror};"
            " use an address of this machine and a free port"
        ) from None


if __name__ == "__main__":
    sys.exit(main())

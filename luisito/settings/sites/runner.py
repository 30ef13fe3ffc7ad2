"""Sites that say their Python application instead of a command: what runs them then."""

from __future__ import annotations

import os
import re
import sysconfig
from typing import TYPE_CHECKING, Any, Final

import luisito
from luisito.core.siteindex import PRELOAD
from luisito.core.template import WAYS, Template
from luisito.settings.sites.toml import assignment
from luisito.settings.values import Wrong

if TYPE_CHECKING:
    from collections.abc import Mapping

    from luisito.settings.sites.draft import Draft

INSTEAD: Final = ("command", "django", "app")
"""Keys of which a site has one."""

RUNNER: Final = "python"
MOST_THREADS: Final = 256
THREADS: Final = 4

BOOT: Final = os.path.join(os.path.dirname(os.path.abspath(luisito.__file__)), "app", "boot.py")
"""What the interpreter of a site is started with."""

_NAME: Final = "[A-Za-z_][A-Za-z0-9_]*"
_DOTTED: Final = rf"{_NAME}(\.{_NAME})*"
APP: Final = rf"{_DOTTED}:{_DOTTED}(\([^\0\n]*\))?"
MODULE: Final = _DOTTED
_app, _module = re.compile(APP).fullmatch, re.compile(MODULE).fullmatch


def app(value: object) -> str:
    """Where an application is found: a module, a colon and what it is called there."""
    must = "must be module:callable"
    if isinstance(value, str) and _app(value):
        return value
    if isinstance(value, str) and _module(value):
        raise Wrong(must, mend=f"{value}:application")
    raise Wrong(must, mend="shop.wsgi:application")


def runner(value: object) -> str:
    """What runs it."""
    if value == RUNNER:
        return RUNNER
    raise Wrong(f'must be "{RUNNER}"', mend=RUNNER)


def threads(value: object) -> int:
    """How many requests a server answers at once."""
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_THREADS:
        return value
    raise Wrong(f"must be a whole number from 1 to {MOST_THREADS}", mend=THREADS)


def preload(value: object) -> bool | tuple[str, ...]:
    """Whether a preloaded interpreter forks its server, or which modules that has as well."""
    if isinstance(value, bool):
        return value
    must = "must be true, false or a list of modules"
    if not isinstance(value, list):
        raise Wrong(must, mend=[value] if isinstance(value, str) and _module(value) else True)
    for index, name in enumerate(value):
        if not (isinstance(name, str) and _module(name)):
            raise Wrong("must be a module", item=f"[{index}]", value=name, mend="django.db")
    return tuple(value)


def settle(draft: Draft) -> None:
    """Puts a command into a draft that says an application instead.

    Raises:
        SiteFileError: it says two things, or what only counts for an application.
    """
    values = draft.values
    said = [key for key in INSTEAD if key in values]
    if len(said) > 1:
        raise draft.error((said[1],), f"must not stand beside {said[0]}, which says what runs, too")
    if "django" not in values and "app" not in values:
        for key in ("runner", "threads", "preload"):
            if key in values:
                must = "says nothing without django or app"
                raise draft.error((key,), must, assignment(("django",), "/srv/shop"))
        return
    for index, process in enumerate(values.get("process", ())):
        if process.name == PRELOAD:
            must = "must be another one, as the preloaded interpreter of a site has that name"
            raise draft.error(("process", index, "name"), must)
    if "django" in values:
        values.setdefault("folder", values["django"])
    values["command"] = _command(values)


def _command(values: Mapping[str, Any]) -> tuple[str, ...]:
    if "django" in values:
        what: tuple[str, ...] = ("--django", values["django"])
    else:
        what = (_plain(values["app"]),)
    count = str(values.get("processes", 1))
    threads = str(values.get("threads", THREADS))
    servers = _plain(sysconfig.get_path("purelib"))
    return ("python3", _plain(BOOT), "serve", *what, "--fd", "%FD", "--threads", threads,
            "--processes", count, "--servers", servers)  # fmt: skip


def interpreter(modules: object) -> tuple[str, ...]:
    """The command of the interpreter that forks servers.

    Args:
        modules: that it has beside those that are learned.
    """
    names = modules if isinstance(modules, tuple) else ()
    servers = _plain(sysconfig.get_path("purelib"))
    return ("python3", _plain(BOOT), "preload", "--servers", servers, *names)


def common(env: Mapping[str, str], *, runs: bool) -> dict[str, str]:
    """Variables of all sites, without those that tell a server to listen elsewhere than on %FD.

    Args:
        env: by their names.
        runs: it is for the runner; else all are left.
    """
    elsewhere = WAYS.keys() - {"FD"} if runs else set()
    return {name: text for name, text in env.items() if not Template.text(text).words & elsewhere}


def _plain(text: str) -> str:
    """A text as it stands in a template."""
    return text.replace("%", "%%")

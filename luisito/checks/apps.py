"""What a Python app lacks that Luisito is to run: its project or module, and what serves it.

Nothing of the app's is run for that: an interpreter is its tenant's.
"""

from __future__ import annotations

import glob
import os
import shutil
import sys
from typing import TYPE_CHECKING, Final

from luisito.app import django, options
from luisito.app.errors import UnusableError
from luisito.settings.sites.runner import BOOT
from luisito.spawner.users import StartRefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from luisito.app.options import Options
    from luisito.spawner.siteconfig import SiteConfig

_OWN: Final = ("lib/python3*/site-packages",)
_SYSTEM: Final = (
    *("/usr/lib/python3/dist-packages", "/usr/local/lib/python3*/dist-packages"),
    *("/usr/local/lib/python3*/site-packages", "/usr/lib/python3*/site-packages"),
)
_KNOWN: Final = ("distutils-precedence.pth", "_virtualenv.pth")  # which lead nowhere else
_WSGI, _ASGI = "waitress", "uvicorn"


def served(argv: list[str]) -> Options:
    """What Luisito's own command for an app serves."""
    return options.parse(argv[argv.index(BOOT) + 2 :])


def check(what: Options, config: SiteConfig, environ: Mapping[str, str]) -> None:
    """Look at an app as its server would; this process is the site's user, in its folder.

    Args:
        what: is served.
        config: of the site.
        environ: of its server.

    Raises:
        StartRefusedError: it could not be served.
    """
    config.check_virtualenv()
    place = _Place(config, environ)
    if what.django:
        _project(what.django, place, config, environ)
    else:
        _module(what.app.partition(":")[0], place)
    _server(what, place)


class _Place:
    """Where an interpreter looks for packages.

    Attributes:
        name: of the virtual environment, or of the interpreter without one.
        folder: where the site's own modules are.
        pip: the command that installs into that environment; "" without one.
    """

    def __init__(self, config: SiteConfig, environ: Mapping[str, str]) -> None:
        python = shutil.which("python3", path=environ.get("PATH")) or "python3"
        self._virtualenv = config.virtualenv
        self.name = config.virtualenv or python
        self.folder = config.folder("") or os.getcwd()
        self.pip = f"{self._virtualenv}/bin/pip" if self._virtualenv is not None else ""
        self._folders: list[str] | None = None  # it cannot be told
        if "PYTHONPATH" not in environ:
            self._folders = self._found(python)

    def _found(self, python: str) -> list[str] | None:
        patterns = list(_SYSTEM)
        if self._virtualenv is not None:
            patterns = [f"{glob.escape(self._virtualenv)}/{one}" for one in _OWN]
            try:
                with open(f"{self._virtualenv}/pyvenv.cfg", encoding="utf-8") as file:
                    said = file.read(1 << 16).lower().replace(" ", "")
            except (OSError, UnicodeDecodeError):
                return None
            if "include-system-site-packages=true" in said:
                patterns += _SYSTEM
        elif not os.path.realpath(python).startswith(("/usr/bin/", "/bin/")):
            return None  # one that somebody has made
        found = [folder for pattern in patterns for folder in glob.glob(pattern)]
        further = (one for folder in found for one in glob.glob(f"{glob.escape(folder)}/*.pth"))
        if not found or {os.path.basename(path) for path in further} - set(_KNOWN):
            return None
        return found

    def has(self, module: str) -> bool:
        """Whether a module is found; also where that cannot be told."""
        return self._folders is None or any(lies_in(one, module) for one in self._folders)


def lies_in(folder: str, module: str) -> bool:
    """Whether a module, or the package of that name, lies in a folder."""
    path = f"{folder}/{module.replace('.', '/')}"
    return os.path.isdir(path) or os.path.isfile(f"{path}.py") or bool(glob.glob(_compiled(path)))


def _compiled(path: str) -> str:
    return f"{glob.escape(path)}.*so"


def _project(project: str, place: _Place, config: SiteConfig, environ: Mapping[str, str]) -> None:
    try:
        found = django.find(project)
        if not environ.get(django.VARIABLE):
            django.settings_module(found)
    except UnusableError as error:
        raise StartRefusedError(_as_key(str(error))) from None
    if place.has("django"):
        return
    if place.pip:
        raise StartRefusedError(f"{place.name} has no Django; run {place.pip} install django")
    mend = f"run python3 -m venv {found}/.venv && {found}/.venv/bin/pip install django"
    raise StartRefusedError(
        f"{place.name} has no Django, and there is no .venv in {config.folder('') or found}; {mend}"
    )


def _as_key(message: str) -> str:
    return message.removeprefix("--django ").replace("write --django ", "write django = ")


def _module(name: str, place: _Place) -> None:
    first = name.partition(".")[0]
    if lies_in(place.folder, name) or first in sys.stdlib_module_names:
        return
    whole = os.path.isfile(f"{place.folder}/{first}/__init__.py")  # all of it is there
    if not whole and place.has(name):
        return
    below = sorted(
        one.path
        for one in os.scandir(place.folder)
        if one.is_dir() and not one.name.startswith(".") and lies_in(one.path, name)
    )
    mend = f"write folder = {below[0]!r}" if len(below) == 1 else "mend the name or the folder"
    where = place.folder if whole else f"{place.folder}, nor has {place.name} one"
    raise StartRefusedError(f"no module {name!r} is in {where}; {mend}")


def _server(what: Options, place: _Place) -> None:
    """Look for what serves the app; which of both that is, is only sure when it has been loaded."""
    name = what.app.partition(":")[0].rpartition(".")[2]
    needed = {"wsgi": [_WSGI], "asgi": [_ASGI]}.get(name, [_WSGI, _ASGI])
    if any(place.has(one) or (what.servers and lies_in(what.servers, one)) for one in needed):
        return
    has_no = f"has no {needed[0]}" if len(needed) == 1 else "has neither waitress nor uvicorn"
    mend = f"run {place.pip} install {needed[0]}" if place.pip else "install luisito[app]"
    raise StartRefusedError(f"{place.name} {has_no}, nor has Luisito; {mend}")

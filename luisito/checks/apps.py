"""What a Python app lacks that Luisito is to run: its project, and the packages that serve it.

Nothing of the app's is run for that: an interpreter is its tenant's.
"""

from __future__ import annotations

import glob
import os
import shutil
from typing import TYPE_CHECKING, Final

from luisito.app import django
from luisito.app.errors import UnusableError
from luisito.spawner.users import StartRefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from luisito.spawner.siteconfig import SiteConfig

_OWN: Final = ("lib/python3*/site-packages",)
_SYSTEM: Final = (
    *("/usr/lib/python3/dist-packages", "/usr/local/lib/python3*/dist-packages"),
    *("/usr/local/lib/python3*/site-packages", "/usr/lib/python3*/site-packages"),
)
_KNOWN: Final = ("distutils-precedence.pth",)  # which leads nowhere else


def server(words: list[str]) -> str:
    """The folder of the Django project that Luisito's own command serves; "" without one."""
    return words[words.index("--django") + 1] if "--django" in words else ""


def check(project: str, config: SiteConfig, environ: Mapping[str, str]) -> None:
    """Look at a project as its server would; this process is the site's user, in its folder.

    Args:
        project: the folder that `django` says.
        config: of the site.
        environ: of its server.

    Raises:
        StartRefusedError: it could not be served.
    """
    config.check_virtualenv()
    try:
        found = django.find(project)
        if not environ.get(django.VARIABLE):
            django.settings_module(found)
    except UnusableError as error:
        raise StartRefusedError(_as_key(str(error))) from None
    python = shutil.which("python3", path=environ.get("PATH")) or "python3"
    if "PYTHONPATH" in environ or _has("django", config.virtualenv, python):
        return
    if config.virtualenv is not None:
        mend = f"run {config.virtualenv}/bin/pip install django"
        raise StartRefusedError(f"{config.virtualenv} has no Django; {mend}")
    mend = f"run python3 -m venv {found}/.venv && {found}/.venv/bin/pip install django"
    raise StartRefusedError(
        f"{python} has no Django, and there is no .venv in {config.folder('') or found}; {mend}"
    )


def _as_key(message: str) -> str:
    return message.removeprefix("--django ").replace("write --django ", "write django = ")


def _has(package: str, virtualenv: str | None, python: str) -> bool:
    """Whether a package is where an interpreter looks; also where that cannot be told."""
    patterns = list(_SYSTEM)
    if virtualenv is not None:
        patterns = [f"{glob.escape(virtualenv)}/{one}" for one in _OWN]
        try:
            with open(f"{virtualenv}/pyvenv.cfg", encoding="utf-8") as file:
                said = file.read(1 << 16).lower().replace(" ", "")
        except (OSError, UnicodeDecodeError):
            return True
        if "include-system-site-packages=true" in said:
            patterns += _SYSTEM
    elif not os.path.realpath(python).startswith(("/usr/bin/", "/bin/")):
        return True  # one that somebody has made
    folders = [folder for pattern in patterns for folder in glob.glob(pattern)]
    return not folders or any(
        os.path.isdir(f"{folder}/{package}")
        or {os.path.basename(path) for path in glob.glob(f"{glob.escape(folder)}/*.pth")}
        - set(_KNOWN)
        for folder in folders
    )

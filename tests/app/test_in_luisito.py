"""A project of `django-admin startproject` that a site file names, and nothing else."""

import os
import subprocess
import sys
import sysconfig
import venv

from tests.harness import processes
from tests.integration.test_sites import Sites


def test_a_folder_is_all_that_is_said(serve):
    """Its virtual environment is found there, and its interpreter has no waitress of its own."""
    served = Sites(serve, {})
    folder = served.path.parent / "shop"
    folder.mkdir()
    command = [sys.executable, "-m", "django", "startproject", "shop", str(folder)]
    subprocess.run(command, check=True)
    venv.create(folder / ".venv", with_pip=False, symlinks=True)
    site = folder / ".venv" / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
    for name in ("django", "asgiref", "sqlparse"):
        (site / name).symlink_to(f"{sysconfig.get_path('purelib')}/{name}")
    user = "" if os.getuid() else 'user = "games"\n'  # or the folder would have to be somebody's
    served.write("shop.localhost", f'django = "{folder}"\n{user}', command="")
    processes.until(lambda: served.status("shop.localhost", "/") == 200, 20, "the site")
    response = served.server.request("/", host="shop.localhost")
    assert b"The install worked successfully" in response.body

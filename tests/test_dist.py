"""The source distribution and the wheel: built as `make dist` does, installed where nothing is."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from luisito.spawner import starter
from tests.harness import client, processes
from tests.harness.server import free_port

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder with both, built from what the repository has."""
    folder = tmp_path_factory.mktemp("dist")
    source = folder / "source"
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if tracked.returncode:
        pytest.skip("this is no repository: what is to be built cannot be told from what was")
    for name in filter(None, tracked.stdout.split("\0")):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # removed, and not committed yet
            shutil.copy2(ROOT / name, source / name)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "dist"


def test_the_source_distribution_has_all(built):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "CHANGELOG.md", "LICENSE.txt", "Makefile", "README.md", "luisito.tac",
        "settings.py.example", "setup.cfg", "pyproject.toml", ".ci/run", "docs/settings.md",
        "examples/static.localhost/run", "bench/__main__.py", "tests/conftest.py",
        "twisted/plugins/luisito_plugin.py", "luisito/spawner/main.py",
    } <= names  # fmt: skip
    assert not [name for name in names if name.endswith((".pyc", ".sqlite3"))]


def test_the_wheel_has_the_packages_and_nothing_else(built):
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
        metadata = next(name for name in archive.namelist() if name.endswith("/METADATA"))
        licence = rb"(?m)^License(-Expression)?: GPL-3\.0-or-later$"
        assert re.search(licence, archive.read(metadata))
    assert {top for top in tops if not top.endswith(".dist-info")} == {"luisito", "twisted"}


def test_it_runs_where_it_was_installed(built, tmp_path):
    """twist finds the plugin, and the spawner its own files."""
    (wheel,) = built.glob("*.whl")
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    bin_ = tmp_path / "venv" / "bin"
    site = tmp_path / "venv" / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
    # What it depends on is taken from where the tests run, since there may be no network: a path
    # in a .pth adds no .pth of its own, and so not the checkout.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = [sys.executable, "-m", "pip", f"--python={bin_ / 'python'}", "install", "--no-deps"]
    subprocess.run([*install, "--no-index", "--quiet", wheel], check=True)
    where = subprocess.run(
        [bin_ / "python", "-c", "import luisito; print(luisito.__file__)"],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert where.stdout.startswith(str(site))
    program = os.path.relpath(starter.PROGRAM, ROOT)
    assert os.access(site / program, os.X_OK) == starter.is_built()  # by the same compiler, if any
    plugins = subprocess.run(
        [bin_ / "python", "-m", "twisted", "--help"],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert "luisito" in plugins.stdout

    port = free_port()
    command = [
        bin_ / "luisito", "run", "--listen", f"tcp:{port}:interface=127.0.0.1", "--",
        sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "%PORT",
    ]  # fmt: skip
    with subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PATH": f"{bin_}:{os.environ['PATH']}"},
    ) as process:  # fmt: skip
        try:

            def answered():
                try:
                    with client.Client(("127.0.0.1", port)) as connection:
                        return connection.request("/").status
                except ConnectionRefusedError:
                    return process.poll() is not None

            assert processes.until(answered, 20) == 200
        finally:
            process.send_signal(signal.SIGTERM)
            said = process.stderr.read()
            print(said)
    assert process.returncode == 0, said
    assert "Traceback" not in said

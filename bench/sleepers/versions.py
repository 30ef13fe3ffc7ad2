"""Ten sites on three versions of Django, in ten virtualenvs: each is to be answered by its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import TYPE_CHECKING

from bench.processes import BenchError
from bench.report import Row, Verdict
from bench.sleepers import sites
from bench.sleepers.cold import IDLE, await_interpreters, fallbacks
from bench.sleepers.sites import DJANGO
from bench.sleepers.ways import PRELOADED, counts, sleep

if TYPE_CHECKING:
    from bench.sleepers.sites import Site
    from bench.sleepers.ways import Way

VERSIONS = ("4.2", "5.1", "5.2")
_SITES = 10
# Each is woken so often; the first time there is no interpreter yet.
_ROUNDS = 3


def rows(folder: Path, way: Way) -> list[Row]:
    """The row for it.

    Raises:
        BenchError: a site was answered by another one's code, or Django could not be installed.
    """
    place = folder / "versions"
    place.mkdir()
    those = dict(_site(place, number) for number in range(_SITES))
    with way.serve(place, list(those), IDLE) as wakes:
        for number in range(_ROUNDS):
            for site, version in those.items():
                _, page = wakes.wake(site)
                if not page.version.startswith(f"{version}."):
                    raise BenchError(f"{site.name} has {page.version}, and not {version}")
            if not number:
                await_interpreters(wakes, list(those), _SITES)
            if number + 1 < _ROUNDS:
                for site in those:
                    sleep(wakes, site)
        forked, plain = (counts(wakes).get(key, 0) for key in ("preloaded", "plain"))
        fell = fallbacks(wakes)
    cell = f"all correct; {forked} starts forked, {plain} before there was an interpreter"
    return [
        Row(
            f"{_SITES} sites, Django {', '.join(VERSIONS)}, as many virtualenvs",
            {PRELOADED: cell},
            [Verdict(fell, 0, " fallbacks")],
        )
    ]


def _site(folder: Path, number: int) -> tuple[Site, str]:
    """A site in a virtualenv of its own, and its version of Django."""
    version = VERSIONS[number % len(VERSIONS)]
    home = _kept() / f"site{number}"
    python = home / "bin/python"
    if not (home / "whole").exists():
        shutil.rmtree(home, ignore_errors=True)
        venv.create(home, symlinks=True)
        packages = next(home.glob("lib/python*/site-packages"))
        shutil.copytree(_django(version), packages, copy_function=os.link, dirs_exist_ok=True)
        (home / "whole").touch()
    return sites.make(folder, DJANGO, [f"version{number}.localhost"], python)[0], version


def _django(version: str) -> Path:
    """The folder of a Django, installed once."""
    folder = _kept() / f"django-{version}"
    if not folder.exists():
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        argv = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(partial)]
        argv += ["--disable-pip-version-check", f"Django~={version}.0"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchError(f"Django {version} cannot be installed: {done.stderr[-1000:]}")
        partial.rename(folder)
    return folder


def _kept() -> Path:
    """Where it is kept for the next run, until `make clean`."""
    folder = Path(sys.prefix) / "bench"
    folder.mkdir(exist_ok=True)
    return folder

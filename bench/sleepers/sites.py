"""Makes the sites: `django-admin startproject` and one view, or as small an app of Flask."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DJANGO, FLASK = "Django", "Flask"
COLLECT = "/collect"
"""The path where a site makes a full collection of garbage."""

APPS = {DJANGO: "shop.wsgi:application", FLASK: "shop:app"}
"""Where a WSGI server finds the application, from the site's folder."""

_PAGE = """\
<!doctype html>
<title>{{ name }}</title>
<p>{{ name }} is answered with version {{ version }}</p>
"""
_SAID = re.compile(rb"<p>(\S+) is answered with version (\S+)</p>")

_VIEWS = """\
import gc

import django
from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import render


def page(request):
    said = {"name": settings.SITE_NAME, "version": django.get_version()}
    return render(request, "page.html", said)


def collect(request):
    return HttpResponse(str(gc.collect()))
"""
_URLS = """\
from django.urls import path

from shop import views

urlpatterns = [path("", views.page), path("collect", views.collect)]
"""
_SETTINGS = """
DEBUG = False
ALLOWED_HOSTS = ["*"]
TEMPLATES[0]["DIRS"] = [BASE_DIR / "templates"]
SITE_NAME = {name!r}
"""
_FLASK = """\
import gc

import flask

app = flask.Flask(__name__)


@app.get("/")
def page():
    said = {{"name": {name!r}, "version": "any"}}
    return flask.render_template("page.html", **said)


@app.get("/collect")
def collect():
    return str(gc.collect())
"""


@dataclass(frozen=True)
class Site:
    """A site in a folder of its own, and the interpreter that runs it, of its virtualenv."""

    name: str
    kind: str
    folder: Path
    python: Path

    @property
    def virtualenv(self) -> Path:
        """The folder of its virtualenv."""
        return self.python.parent.parent


@dataclass(frozen=True)
class Said:
    """What a site's page says."""

    name: str
    version: str


def said(page: bytes) -> Said:
    """Read a page; ValueError if it is not one of ours."""
    found = _SAID.search(page)
    if found is None:
        raise ValueError(f"not a page of a site: {page[:200]!r}")
    return Said(found[1].decode(), found[2].decode())


def make(folder: Path, kind: str, names: Sequence[str], python: Path) -> list[Site]:
    """Sites of one kind and one virtualenv, below a folder.

    They belong to nobody where we are root: no site is served as root.

    Raises:
        CalledProcessError: django-admin of the virtualenv failed.
    """
    sites = [Site(name, kind, folder / name, python) for name in names]
    first = sites[0].folder
    for site in sites:
        if site.folder != first:
            shutil.copytree(first, site.folder)
        elif kind == DJANGO:
            _start_project(site)
        else:
            (site.folder / "templates").mkdir(parents=True)
        _fill(site)
        _give_away(site.folder)
    return sites


def _start_project(site: Site) -> None:
    site.folder.mkdir(parents=True)
    argv = [str(site.python), "-m", "django", "startproject", "shop", str(site.folder)]
    subprocess.run(argv, check=True, capture_output=True)
    (site.folder / "templates").mkdir()
    (site.folder / "shop/views.py").write_text(_VIEWS)
    (site.folder / "shop/urls.py").write_text(_URLS)
    settings = site.folder / "shop/settings.py"
    settings.rename(settings.with_name("generated.py"))


def _fill(site: Site) -> None:
    (site.folder / "templates/page.html").write_text(_PAGE)
    if site.kind == DJANGO:
        package = site.folder / "shop"
        text = (package / "generated.py").read_text() + _SETTINGS.format(name=site.name)
        (package / "settings.py").write_text(text)
    else:
        (site.folder / "shop.py").write_text(_FLASK.format(name=site.name))
    module, _, name = APPS[site.kind].partition(":")
    # Passenger looks for the application there.
    text = f"from {module} import {name} as application\n"
    (site.folder / "passenger_wsgi.py").write_text(text)
    (site.folder / "public").mkdir(exist_ok=True)


def _give_away(folder: Path) -> None:
    if os.geteuid():
        return
    nobody = pwd.getpwnam("nobody")
    for path in (folder, *folder.rglob("*")):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)

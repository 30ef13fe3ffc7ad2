"""Where a Django project is, and which settings it has, without running any of it."""

import pytest

from luisito.app import django
from luisito.app.errors import UnusableError

MANAGE = 'import os\nprint(1 / 0)\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "{}.settings")\n'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.delenv(django.VARIABLE, raising=False)
    return tmp_path


def project(folder, name="shop", manage=MANAGE):
    (folder / name).mkdir(parents=True)
    (folder / "manage.py").write_text(manage.format(name))
    (folder / name / "settings.py").touch()
    return folder


def test_here_or_one_deeper(folder):
    project(folder / "inner")
    assert django.find(str(folder)) == str(folder / "inner")
    project(folder)
    assert django.find(str(folder)) == str(folder)


def test_none_and_several(folder):
    with pytest.raises(UnusableError, match=r"no manage\.py is there; write the folder"):
        django.find(str(folder))
    project(folder / "b")
    project(folder / "a")
    with pytest.raises(UnusableError, match=f"any of a, b; write --django {folder}/a"):
        django.find(str(folder))
    with pytest.raises(UnusableError, match="No such file or directory"):
        django.find(str(folder / "gone"))


@pytest.mark.parametrize(
    ("manage", "settings"),
    [
        (MANAGE, "shop.settings"),
        (MANAGE.replace('"', "'"), "shop.settings"),
        ('os.environ["DJANGO_SETTINGS_MODULE"] = "shop.live"', "shop.live"),
        ('os.environ.setdefault("DJANGO_SETTINGS_MODULE",\n  "shop.live")', "shop.live"),
        ('# os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.live")', "shop.settings"),
        ('# "DJANGO_SETTINGS_MODULE"\n' + MANAGE.replace("settings", "live"), "shop.live"),
        ('os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop." "live")', "shop.live"),
        ('os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop\\x2elive")', "shop.live"),
        ("nothing = 1", "shop.settings"),
        ("print 'of Python 2'", "shop.settings"),
    ],
)
def test_settings(folder, monkeypatch, manage, settings):
    project(folder, manage=manage)
    assert django.settings_module(str(folder)) == settings
    monkeypatch.setenv(django.VARIABLE, "other")
    assert django.settings_module(str(folder)) == "other"


def test_the_line_that_django_admin_writes_needs_no_syntax_tree(folder):
    no_python = 'this is = no Python\n    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "a.b")\n'
    project(folder, manage=no_python)
    assert django.settings_module(str(folder)) == "a.b"


def test_settings_that_nothing_names(folder):
    project(folder, manage="")
    (folder / "other").mkdir()
    (folder / "other" / "settings.py").touch()
    with pytest.raises(UnusableError, match=r"could be any of other\.settings, shop\.settings"):
        django.settings_module(str(folder))

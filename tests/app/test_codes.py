"""Code of modules that is read before servers execute it (luisito/app/codes.py)."""

from __future__ import annotations

import sys
from importlib import import_module, invalidate_caches
from importlib.machinery import SourceFileLoader
from typing import TYPE_CHECKING

import pytest

from luisito.app import codes
from luisito.app.codes import Codes

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of an environment, on sys.path; what is imported from it goes again."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(SourceFileLoader, "get_code", SourceFileLoader.get_code)
    monkeypatch.setattr(codes, "is_inside", lambda path: path.startswith(str(tmp_path)))
    monkeypatch.setattr(sys, "modules", sys.modules.copy())
    return tmp_path


@pytest.fixture
def known(folder: Path) -> Codes:
    found = Codes()
    found.offer()
    return found


def test_an_import_executes_the_code_that_was_read(known: Codes, folder: Path) -> None:
    (folder / "early.py").write_text("VALUE = []\ndef function(): pass\n")
    assert known.read("early")
    assert "early" not in sys.modules
    (code,) = known
    module = import_module("early")
    assert module.VALUE == []
    assert any(one is module.function.__code__ for one in code.co_consts)
    assert module.__file__ == str(folder / "early.py")


def test_a_package_that_may_not_be_imported_is_not(known: Codes, folder: Path) -> None:
    (folder / "outer").mkdir()
    (folder / "outer/__init__.py").write_text("raise AssertionError")
    (folder / "outer/inner.py").write_text("raise AssertionError")
    assert known.read("outer.inner")
    assert known.read("outer")
    assert not {"outer", "outer.inner"} & sys.modules.keys()


def test_a_file_that_has_changed_since_is_read_anew(known: Codes, folder: Path) -> None:
    (folder / "early.py").write_text("VALUE = 1")
    assert known.read("early")
    (folder / "early.py").write_text("VALUE = 'another'")
    assert import_module("early").VALUE == "another"


def test_one_that_changes_as_it_is_read_is_not_kept(
    known: Codes, folder: Path, monkeypatch
) -> None:
    path = folder / "early.py"
    path.write_text("VALUE = 1")
    compiled = SourceFileLoader.source_to_code

    def changes(self, *args, **more):
        path.write_text("VALUE = 'another'")
        return compiled(self, *args, **more)

    monkeypatch.setattr(SourceFileLoader, "source_to_code", changes)
    assert not known.read("early")
    assert list(known) == []


def test_another_loader_makes_code_of_its_own(known: Codes, folder: Path) -> None:
    (folder / "early.py").write_text("VALUE = 1")
    assert known.read("early")

    class Loader(SourceFileLoader):
        def source_to_code(self, data, path, **more):
            return super().source_to_code(b"VALUE = 2", path, **more)

    found: dict[str, int] = {}
    exec(Loader("early", str(folder / "early.py")).get_code("early"), found)
    assert found["VALUE"] == 2


@pytest.mark.parametrize(
    "name", ["there_is_none", "there_is_none.inner", "broken", "alone.inner", "zlib", "json"]
)
def test_what_cannot_be_read_is_left_to_imports(known: Codes, folder: Path, name: str) -> None:
    """None at all, no Python, in no package, of no file, outside the environment."""
    (folder / "broken.py").write_text("def")
    (folder / "alone.py").write_text("")
    invalidate_caches()
    assert not known.read(name)
    assert list(known) == []
    assert "alone" not in sys.modules

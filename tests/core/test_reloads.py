"""Which files matter, and when a look at them says that they have changed."""

import pytest

from luisito.core import reloads

A, B = (1, 1, 1), (2, 1, 1)


@pytest.mark.parametrize(
    ("path", "patterns", "is_code"),
    [
        ("app.py", ["*.py"], True),
        ("shop/models/app.py", ["*.py"], True),
        ("app.pyc", ["*.py"], False),
        ("conf/a.ini", ["conf/*.ini"], True),
        ("other/a.ini", ["conf/*.ini"], False),
        ("x/conf/a.ini", ["conf/*.ini"], False),
        ("a.ini", ["*.py", "*.ini"], True),
        ("app.py", [], False),
    ],
)
def test_patterns(path, patterns, is_code):
    assert reloads.is_code(path, patterns) is is_code


def test_folders_without_code_of_ones_own():
    assert [name for name in ("shop", ".git", "node_modules", "__pycache__", "venv", ".hidden")
            if reloads.is_entered(name)] == ["shop", "venv", ".hidden"]  # fmt: skip


def test_a_touch():
    assert reloads.touched({}, {}) == ""
    assert reloads.touched({}, {"restart.txt": A}) == "restart.txt"
    assert reloads.touched({"restart.txt": A}, {"restart.txt": A}) == ""
    assert reloads.touched({"restart.txt": A}, {"restart.txt": B}) == "restart.txt"
    assert reloads.touched({"restart.txt": A}, {}) == ""


def test_changed_code():
    assert reloads.changed({"a": A}, {"a": A}, whole=True) == ""
    assert reloads.changed({"a": A}, {"a": A, "b": A}, whole=True) == "b"
    assert reloads.changed({"a": A, "b": A}, {"b": A}, whole=True) == "a"
    assert reloads.changed({"a": A}, {"a": B}, whole=True) == "a"


def test_what_one_look_has_not_seen_has_not_changed():
    assert reloads.changed({"a": A, "b": A}, {"b": A, "c": A}, whole=False) == ""
    assert reloads.changed({"a": A, "b": A}, {"b": B, "c": A}, whole=False) == "b"


def test_a_large_folder_is_looked_at_less_often():
    assert reloads.pause(0.0) == reloads.pause(0.01) == 1.0
    assert reloads.pause(0.5) == pytest.approx(9.5)

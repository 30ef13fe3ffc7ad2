"""The way to a file, held against the kernel's where that can be told."""

import os

import pytest

from luisito.core.paths import Walk, walk

LINKS = {
    "/l": "/x/y",
    "/x/rel": "../z",
    "/x/y/up": "..",
    "/loop": "loop",
    "/x/slash": "/",
    "/n": "l/a",
}


@pytest.mark.parametrize(
    ("path", "folders", "end"),
    [
        ("/", (), "/"),
        ("/a", ("/",), "/a"),
        ("/a//b/./c/", ("/", "/a", "/a/b"), "/a/b/c"),
        ("/a/../b", ("/", "/a"), "/b"),
        ("/..", ("/",), "/"),
        ("/l/a", ("/", "/x", "/x/y"), "/x/y/a"),
        ("/x/rel/a", ("/", "/x", "/z"), "/z/a"),
        ("/l/up/b", ("/", "/x", "/x/y"), "/x/b"),
        ("/x/slash/a", ("/", "/x"), "/a"),
        ("/n", ("/", "/x", "/x/y"), "/x/y/a"),
        ("/loop", ("/",), ""),
    ],
)
def test_walk(path, folders, end):
    assert walk(path, LINKS.get) == Walk(folders, end)


def test_as_many_links_as_the_kernel_follows(tmp_path):
    (tmp_path / "0").touch()
    for number in range(1, 43):
        (tmp_path / str(number)).symlink_to(str(number - 1))

    def link(path):
        return os.readlink(path) if os.path.islink(path) else None

    for number in (1, 40, 41, 42):
        path = str(tmp_path / str(number))
        assert bool(walk(path, link).end) == os.path.exists(path), number

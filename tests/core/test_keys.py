"""What sites and mounts are known by."""

import pytest

from luisito.core.keys import file_of, is_path, key_of, site_of


@pytest.mark.parametrize(
    ("path", "right"),
    [
        ("/api", True), ("/a/b.c", True), ("/.well-known/x", True), ("/-_", True), ("", False),
        ("/", False), ("api", False), ("/api/", False), ("/a//b", False), ("/..", False),
        ("/./a", False), ("/a%20", False), ("/é", False), ("/a\n", False), ("/a~b", False),
    ],
)  # fmt: skip
def test_paths_that_a_mount_may_have(path, right):
    assert is_path(path) is right


def test_keys():
    assert key_of("a.x", "/api/v1") == "a.x/api/v1"
    assert [site_of(key) for key in ("a.x", "a.x/api/v1", "[::1]/api")] == ["a.x", "a.x", "[::1]"]
    assert file_of("a.x/api/v1") == "a.x~api~v1"

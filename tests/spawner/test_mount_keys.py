"""Keys of mounts in orders: taken where a mount may be meant, and nowhere else a path."""

import pytest

from luisito.spawner.checks import wrong_site


@pytest.mark.parametrize("site", ["a.x", "[::1]", "a.x/api", "[::1]/api/v1", "a.x/.well-known",
                                  "a.x#2", "[::1]#32", "a.x/api#9"])  # fmt: skip
def test_right(site):
    assert wrong_site(site, mounted=True) is None
    assert (wrong_site(site) is None) == ("/" not in site and "#" not in site)


@pytest.mark.parametrize(
    "site",
    [
        "A.x/api",
        "a.x/",
        "/api",
        "a.x/../b",
        "a.x/./b",
        "a.x//b",
        "a.x/b/",
        "a.x/%61",
        "a.x/a b",
        "a.x#",
        "a.x#1",
        "a.x#x",
        "a.x#2/api",
        "#2",
        "a.x#2#3",
        "a.x#222",
    ],
)
def test_wrong(site):
    assert wrong_site(site, mounted=True) is not None

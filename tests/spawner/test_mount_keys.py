"""Keys of mounts in orders: taken where a mount may be meant, and nowhere else a path."""

import pytest

from luisito.spawner.checks import wrong_site


@pytest.mark.parametrize("site", ["a.x", "[::1]", "a.x/api", "[::1]/api/v1", "a.x/.well-known"])
def test_right(site):
    assert wrong_site(site, mounted=True) is None
    assert (wrong_site(site) is None) == ("/" not in site)


@pytest.mark.parametrize(
    "site",
    ["A.x/api", "a.x/", "/api", "a.x/../b", "a.x/./b", "a.x//b", "a.x/b/", "a.x/%61", "a.x/a b"],
)
def test_wrong(site):
    assert wrong_site(site, mounted=True) is not None

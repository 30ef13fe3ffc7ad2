"""The name that somebody may have meant."""

from __future__ import annotations

import pytest

from luisito.core.nearest import Nearest


@pytest.mark.parametrize(
    ("name", "names", "best"),
    [
        ("shop.exmaple", ["blog.example", "shop.example", "chop.example"], "shop.example"),
        ("shop.example", ["shop.example"], None),
        ("shop.example", ["a.b", "xxxxxxxxxxxx"], None),
        ("shop.example", [], None),
        ("shop.example", ["shop1.example", "shop2.example"], "shop1.example"),
        ("shop.exmple", ["shop.example", "shop.examples"], "shop.example"),
        ("sohp.example", ["shop.example", "hops.example"], "shop.example"),
    ],
)
def test_the_most_alike_is_meant(name, names, best):
    nearest = Nearest(name)
    for each in names:
        nearest.look([each])
    assert nearest.best == best

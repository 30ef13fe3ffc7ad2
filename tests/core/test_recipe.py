import json

import pytest

from luisito.core.recipe import Recipe, decode_recipe, encode_recipe
from luisito.errors import WireError

RECIPE = Recipe(["/usr/bin/python3", "-c", "pass"], "/", {"A": "b \udcff"}, 0o22, True, ["/lib"])


def test_a_recipe_comes_back_as_it_was():
    assert decode_recipe(encode_recipe(RECIPE)) == RECIPE


@pytest.mark.parametrize(
    "changes",
    [
        {"argv": []},
        {"argv": ["a\0b"]},
        {"argv": [1]},
        {"argv": None},
        {"argv": "python3"},
        {"cwd": None},
        {"environ": {"A": 1}},
        {"environ": []},
        {"umask": "022"},
        {"umask": True},
        {"umask": -1},
        {"umask": 0o1000},
        {"foreground": 1},
        {"path": [None]},
        {"path": "/lib"},
        {"more": 1},
    ],
)
def test_anything_else_is_refused(changes):
    with pytest.raises(WireError, match="how it was started"):
        decode_recipe(json.dumps({**RECIPE._asdict(), **changes}).encode())


@pytest.mark.parametrize("data", [b"", b"\xff", b"null", b"[]", b"[" * 60000])
def test_what_is_no_json_is_refused(data):
    with pytest.raises(WireError):
        decode_recipe(data)

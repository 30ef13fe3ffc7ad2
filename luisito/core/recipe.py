"""How a network process was started, so that its successors can be started in the same way."""

from __future__ import annotations

import json
from typing import NamedTuple

from luisito.errors import WireError


class Recipe(NamedTuple):
    """What exec(2) and a shell would need.

    Attributes:
        argv: the interpreter, by which it is found too, and its arguments.
        cwd: the working folder.
        environ: the environment.
        umask: of the process.
        foreground: whoever started the first one waits for the end of that very process.
        path: where Python looks for modules.
    """

    argv: list[str]
    cwd: str
    environ: dict[str, str]
    umask: int
    foreground: bool
    path: list[str]


def encode_recipe(recipe: Recipe) -> bytes:
    """Write a recipe."""
    return json.dumps(recipe._asdict()).encode("ascii")


def decode_recipe(data: bytes) -> Recipe:
    """Read what `encode_recipe` wrote.

    Raises:
        WireError: it is something else.
    """
    try:
        recipe = Recipe(**json.loads(data))
        texts = [*recipe.argv, recipe.cwd, *recipe.environ, *recipe.environ.values(), *recipe.path]
        good = (
            type(recipe.argv) is type(recipe.path) is list
            and recipe.argv
            and type(recipe.umask) is int
            and 0 <= recipe.umask <= 0o777
            and type(recipe.foreground) is bool
            and all(type(text) is str and "\0" not in text for text in texts)
        )
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise WireError(f"how it was started cannot be read: {error}") from None
    if not good:
        raise WireError("how it was started cannot be read")
    return recipe

"""Which function answers a request of the control socket, by its method and path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    # with the request, and what stands for each word of the path in capitals; may be a coroutine
    Handler = Callable[..., Any]

_NOTHING: Final[dict[str, Route]] = {}


@attrs.frozen
class Route:
    """One resource, as it is asked for by one method.

    Attributes:
        method: of HTTP.
        path: its words; one in capitals stands for any: "/sites/SITE/stop".
        handler: is called with the request, and with what stands for each word in capitals; it may
            return a coroutine.
        for_all: it decides by itself who may; others are for operators.
    """

    method: str
    path: str
    handler: Handler
    for_all: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """The words of the path."""
        return tuple(self.path.strip("/").split("/"))


class Routes:
    """All of them.

    Args:
        routes: no two of one method and path.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        # by their words, a word in capitals being None
        self._by_words: dict[tuple[str | None, ...], dict[str, Route]] = {}
        for route in routes:
            words = tuple(None if word.isupper() else word for word in route.words)
            of_path = self._by_words.setdefault(words, {})
            if route.method in of_path:
                raise ValueError(f"two handlers for {route.method} {route.path}")
            of_path[route.method] = route

    def __iter__(self) -> Iterator[Route]:
        """All of them."""
        for of_path in self._by_words.values():
            yield from of_path.values()

    def find(self, path: Sequence[str]) -> dict[str, Route]:
        """Tell the routes of a path by their methods; none where there is no such resource."""
        exact = self._by_words.get(tuple(path))
        if exact is not None:
            return exact
        for words, of_path in self._by_words.items():
            if len(words) == len(path) and all(
                word in (None, given) for word, given in zip(words, path, strict=True)
            ):
                return of_path
        return _NOTHING


def arguments(route: Route, path: Sequence[str]) -> list[str]:
    """What stands for the words in capitals of a route's path."""
    return [given for word, given in zip(route.words, path, strict=True) if word.isupper()]

"""Tells WSGI from ASGI, and both from factories, by the signature of what is called.

As uvicorn (Config.load) and asgiref (compatibility) do: an app whose call is a coroutine function
is ASGI 3; a class whose instances are called so, or one that takes a scope alone, is ASGI 2. What
takes two arguments is WSGI, and what takes none makes the app.
"""

from __future__ import annotations

WSGI, ASGI2, ASGI3, FACTORY = "WSGI", "ASGI 2", "ASGI 3", "factory"

_COROUTINE = 0x80  # inspect.CO_COROUTINE, as to import that takes longer than all this
_ITERABLE = 0x100  # inspect.CO_ITERABLE_COROUTINE
_VARARGS = 0x04
_CALL = "__call__"
_MARKS = ("_is_coroutine_mark", "_is_coroutine_marker", "_is_coroutine")


def kind(app: object) -> str:
    """What a callable is: WSGI, ASGI2, ASGI3 or FACTORY."""
    if isinstance(app, type):
        made = _wanted(getattr(app, "__init__"), bound=1)  # noqa: B009 - as a class has it
        if _is_coroutine(getattr(app, _CALL, None)):
            return ASGI2 if made == 1 else FACTORY
        # One whose instances are responses takes environ and start_response.
        return _by_count(made)
    if _is_coroutine(app) or _is_coroutine(getattr(app, _CALL, None)):
        return ASGI3
    return _by_count(_wanted(app))


def _by_count(count: int) -> str:
    return {0: FACTORY, 1: ASGI2, 3: ASGI3}.get(count, WSGI)


def _plain(function: object) -> object:
    """What is behind methods, partial objects and decorators."""
    for _ in range(20):
        inner = (
            getattr(function, "__func__", None)
            or getattr(function, "__wrapped__", None)
            or (getattr(function, "func", None) if hasattr(function, "keywords") else None)
        )
        if inner is None:
            break
        function = inner
    return function


def _is_coroutine(function: object) -> bool:
    if any(getattr(function, mark, None) for mark in _MARKS):
        return True
    code = getattr(_plain(function), "__code__", None)
    return code is not None and bool(code.co_flags & (_COROUTINE | _ITERABLE))


def _wanted(function: object, bound: int = 0) -> int:
    """How many arguments must be given by position; 2, as WSGI has, where that cannot be told.

    Args:
        function: that is called.
        bound: how many of them are given before.
    """
    if function is object.__init__:
        return 0
    inner = getattr(function, "__func__", None)
    if inner is None and not hasattr(function, "__code__"):
        inner = getattr(getattr(function, _CALL, None), "__func__", None)
    if inner is not None:
        function, bound = inner, bound + 1
    if hasattr(function, "__wrapped__"):
        return _signature(function, bound)
    code = getattr(function, "__code__", None)
    if code is None:
        return _signature(function, bound)
    count = code.co_argcount - len(getattr(function, "__defaults__", None) or ()) - bound
    if code.co_flags & _VARARGS and count < 2:
        return 2
    return max(int(count), 0)


def _signature(function: object, bound: int) -> int:
    """As above, for what has no code of its own: partial objects, what C has written."""
    import inspect

    try:
        parameters = list(inspect.signature(function).parameters.values())  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return 2
    if any(one.kind is one.VAR_POSITIONAL for one in parameters):
        return 2
    wanted = [
        one
        for one in parameters
        if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) and one.default is one.empty
    ]
    return max(len(wanted) - bound, 0)

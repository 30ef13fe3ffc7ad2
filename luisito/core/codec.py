"""One message as one JSON object: written, and strictly read, as its class declares it.

A kind of message is a NamedTuple; a table names those that are understood. What is read has
exactly the fields of its kind, each of its type.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from luisito.errors import WireError

MAX_MESSAGE = 64 * 1024  # bytes; well below the default socket buffer (208 KiB)

Scalar = str | int | None

_Message = TypeVar("_Message", bound=tuple[object, ...])


def _is_int(value: object) -> bool:
    # A bool is an int to Python, not to us.
    return type(value) is int and 0 <= value < 2**63


def _is_str(value: object) -> bool:
    return type(value) is str


def _is_texts(value: object) -> bool:
    return type(value) is list and all(type(item) is str for item in value)


def _is_limits(value: object) -> bool:
    return value is None or (
        type(value) is dict
        and all(
            type(pair) is list and all(item is None or _is_int(item) for item in pair)
            for pair in value.values()
        )
    )


def _is_commands(value: object) -> bool:
    return value is None or (type(value) is dict and all(map(_is_texts, value.values())))


def _is_row(value: object) -> bool:
    return type(value) is dict and all(
        item is None or _is_str(item) or _is_int(item) for item in value.values()
    )


_CHECKS: dict[object, Callable[[object], bool]] = {
    int: _is_int,
    str: _is_str,
    bool: lambda value: type(value) is bool,
    bool | None: lambda value: value is None or type(value) is bool,
    int | None: lambda value: value is None or _is_int(value),
    str | None: lambda value: value is None or _is_str(value),
    str | int | None: lambda value: value is None or _is_str(value) or _is_int(value),
    list[str]: _is_texts,
    str | list[str] | None: lambda value: value is None or _is_str(value) or _is_texts(value),
    dict[str, list[int | None]] | None: _is_limits,
    dict[str, list[str]] | None: _is_commands,
    dict[str, str]: lambda value: type(value) is dict and all(map(_is_str, value.values())),
    list[dict[str, Scalar]]: lambda value: type(value) is list and all(map(_is_row, value)),
}


def encode(name: str, message: NamedTuple) -> bytes:
    """Write a message under its kind's name.

    Raises:
        WireError: it is too long.
    """
    data = json.dumps({"op": name, **message._asdict()}).encode("ascii")
    if len(data) > MAX_MESSAGE:
        raise WireError(f"{name} of {len(data)} bytes: at most {MAX_MESSAGE} can be sent")
    return data


def decode(data: bytes, table: Mapping[str, type[_Message]]) -> _Message:
    """Read a message.

    Args:
        data: as `encode` wrote it.
        table: the kinds that are understood, by name.

    Raises:
        WireError: it is not exactly one of these.
    """
    if len(data) > MAX_MESSAGE:
        raise WireError(f"a message of {len(data)} bytes: at most {MAX_MESSAGE} are read")
    try:
        fields: Any = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise WireError(f"a message is not JSON: {error}") from None
    if type(fields) is not dict:
        raise WireError(f"a message is {type(fields).__name__}, not an object")
    name = fields.pop("op", None)
    kind = table.get(name) if type(name) is str else None
    if kind is None:
        raise WireError(f"unknown message {name!r:.100}")
    types = kind.__annotations__
    if fields.keys() != types.keys():
        odd = sorted(fields.keys() ^ types.keys())
        raise WireError(f"{name}: fields missing or unknown: {', '.join(odd):.200}")
    for field, value in fields.items():
        if not _CHECKS[types[field]](value):
            raise WireError(f"{name}: {field} = {value!r:.100} is not {types[field]}")
    return kind(**fields)

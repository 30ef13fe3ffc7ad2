"""What processes say to each other: it is what `encode` would have written, or it is refused."""

import types
import typing
from collections.abc import Callable

from luisito.core import handover, recipe, wire
from luisito.errors import WireError

WORDS = (
    b'{"op": "start", "server": 1, "site": "a.example", "port": 20001}|{"op": "quit"}|'
    b'{"op": "signal", "server": 1, "signal": "TERM"}|{"op": "|"server": |"site": |"ask": |null|'
    b'true|false|[]|{}|1.5|1e9|NaN|-1|9223372036854775808|"|": |, |\\ud800|\\u0000|"x"|["x"]|'
    b'7 0 a.example|7 20001 a|configure|start|signal|folder|owns|log|own log|list|adopt|quit|'
    b'hello|spare|started|running|failed|exited|servers|adopted|refused|"argv": |'
    b'"env": |relay|serve|'
    b'held|want|granted|released|"lease": |"state": "ready"|"cwd": |"umask": |"foreground": true'
).split(b"|")  # fmt: skip


Message = tuple[object, ...]

_READERS = (
    (wire.decode_order, wire.encode),
    (wire.decode_fact, wire.encode),
    (handover.decode_told, handover.encode),
    (handover.decode_reply, handover.encode),
    (recipe.decode_recipe, recipe.encode_recipe),
    (wire.decode_start, wire.encode_start),
)


def run(data: bytes) -> None:
    understood(data)


def understood(data: bytes) -> bool:
    """As `run`; returns whether anybody takes it for a message."""
    found = [_read(data, decode, encode) for decode, encode in _READERS]
    return any(message is not None for message in found)


def _read(
    data: bytes, decode: Callable[[bytes], Message], encode: Callable[[Message], bytes]
) -> Message | None:
    try:
        message = decode(data)
    except WireError as refused:
        assert len(str(refused)) < 1000, str(refused)
        return None
    if decode is wire.decode_start:  # no JSON: whoever takes it looks at its numbers
        assert encode(message) == data, f"{message} is written in another way"
        return message
    kinds = typing.get_type_hints(type(message)).values()
    for value, kind in zip(message, kinds, strict=True):
        assert _is(value, kind), f"{value!r} is not {kind}: {message}"
    try:
        written = encode(message)
    except WireError as refused:  # escapes make it longer than it came
        assert "at most" in str(refused)
    else:
        assert decode(written) == message
    return message


def _is(value: object, kind: object) -> bool:
    """Whether a value has the type that is declared, by the letter of its annotation."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in {types.UnionType, typing.Union}:
        return any(_is(value, argument) for argument in arguments)
    if origin is list:
        return type(value) is list and all(_is(item, arguments[0]) for item in value)
    if origin is dict:
        return type(value) is dict and all(
            _is(key, arguments[0]) and _is(item, arguments[1]) for key, item in value.items()
        )
    if kind is int:
        return type(value) is int and 0 <= value < 2**63
    return type(value) is kind or (value is None and kind is type(None))

"""The spawner's wire format: a message is what `encode` would have written, or it is refused."""

import types
import typing

from luisito.core import wire
from luisito.errors import WireError

WORDS = (
    b'{"op": "start", "server": 1, "site": "a.example", "port": 20001}|{"op": "quit"}|'
    b'{"op": "signal", "server": 1, "signal": "TERM"}|{"op": "|"server": |"site": |"ask": |null|'
    b'true|false|[]|{}|1.5|1e9|NaN|-1|9223372036854775808|"|": |, |\\ud800|\\u0000|"x"|["x"]|'
    b'7 0 a.example|7 20001 a|configure|start|signal|folder|owns|log|own log|list|adopt|quit|'
    b'hello|spare|started|running|failed|exited|servers|adopted|refused|"argv": |"env": '
).split(b"|")  # fmt: skip


def run(data: bytes) -> None:
    for decode in (wire.decode_order, wire.decode_fact):
        try:
            message = decode(data)
        except WireError as refused:
            _check_refusal(refused)
            continue
        for value, kind in zip(message, type(message).__annotations__.values(), strict=True):
            assert _is(value, kind), f"{value!r} is not {kind}: {message}"
        try:
            again = decode(wire.encode(message))
        except WireError as refused:  # escapes make it longer than it came
            assert "at most" in str(refused)
        else:
            assert again == message
    try:
        start = wire.decode_start(data)
    except WireError as refused:
        _check_refusal(refused)
    else:
        written = wire.encode_start(start)
        assert written == data, f"{start} is written {written!r}"


def _check_refusal(refused: WireError) -> None:
    assert len(str(refused)) < 1000, str(refused)


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

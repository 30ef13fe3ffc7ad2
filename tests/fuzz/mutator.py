"""Changes inputs by what they consist of: lines, fields, words and pieces.

Of heads that were changed a byte at a time, nearly all are refused for the same few reasons, and
what is accepted is what has to be compared.
"""

import random
import re

from tests.fuzz.cuts import MARK

_parts = re.compile(rb"(\x1e\n|\r\n|[ \t,;:=/.\"{}\[\]]+)").split


def mutated(data: bytes, longest: int, seed: int, words: list[bytes]) -> bytes:
    """An input made of another one, at most `longest` bytes."""
    chance = random.Random(seed)
    parts = _parts(data)
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 5))):
        _change(parts, chance, words)
    return b"".join(parts)[:longest]


def _change(parts: list[bytes], chance: random.Random, words: list[bytes]) -> None:
    at, to = chance.randrange(len(parts)), chance.randrange(len(parts))
    what = chance.randrange(9)
    if what == 0:
        parts[at] = chance.choice(words)
    elif what == 1:
        parts.insert(at, chance.choice(words))
    elif what == 2:
        del parts[at : at + chance.choice((1, 1, 2, 4))]
        parts.append(b"")
    elif what == 3:
        begin, end = min(at, to), max(at, to) + 1
        parts[at:at] = parts[begin : min(end, begin + 8)]
    elif what == 4:
        parts[at], parts[to] = parts[to], parts[at]
    elif what == 5:
        parts[at] = parts[at].swapcase()
    elif what == 6:
        lines = [i for i, part in enumerate(parts, 1) if part[-1:] == b"\n"]
        parts.insert(chance.choice(lines or [0]), chance.choice(words))
    elif what == 7:
        cut = chance.randrange(len(parts[at]) + 1)
        parts[at] = parts[at][:cut] + MARK + parts[at][cut:]
    else:
        cut = chance.randrange(len(parts[at]) + 1)
        byte = chance.choice((b"\r", b"\n", b"\0", b"\t", b" ", b"\x80", b"\xff", b'"', b"\x0b"))
        parts[at] = parts[at][:cut] + byte + parts[at][cut:]

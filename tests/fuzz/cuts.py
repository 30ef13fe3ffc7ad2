"""How an input is cut into pieces: a mark stands between them, so that seeds stay readable."""

MARK = b"\x1e\n"


def pieces(data: bytes) -> list[bytes]:
    """The pieces of an input, none of them empty."""
    return [piece for piece in data.split(MARK) if piece]


def joined(*parts: bytes) -> bytes:
    """The input that has these pieces."""
    return MARK.join(parts)

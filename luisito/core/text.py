"""Text of whatever origin, made safe to show."""

from __future__ import annotations


def visible(text: str, kept: str = "") -> str:
    r"""Show what a terminal would obey, or nobody would see, as Python writes it (``\x1b``).

    Args:
        text: of whatever origin.
        kept: characters that stay as they are.
    """
    return "".join(c if c.isprintable() or c in kept else ascii(c)[1:-1] for c in text)

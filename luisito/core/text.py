"""Text and figures for people: text of whatever origin made safe to show, amounts of memory."""

from __future__ import annotations


def visible(text: str, kept: str = "") -> str:
    r"""Show what a terminal would obey, or nobody would see, as Python writes it (``\x1b``).

    Args:
        text: of whatever origin.
        kept: characters that stay as they are.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in kept else ascii(c)[1:-1] for c in text)


def mebibytes(size: int) -> str:
    """Tell an amount of memory in bytes to a person."""
    return f"{size / 2**20:,.0f} MiB"

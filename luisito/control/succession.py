"""What an operator may ask of a network process about whoever comes after it."""

from __future__ import annotations

from typing import Protocol


class Succession(Protocol):
    """Has this process replaced.

    Attributes:
        refusal: why the successor that was wanted last did not come; "" where none was refused.
    """

    refusal: str

    def replace(self) -> None:
        """Has a successor started, which reads the settings again."""

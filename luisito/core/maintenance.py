"""What is said of a site that is down for maintenance."""

from __future__ import annotations

from typing import Final, NamedTuple

STATUS: Final = 503  # RFC 9110 section 15.6.4
USUAL: Final = 300  # seconds
_WORDS: Final = "The site is down for maintenance. Please try again later."


class Closed(NamedTuple):
    """What who asks for such a site is told.

    Attributes:
        words: on the page.
        retry_after: seconds.
    """

    words: str
    retry_after: int


def closed(written: bool | int | str) -> Closed | None:
    """Read `maintenance`: true, the seconds of Retry-After, or words; None where a site is open."""
    if written is False:
        return None
    if isinstance(written, str):
        return Closed(written, USUAL)
    return Closed(_WORDS, USUAL if written is True else written)

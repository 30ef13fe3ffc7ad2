"""What only its holder can know: the token, and the sessions that it opens."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Final, NamedTuple

from cachetools import LRUCache

from luisito.core.bucket import Bucket

LIFETIME: Final = 12 * 3600
"""Seconds for which a session holds."""
FAILURES: Final = 3
"""Attempts a second of one user or address that fail, at most."""
_MOST: Final = 1000  # users and addresses whose failures are counted at a time


class Session(NamedTuple):
    """What a browser keeps of a session.

    A browser sends a cookie to every port of the machine's name, and so to the sites that are
    served there. The other half it gives to nobody but the page that put it away.

    Attributes:
        cookie: it sends this.
        key: the page sends this, in a header.
    """

    cookie: str
    key: str


class Secrets:
    """Judges tokens and sessions, in constant time.

    No session is remembered: each is signed with a key that is made of the token. So it holds on
    when another process serves, and ends when there is another token.

    Args:
        token: ADMIN_TOKEN; None where there is none, so that nothing is right.
    """

    def __init__(self, token: str | None) -> None:
        self.set = token is not None
        self._token = b"" if token is None else token.encode()
        self._failures: LRUCache[str, Bucket] = LRUCache(_MOST)

    def is_token(self, said: str) -> bool:
        """Whether it is the token."""
        return self.set and hmac.compare_digest(_hashed(said.encode()), _hashed(self._token))

    def session(self, now: float) -> Session:
        """Makes one.

        Args:
            now: seconds since the epoch.
        """
        told = f"{int(now) + LIFETIME}.{secrets.token_hex(16)}"
        return Session(f"{told}.{self._signed('cookie', told)}", self._signed("key", told))

    def is_session(self, cookie: str, key: str, now: float) -> bool:
        """Whether both are of one session that was made here, and holds still."""
        told, _, signature = cookie.rpartition(".")
        until, _, _ = told.partition(".")
        right = [
            hmac.compare_digest(_hashed(said.encode()), _hashed(self._signed(what, told).encode()))
            for what, said in (("cookie", signature), ("key", key))
        ]
        return self.set and all(right) and until.isdecimal() and now < int(until)

    def _signed(self, what: str, told: str) -> str:
        message = f"luisito {what} {told}".encode(errors="replace")
        return hmac.new(self._token, message, hashlib.sha256).hexdigest()

    def may_try(self, who: str, now: float) -> bool:
        """Whether so few attempts of somebody have failed that there may be another one.

        Args:
            who: a user, or an address.
            now: seconds of a monotonic clock.
        """
        bucket = self._failures.get(who)
        return bucket is None or bucket.take(0, now) == 0

    def failed(self, who: str, now: float) -> None:
        """One has failed; see `may_try`."""
        bucket = self._failures.get(who)
        if bucket is None:
            bucket = self._failures[who] = Bucket(FAILURES, now)
        bucket.take(1, now)


def _hashed(said: bytes) -> bytes:
    # of one length, so that the time to compare them tells nothing of it
    return hashlib.sha256(said).digest()

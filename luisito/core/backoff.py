"""How long a site that failed to start is left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
from attrs.validators import ge, gt

if TYPE_CHECKING:
    from collections.abc import Callable


@attrs.frozen
class BackOff:
    """Exponential back-off with jitter.

    The n-th failure in a row costs `base * factor ** (n - 1)` seconds, at most `cap`, of which the
    second half is random ("equal jitter" of the AWS Architecture Blog, "Exponential Backoff And
    Jitter", 2015): sites that failed together do not come back together, and a site is never
    retried at once.

    Attributes:
        base: seconds after the first failure.
        factor: by how much each further failure multiplies them.
        cap: the longest delay, in seconds.
        steady: a server that was ready for so many seconds wipes out its site's failures. Less does
            not, so that an app which crashes soon after its start keeps its count.
    """

    base: float = attrs.field(default=1.0, validator=gt(0))
    factor: float = attrs.field(default=2.0, validator=ge(1))
    cap: float = attrs.field(default=60.0, validator=gt(0))
    steady: float = attrs.field(default=30.0, validator=ge(0))

    @property
    def forget(self) -> float:
        """Seconds after the last failure when a site that nobody asks for is forgotten."""
        return 2 * self.cap

    def delay(self, failures: int, random: Callable[[], float]) -> float:
        """Tell how long to wait after a failure.

        Args:
            failures: how many in a row, this one included; at least 1.
            random: gives a number from 0 to 1.

        Returns:
            Seconds, between half of the full delay and all of it.
        """
        full = self.base
        for _ in range(failures - 1):
            if full >= self.cap or self.factor == 1:
                break
            full *= self.factor  # not `**`, which overflows after a thousand failures
        return min(full, self.cap) * (1 + random()) / 2

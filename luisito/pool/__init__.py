"""Carries out what the policy decides about servers and those who wait for one."""

from luisito.core.lease import Refused, Stream, Waiter
from luisito.pool.history import History
from luisito.pool.kept import KeptSites
from luisito.pool.lessor import Heir, Lessee, Lessor
from luisito.pool.pins import Pins
from luisito.pool.pool import Pool
from luisito.pool.recall import Recall
from luisito.pool.warmth import Warmth

__all__ = [
    "Heir", "History", "KeptSites", "Lessee", "Lessor", "Pins", "Pool", "Recall", "Refused",
    "Stream", "Waiter", "Warmth",
]  # fmt: skip

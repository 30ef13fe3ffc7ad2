"""Carries out what the policy decides about servers and those who wait for one."""

from luisito.core.lease import Refused, Stream, Waiter
from luisito.pool.kept import KeptSites
from luisito.pool.lessor import Heir, Lessee, Lessor
from luisito.pool.pool import Pool
from luisito.pool.warmth import Warmth

__all__ = [
    "Heir", "KeptSites", "Lessee", "Lessor", "Pool", "Refused", "Stream", "Waiter", "Warmth",
]  # fmt: skip

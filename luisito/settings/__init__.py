"""settings.py: read, checked whole, and handed on as one frozen value."""

from __future__ import annotations

from luisito.settings.addresses import Peers
from luisito.settings.load import from_mapping, load
from luisito.settings.table import Settings

__all__ = ["Peers", "Settings", "from_mapping", "load"]

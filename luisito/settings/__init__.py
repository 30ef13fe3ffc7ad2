"""settings.py: read, checked whole, and handed on as one frozen value."""

from __future__ import annotations

from luisito.settings.addresses import Peers
from luisito.settings.load import Source, from_mapping, load, read
from luisito.settings.table import Settings

__all__ = ["Peers", "Settings", "Source", "from_mapping", "load", "read"]

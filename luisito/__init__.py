"""Luisito: a reverse proxy that wakes each site's app server on demand."""

__version__ = "1.0.0.dev0"

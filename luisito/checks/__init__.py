"""Finds out what Luisito would do and what would go wrong; starts and opens nothing."""

"""Luisito under an hour of mixed traffic and faults: `python -m tests.soak`."""

"""What this package refuses to do."""


class UnusableError(Exception):
    """It cannot be run as it was said; the message says why and the mend, in one line."""

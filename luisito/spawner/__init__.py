"""The small, separate process that may be root: it starts and stops app servers, no more."""

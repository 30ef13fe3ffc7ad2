"""HTTP between clients and app servers, one exchange at a time."""

"""How many servers should be allowed: what access logs, or the running pool, say of that."""

"""Measures Luisito beside other proxies: `python -m bench --help`."""

"""Measures Luisito beside nginx, haproxy and ReverseProxyResource: `python -m bench`."""

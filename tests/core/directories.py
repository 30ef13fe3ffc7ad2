"""Public records of sites, and the terms of one that says nothing."""

from math import inf

from luisito.core.directory import Destination

USUAL = Destination(
    response_timeout=60.0,
    body_timeout=10.0,
    upstream_keepalive=4.0,
    upstream_max=inf,
    max_body_size=None,
    queue_limit=100,
    queue_timeout=45.0,
)


def record(site, **keys):
    return {
        "site": site,
        "aliases": [],
        "redirects": [],
        "hosts": [],
        "default": False,
        "way": "fd",
        "limits": {},
        "handed_socket": None,
        "keep": "demand",
        "restart": "always",
        "ready": "accept",
        "maintenance": False,
        "processes": [],
        "tenant": None,
        "path": f"/sites/{site}.toml",
        "digest": "",
        **keys,
    }

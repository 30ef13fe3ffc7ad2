"""Who a client is by what Luisito says of it, on the socket that it handed over."""

from __future__ import annotations

_LOCAL = ("127.", "::1")


def client(forwarded_for: str) -> str:
    """The client's address by X-Forwarded-For; "" where that says none.

    It is the last one, since each proxy adds whom it has heard: but a front on this machine is
    passed over, as Luisito trusts that (TRUSTED_PROXIES).
    """
    addresses = [one.strip() for one in forwarded_for.split(",")]
    for address in reversed(addresses):
        if not address.startswith(_LOCAL):
            return address
    return addresses[-1]


def scheme(forwarded_proto: str) -> str:
    """The scheme that the client came by, by X-Forwarded-Proto: "http" or "https"."""
    said = forwarded_proto.rpartition(",")[2].strip().lower()
    return "https" if said in ("https", "wss") else "http"

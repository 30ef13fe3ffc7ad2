"""Addresses of clients, as the kernel or a proxy tells them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network


def address(text: str) -> IPv4Address | IPv6Address:
    """Read an address; one that is mapped into IPv6 is the IPv4 address that it stands for.

    An IPv6 listener sees IPv4 clients as ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2).

    Raises:
        ValueError: it is none.
    """
    found = ip_address(text)
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found

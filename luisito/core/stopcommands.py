"""Which sites have a stop command that failed when it was run last."""

from __future__ import annotations


class StopCommands:
    """Remembers them until a server of the site is stopped without such a failure.

    Attributes:
        failures: why, by the keys of sites.
    """

    __slots__ = ("_servers", "failures")

    def __init__(self) -> None:
        self.failures: dict[str, str] = {}
        self._servers: dict[str, int] = {}

    def failed(self, site: str, server: int, why: str) -> None:
        """Hear that a command has failed.

        Args:
            site: whose it is.
            server: the number of the one that it was to stop.
            why: in words.
        """
        self.failures[site], self._servers[site] = why, server

    def ended(self, site: str, server: int) -> None:
        """Hear that a server has gone that was told to stop when it was ready."""
        if self._servers.get(site) != server:
            self.forget(site)

    def forget(self, site: str) -> None:
        """A site has gone, or its servers are stopped otherwise from now on."""
        self.failures.pop(site, None)
        self._servers.pop(site, None)

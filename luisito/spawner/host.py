"""Whom the network processes order, as far as these are concerned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from luisito.core import wire
    from luisito.core.wire import Order
    from luisito.spawner.config import Config
    from luisito.spawner.link import Link


class Host(Protocol):
    """Whom the network processes order."""

    def configured(self, link: Link, order: wire.Configure) -> None:
        """Check what a network process has told, note it and answer it.

        Raises:
            LuisitoError: it cannot be used.
        """

    def served_by(self, link: Link, config: Config) -> int:
        """From now on this one gives the orders; return the highest number of a server so far."""

    def served_by_none(self) -> None:
        """Whoever gave the orders has gone."""

    def last_words(self, words: str) -> None:
        """Say why everything ends, since nobody else can."""

    def obey(self, link: Link, order: Order, descriptors: list[int]) -> None:
        """Carry out an order of the one that serves; descriptors taken over leave the list.

        Raises:
            LuisitoError: it is refused.
        """

    def obey_any(
        self, link: Link, order: wire.AskLog | wire.AskTail | wire.AskOwnLog, config: Config
    ) -> None:
        """Carry out an order that each one may give once it has been configured."""

    def ask_config(self, link: Link, order: wire.AskConfig) -> None:
        """The same, of what counts for a site."""

    def ask_page(self, link: Link, order: wire.AskPage, config: Config) -> None:
        """Answer with a site's own waiting page, likewise."""

    def run_hook(self, link: Link, order: wire.RunHook, config: Config) -> None:
        """Run the command of a hook, and answer once it has ended, likewise."""

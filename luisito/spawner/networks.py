"""Network processes: who may say what, and how one follows the other."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from luisito.core import sdnotify, succession, wire
from luisito.core.succession import Succession
from luisito.errors import WireError
from luisito.spawner import channel, successor
from luisito.spawner.link import Link
from luisito.spawner.links import Links
from luisito.spawner.loading import Loading
from luisito.spawner.sites import Sites

if TYPE_CHECKING:
    import select
    import socket
    from collections.abc import Sequence

    from luisito.core.wire import Order
    from luisito.spawner.config import Config
    from luisito.spawner.containment import Containment
    from luisito.spawner.host import Host
    from luisito.spawner.successor import Remembered

_RELAYED = {
    signal.SIGTERM: "TERM",
    signal.SIGINT: "TERM",
    signal.SIGHUP: "HUP",
    signal.SIGUSR1: "USR1",
    signal.SIGUSR2: "USR2",
}

# What each network process may ask once it has been configured.
_Asked = (
    wire.AskLog
    | wire.AskTail
    | wire.AskOwnLog
    | wire.AskPage
    | wire.AskConfig
    | wire.AskSites
    | wire.RunHook
)


class Networks:
    """All network processes, at most one of which serves.

    Args:
        sock: the link to the first one.
        poller: where the links are registered.
        contained: what they must not live in.
        host: whom they order.

    Attributes:
        ended: the exit status, once everything is to end; None before.
        readable: see Links.
        pids: see there.
        pairs: the successor's ends of those with whom it follows; nobody else may keep them open.
        remembered: how the first one was started; None where it has not told.
    """

    def __init__(
        self, sock: socket.socket, poller: select.poll, contained: Containment, host: Host
    ) -> None:
        self._containment, self._host = contained, host
        self._links = Links(poller, self)
        self.readable, self.pids = self._links.readable, self._links.pids
        self._first = Link(sock)
        self._links.add(self._first)
        self._succession = Succession(self._first)
        self._listeners: dict[str, int] = {}  # where nobody serves: of the one that did last
        self.pairs: list[int] = []
        self._words = ""  # what has crashed
        self._former = Sites()  # where nobody serves: of the one that did last
        self._text = -1  # a memfd with the settings that were last in force
        self._yields = 0
        self._orphans = False  # some have made way for one that has crashed
        self._terminated = False  # whoever serves next is to be told of an end
        self._manager = contained.manager
        self.ended: int | None = None
        self.remembered: Remembered | None = None

    # -- events ----------------------------------------------------------------------------------
    def signalled(self, numbers: bytes) -> None:
        """Take signals that were sent to us, in the order of their coming."""
        for number in numbers:
            name = _RELAYED.get(signal.Signals(number))
            if name is not None:
                self._relay(name)

    def tick(self, now: float) -> None:
        """Do what is due."""
        self._carry_out(self._succession.tick(now))
        for loading in self._links.loadings():
            loading.tick(now)
        self._links.tick(now)

    def deadline(self) -> float | None:
        """Tell when tick is worth calling next."""
        looks = [loading.deadline() for loading in self._links.loadings()]
        due = [self._succession.deadline(), self._links.deadline(), *looks]
        return min((at for at in due if at is not None), default=None)

    def reaped(self, pid: int, code: int) -> bool:
        """Note the end of a process; tell whether it was one of ours, or one that reads for it."""
        loadings = self._links.loadings()
        return any(loading.reaped(pid, code) for loading in loadings) or self._links.reaped(
            pid, code
        )

    def others(self) -> set[int]:
        """List all children of ours that have to do with network processes."""
        return self.pids() | {loading.pid for loading in self._links.loadings()}

    def dismiss(self, codes: dict[int, int]) -> None:
        """Wait for their ends; but the first one may be waited for, and waits for us.

        Args:
            codes: how some of them have ended, by pid.
        """
        last = self._succession.serving
        pid = last.pid if isinstance(last, Link) else 0
        self._links.dismiss(self._first if self._foreground else None, codes)
        if codes.get(pid) and self.ended == 0:
            self.ended = 1  # it has failed at its very end

    @property
    def _foreground(self) -> bool:
        return self.remembered is None or self.remembered.recipe.foreground

    # -- orders ----------------------------------------------------------------------------------
    def ordered(self, link: Link, order: Order, descriptors: list[int]) -> None:
        """See Hearer."""
        now = time.monotonic()
        if isinstance(order, wire.Relay):
            self._relay(order.signal)
        elif isinstance(order, wire.CannotServe):
            link.message = order.message
        elif link.config is not None and isinstance(order, _Asked):
            self._asked(link, order, link.config)
        elif isinstance(order, wire.Yielded):
            self._carry_out(self._succession.yielded(link))
        elif isinstance(order, wire.Stopping) and link is self._succession.terminated():
            self._carry_out(self._succession.stops(link))
        elif isinstance(order, wire.Quit) and link is self._succession.terminated():
            self.end(min(order.status, 1))
        elif isinstance(order, wire.Notify) and link is self._succession.serving:
            if not sdnotify.may_be_said(order.words):
                raise WireError("notify: that is not for you to say")
            self._manager.say(order.words)
        elif isinstance(order, wire.Keep | wire.Drop) and link is self._succession.serving:
            wrong = link.keep_own(order, descriptors)
            if wrong is not None:
                raise WireError(wrong)
        elif link is self._succession.serving and not isinstance(
            order, wire.Remember | wire.AskListeners | wire.Configure | wire.Serve
        ):
            self._host.obey(link, order, descriptors)
        elif link.serving:
            raise WireError(f"{type(order).__name__}: not, or not any more, for you to say")
        else:
            self._begin(link, order, descriptors, now)

    def _asked(
        self,
        link: Link,
        order: _Asked,
        config: Config,
    ) -> None:
        """Answer what each one may ask once it has been configured."""
        if isinstance(order, wire.AskPage):
            self._host.ask_page(link, order, config)
        elif isinstance(order, wire.AskConfig):
            self._host.ask_config(link, order)
        elif isinstance(order, wire.RunHook):
            self._host.run_hook(link, order, config)
        elif not isinstance(order, wire.AskSites):
            self._host.obey_any(link, order, config)
        elif link.loading is None:
            raise WireError("look: SITES_DIR is not set")
        else:
            link.loading.look(order.ask)

    def _begin(self, link: Link, order: Order, descriptors: list[int], now: float) -> None:
        """Obey one that does not serve yet."""
        if isinstance(order, wire.Remember):
            if link is not self._first or self.remembered is not None:
                raise WireError("remember: only the first one says that, once")
            self.remembered = successor.remember(descriptors)
            environ = self.remembered.recipe.environ
            self._manager.address = sdnotify.address(environ.get("NOTIFY_SOCKET", ""))
        elif isinstance(order, wire.AskListeners):
            self._tell_listeners(link, order.ask)
        elif isinstance(order, wire.Keep):
            wrong = link.keep(order.name, descriptors)
            if wrong is not None:
                raise WireError(wrong)
        elif isinstance(order, wire.Configure):
            if link.config is not None:
                raise WireError("configured already, for good; send SIGHUP to change the settings")
            self._configure(link, order, descriptors)
        elif link.config is None:
            raise WireError("the first order must be configure")
        elif isinstance(order, wire.Serve):
            link.serving = True
            self._carry_out(self._succession.ready(link, now))
        else:
            raise WireError(f"{type(order).__name__}: say first that you could serve")

    def _configure(self, link: Link, order: wire.Configure, descriptors: list[int]) -> None:
        self._host.configured(link, order)
        if descriptors:
            link.text = descriptors.pop()
        if link.config is not None and link.config.sites_dir is not None:
            recipe = None if self.remembered is None else self.remembered.recipe
            parent = self._containment.parent
            former = self._former
            if isinstance(serving := self._succession.serving, Link) and serving.loading:
                former = serving.loading.sites
            link.loading = Loading(link.config, link.text, parent, recipe, former, link.send)

    def _tell_listeners(self, link: Link, ask: int) -> None:
        serving = self._succession.serving
        kept = list((serving.listeners if isinstance(serving, Link) else self._listeners).items())
        size = wire.LISTENERS_IN_A_MESSAGE
        for at in range(0, len(kept) or 1, size):
            part, more = kept[at : at + size], at + size < len(kept)
            fact = wire.Listeners(ask, [name for name, _ in part], more)
            link.send(fact, tuple(descriptor for _, descriptor in part))

    def _relay(self, name: str) -> None:
        if name in ("HUP", "USR2"):
            self._succession.asked(time.monotonic())
        elif name == "USR1":
            self._links.send(wire.Signalled(name))
        elif isinstance(whom := self._succession.terminated(), Link):
            # One that is still starting is told when it serves, and so is who follows this one.
            self._terminated = self._succession.yielding or not whom.serving
            if whom.serving:
                whom.send(wire.Signalled(name))
        elif self._links.yielded():
            self._terminated = True  # these still have something in flight, with servers
        else:
            self.end(0)

    # -- succession ------------------------------------------------------------------------------
    def lost(self, link: Link) -> None:
        """See Hearer."""
        if link is self._succession.serving:
            self._keep_of(link)
            if link.loading is not None:
                self._former.take_from(link.loading.sites)
            self._words = f"the network process has gone: {link.why()}"
            self._host.served_by_none()
        foreground = link is self._first and self._foreground and link.yielded
        link.close()
        if link.code and any(each.yielded < link.yielded for each in self._links.yielded()):
            self._orphans = True
            self._words = f"one by which others had their leases has crashed: {link.why()}"
            self._carry_out(self._succession.orphaned())
        self._carry_out(self._succession.lost(link, link.why(), time.monotonic()))
        if foreground and not self._succession.replaces and self.ended is None:
            self.end(1, "the process that was started in the foreground has gone")

    def _keep_of(self, link: Link) -> None:
        channel.close(list(self._listeners.values()))
        self._listeners, link.listeners = link.listeners, {}

    def _carry_out(self, orders: Sequence[succession.Order]) -> None:
        for order in orders:
            if isinstance(order, succession.Start):
                self._start(crashed=order.crashed)
            elif isinstance(order, succession.End):
                self.end(order.status, order.words)
            else:
                assert isinstance(order.link, Link)  # noqa: S101 - it knows no others
                self._tell(order, order.link)

    def _tell(
        self,
        order: succession.Yield | succession.Take | succession.NotReplaced | succession.Kill,
        link: Link,
    ) -> None:
        if isinstance(order, succession.Kill):
            if link is not self._first or not self._foreground:  # whose end would be that of all
                link.kill()
        elif isinstance(order, succession.NotReplaced):
            self._manager.say(["READY=1"])  # the reload is over
            link.send(wire.NotReplaced(order.message[: wire.MAX_TEXT]))
        elif isinstance(order, succession.Yield):
            self.pairs = [successor.to_yield(link)]
        else:
            self._take(link, order.before)

    def _take(self, link: Link, before: object) -> None:
        if isinstance(before, Link):
            self._yields += 1
            before.yielded = self._yields
            self._keep_of(before)
        if before is None or self._orphans:
            # One has crashed that may have been the successor of one of these.
            self._orphans = False
            left = [each for each in self._links.yielded() if each is not before]
            left = left[: wire.MAX_DESCRIPTORS - len(self.pairs)]
            self.pairs += [successor.to_yield(each) for each in left]
        channel.close(list(self._listeners.values()))
        self._listeners = {}
        if self._text >= 0:
            os.close(self._text)
        self._text, link.text = link.text, -1
        assert link.config is not None  # noqa: S101 - who could serve has been configured
        usual = "stop" if self._foreground else "replace"
        self._succession.replaces = (link.config.on_crash or usual) == "replace"
        last = self._host.served_by(link, link.config)
        words = self._words[: wire.MAX_TEXT]
        link.send(wire.Take(last, words, len(self.pairs)), tuple(self.pairs))
        channel.close(self.pairs)
        self.pairs, self._words = [], ""
        if self._terminated:
            self._terminated = False
            link.send(wire.Signalled("TERM"))

    def _start(self, *, crashed: bool) -> None:
        now = time.monotonic()
        if not crashed:
            self._manager.say(sdnotify.reloading(now))
        message = "how Luisito was started is not known"
        if self.remembered is not None:
            text = self._text if crashed else -1
            try:
                link = successor.start(self.remembered, text, self._containment)
            except OSError as error:
                message = f"cannot start a process: {error.strerror}"
            else:
                self._links.add(link)
                self._carry_out(self._succession.started(link, now))
                return
        self._carry_out(self._succession.not_started(message, now))

    def end(self, status: int, words: str = "") -> None:
        """Have everything end.

        Args:
            status: the exit status.
            words: why, for a person; "" where that was asked for, or is said elsewhere.
        """
        self.ended, self._links.deaf = status, True
        # At once, since the next Luisito may have been started already.
        channel.close(list(self._listeners.values()))
        self._listeners = {}
        self._links.listen_no_more()
        if words:
            self._host.last_words(f"{words}; everything ends")

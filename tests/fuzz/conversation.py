"""What clients and an app server do in a World, as the pieces of an input say it."""

import re

from tests.fuzz.world import Peer, World

_FILLER = 150_000  # bytes at most; half as many are worth a splice

_number = re.compile(rb"\d{1,6}").match


class Conversation:
    """Who speaks: the client that came last, and one of the app server's connections."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._client = world.connect()
        self._app = -1

    def act(self, parts: list[bytes]) -> None:
        for part in parts:
            action = ACTIONS.get(part[:1])
            if action is None:
                self._client.send(part)
            else:
                action(self, part[1:])
            self._world.settle()

    @property
    def app(self) -> Peer | None:
        apps = self._world.apps
        return apps[self._app % len(apps)] if apps else None

    def asks(self, rest: bytes) -> None:
        self._client.send(rest)

    def answers(self, rest: bytes) -> None:
        if self.app is not None:
            self.app.send(rest)

    def fills(self, rest: bytes) -> None:
        self.asks(b"x" * _count(rest))

    def app_fills(self, rest: bytes) -> None:
        self.answers(b"y" * _count(rest))

    def ends(self, rest: bytes) -> None:
        self._client.end()

    def app_ends(self, rest: bytes) -> None:
        if self.app is not None:
            self.app.end()

    def leaves(self, rest: bytes) -> None:
        self._client.close()

    def app_leaves(self, rest: bytes) -> None:
        if self.app is not None:
            self.app.close()

    def another(self, rest: bytes) -> None:
        if len(self._world.clients) < 5:
            self._client = self._world.connect()
        self.asks(rest)

    def other_app(self, rest: bytes) -> None:
        self._app -= 1
        self.answers(rest)

    def reads(self, rest: bytes) -> None:
        self._client.reading = not (self._client.reading or self._client.closed)

    def app_reads(self, rest: bytes) -> None:
        if self.app is not None:
            self.app.reading = not (self.app.reading or self.app.closed)

    def waits(self, rest: bytes) -> None:
        self._world.after(min(_count(rest), 9))

    def sleeps(self, rest: bytes) -> None:
        pool = self._world.pool
        if pool.awake:
            pool.awake = False
        else:
            pool.grant()

    def refuses(self, rest: bytes) -> None:
        self._world.pool.refuse(503, "no room", 1.0)

    def shuts(self, rest: bytes) -> None:
        self._world.door.shut = not self._world.door.shut


ACTIONS = {
    b">": Conversation.asks,  # the client sends the rest of the piece
    b"<": Conversation.answers,  # the app server sends it
    b"x": Conversation.fills,  # so many bytes from the client
    b"y": Conversation.app_fills,
    b"(": Conversation.ends,  # the client sends no more
    b")": Conversation.app_ends,
    b"[": Conversation.leaves,  # it closes its connection
    b"]": Conversation.app_leaves,
    b"p": Conversation.reads,  # it stops reading, or begins again
    b"q": Conversation.app_reads,
    b"+": Conversation.another,  # another client comes
    b"*": Conversation.other_app,  # another connection to the app server
    b"t": Conversation.waits,  # so many seconds go by
    b"g": Conversation.sleeps,  # the server goes to sleep, or becomes ready
    b"r": Conversation.refuses,  # whoever waits for it is refused
    b"d": Conversation.shuts,  # it takes no connection, or takes them again
}


def _count(text: bytes) -> int:
    found = _number(text)
    return 0 if found is None else min(int(found[0]), _FILLER)

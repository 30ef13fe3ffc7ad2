"""Questions to node, put together: an answer costs much, and many cost little more."""

import atexit
import shutil

from tests.fuzz.node import Node
from tests.fuzz.readers import Reading

MANY = 128


class Misread(AssertionError):
    """Node reads something otherwise.

    Attributes:
        data: the input that led to it, which need not be the one of now.
    """

    def __init__(self, data: bytes, connection: bytes, expected: object, reading: Reading) -> None:
        super().__init__(f"node reads {connection!r} as {reading}, and not as {expected}")
        self.data = data


class Aside:
    """What node is to be asked.

    Attributes:
        many: how many questions are put together.
    """

    def __init__(self) -> None:
        self.many = MANY
        self._node: Node | None = None
        self._there = shutil.which("node") is not None
        self._asked: list[tuple[bytes, bytes, list[tuple[object, ...]]]] = []

    def ask(self, data: bytes, connection: bytes, expected: list[tuple[object, ...]]) -> None:
        """Node has to read a connection as these requests, or refuse it before the first is whole.

        Args:
            data: the input that this is about.
            connection: the bytes that node gets.
            expected: (method, target), body and whether it is whole, of each request.
        """
        if self._there:
            self._asked.append((data, connection, expected))
            if len(self._asked) >= self.many:
                self.flush()

    def flush(self) -> None:
        """Asks.

        Raises:
            Misread: of the first one that node reads otherwise.
        """
        asked, self._asked = self._asked, []
        if not asked:
            return
        if self._node is None:
            self._node = Node()
            atexit.register(self._node.close)
        readings = self._node.requests([connection for _, connection, _ in asked])
        for (data, connection, expected), reading in zip(asked, readings, strict=True):
            found = [(m.first, m.body, m.whole) for m in reading.messages]
            if found != expected and (reading.whole or not reading.refused):
                raise Misread(data, connection, expected, reading)

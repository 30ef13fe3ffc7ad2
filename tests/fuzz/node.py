"""A third reader of requests: node's HTTP server, asked over a pipe, many at a time."""

import base64
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.fuzz.readers import Message, Reading


class Node:
    """A node process that reads requests; `close` ends it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            ["node", Path(__file__).with_suffix(".js")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def requests(self, connections: Sequence[bytes]) -> list[Reading]:
        """What it makes of what each of these connections sends before it ends."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        asked = [base64.b64encode(data).decode() for data in connections]
        process.stdin.write(json.dumps(asked).encode() + b"\n")
        process.stdin.flush()
        return [_reading(found) for found in json.loads(process.stdout.readline())]

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def _reading(found: dict[str, object]) -> Reading:
    messages = []
    for request in found["requests"]:
        flat = [text.encode("latin-1") for text in request["fields"]]
        names, values = flat[::2], flat[1::2]
        fields = tuple((n.lower(), v.strip(b" \t")) for n, v in zip(names, values, strict=True))
        first = tuple(text.encode("latin-1") for text in request["first"])
        body = request["body"].encode("latin-1")
        messages.append(Message(first, fields, body, request["whole"]))
    return Reading(messages, found["refused"])

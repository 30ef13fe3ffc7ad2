"""What is fuzzed: one module each, which has

- `run(data)`: raises an exception where what it tests is wrong about these bytes; that is a find;
- `WORDS`: what the mutator puts in;
- `from_message(kind, raw)`, where HTTP messages of others serve it: the input for one of them.
"""

import importlib
from types import ModuleType

NAMES = (
    "request_head",
    "request_body",
    "response",
    "proxy",
    "wire",
    "host",
    "template",
    "forwarded",
    "access",
)


def load(name: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{name}")

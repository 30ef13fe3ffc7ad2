"""The reader of WAKE: rules for requests that wake nothing (core.wakerules)."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any, Final

from luisito.core.request import METHODS
from luisito.core.wakerules import BARE, TEXT, Rule, may_answer
from luisito.settings.addresses import network
from luisito.settings.values import Wrong, shown

_MOST: Final = 200  # words of all rules; each costs time for each request that it might match
_LONGEST: Final = 2000  # characters of a text
_CONDITIONS: Final = ("user_agent", "path", "methods", "addresses")
_WORDS: Final = (*_CONDITIONS, "answer", "text")
_EXAMPLE: Final = {"user_agent": "UptimeRobot", "answer": 200}
_PATH: Final = "must be a path as clients send it, without a query, in which * may stand"

_STRINGS: Final = {
    "anyOf": [
        {"type": "string", "minLength": 1},
        {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
    ]
}
SCHEMA: Final[dict[str, Any]] = {
    "type": "array",
    "maxItems": _MOST,
    "items": {
        "type": "object",
        "additionalProperties": False,
        "anyOf": [{"required": [word]} for word in _CONDITIONS],
        "properties": {
            **dict.fromkeys(_CONDITIONS, _STRINGS),
            "answer": {"type": "integer", "minimum": 200, "maximum": 599},
            "text": {"type": "string", "maxLength": _LONGEST},
        },
    },
}
"""In JSON schema."""


def rules(value: object) -> tuple[Rule, ...]:
    """Rules for requests that wake nothing."""
    must = "must be a list of dicts"
    if isinstance(value, Mapping):
        raise Wrong(must, mend=[dict(value)])
    if not isinstance(value, list | tuple):
        raise Wrong(must, mend=[_EXAMPLE])
    found = tuple(_rule(f"[{index}]", rule) for index, rule in enumerate(value))
    if sum(map(_words, found)) > _MOST:
        raise Wrong(f"must have at most {_MOST} words in the conditions of all", mend=[_EXAMPLE])
    return found


def _words(rule: Rule) -> int:
    return sum(len(getattr(rule, name)) for name in _CONDITIONS)


def _rule(item: str, rule: object) -> Rule:
    if not isinstance(rule, Mapping):
        raise Wrong("must be a dict of conditions", item=item, value=rule, mend=_EXAMPLE)
    for name in rule:
        if name not in _WORDS:
            near = difflib.get_close_matches(str(name).lower(), _WORDS, n=1, cutoff=0.0)[0]
            mend = {near if key == name else key: of for key, of in rule.items()}
            must = f"has {shown(name)}, which is no word of a rule; the nearest is {shown(near)}"
            raise Wrong(must, item=item, value=rule, mend=mend)
    if not any(name in rule for name in _CONDITIONS):
        must = f"must have a condition, one of {', '.join(_CONDITIONS)}"
        raise Wrong(must, item=item, value=rule, mend={"path": "/healthz", **rule})
    read: dict[str, Any] = {
        name: _several(f"{item}[{shown(name)}]", rule[name], *reader)
        for name, reader in _READERS.items()
        if name in rule
    }
    if "answer" in rule:
        read["answer"] = _answer(f'{item}["answer"]', rule["answer"])
    bare = read.get("answer") in BARE
    if "text" in rule:
        read["text"] = _text(f'{item}["text"]', rule["text"])
        if "answer" not in rule or bare:
            must = "must have an answer to go with text, and not 204 or 205"
            raise Wrong(must, item=item, value=rule, mend={**rule, "answer": 200})
    return Rule(**{"text": "" if bare else TEXT, **read})


def _several(
    item: str, written: object, one: Callable[[object], object], example: str
) -> tuple[object, ...]:
    """What may be written as one word or as a list of them, any of which has to fit."""
    several = isinstance(written, list | tuple)
    words = written if isinstance(written, list | tuple) else (written,)
    if not words:
        raise Wrong("must not be empty", item=item, value=written, mend=example)
    found = []
    for index, word in enumerate(words):
        try:
            found.append(one(word))
        except Wrong as wrong:
            meant = [wrong.mend if at == index else word for at, word in enumerate(words)]
            mend = meant if several else wrong.mend
            raise Wrong(wrong.must, item=item, value=written, mend=mend) from None
    return tuple(found)


def _plain(word: object) -> str:
    """A word of printable ASCII; "" for anything else."""
    return word if isinstance(word, str) and word.isascii() and word.isprintable() else ""


def _agent(word: object) -> str:
    if _plain(word).strip():
        return str(word)
    raise Wrong("must be a part of User-Agent, or all of it with * in it", mend="UptimeRobot")


def _path(word: object) -> str:
    path = _plain(word)
    if path[:1] in ("/", "*") and path and "?" not in path and " " not in path:
        return path
    path = path.partition("?")[0].replace(" ", "%20")
    raise Wrong(_PATH, mend=f"/{path.lstrip('/')}" if path.strip("/") else "/healthz")


def _method(word: object) -> str:
    if _plain(word).encode() in METHODS:
        return str(word)
    meant = _plain(word).strip().upper()
    mend = meant if meant.encode() in METHODS else "GET"
    raise Wrong("must be a method of HTTP, in upper case", mend=mend)


_READERS: Final[Mapping[str, tuple[Callable[[object], object], str]]] = {
    "user_agent": (_agent, "UptimeRobot"),
    "path": (_path, "/healthz"),
    "methods": (_method, "GET"),
    "addresses": (network, "10.0.0.0/8"),
}


def _answer(item: str, status: object) -> int:
    if isinstance(status, int) and not isinstance(status, bool) and may_answer(status):
        return status
    must = "must be a status of HTTP from 200 to 599, and no redirect"
    meant = int(status) if isinstance(status, str) and status.isdecimal() and len(status) < 4 else 0
    raise Wrong(must, item=item, value=status, mend=meant if may_answer(meant) else 200)


def _text(item: str, text: object) -> str:
    must = f"must be a text of at most {_LONGEST} characters"
    if isinstance(text, str) and len(text) <= _LONGEST:
        try:
            text.encode()
        except UnicodeEncodeError:
            pass
        else:
            return text
    raise Wrong(must, item=item, value=text, mend=TEXT)

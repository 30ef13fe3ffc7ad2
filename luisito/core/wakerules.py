"""Which requests wake no site, and do not count as use of one that is awake: health checks, bots.

What a client says of itself decides, so a rule may only ever take something away from it.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any, Final

import attrs

from luisito.core.addresses import Network, address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

SLEEPS: Final = 503
"""The answer of a rule that has none of its own, for a site that sleeps."""
RETRY_AFTER: Final = 60.0
"""Seconds after which it makes sense to ask again for a site that sleeps."""
TEXT: Final = "asleep\n"
"""What is said where a rule has an answer, and no text."""
BARE: Final = (HTTPStatus.NO_CONTENT, HTTPStatus.RESET_CONTENT)
"""Answers that have no text (RFC 9110 sections 15.3.5 and 15.3.6)."""

_agent: Final = re.compile(rb"(?i)\r\nuser-agent:[ \t]*([^\r]*)").search


def may_answer(status: int) -> bool:
    """Whether a rule may have this answer: a final one that asks for nothing more."""
    known = status in {int(each) for each in HTTPStatus}
    return known and (200 <= status < 300 or 400 <= status < 600) and status != 206


@attrs.frozen(kw_only=True)
class Rule:
    """A rule: all its conditions must hold, and of several words in one condition any.

    Attributes:
        user_agent: parts of User-Agent, in any case, or the whole of it where `*` stands in them.
        path: of the request without its query, in which `*` stands for anything.
        methods: of the request.
        addresses: of the client, as a trusted proxy tells it.
        answer: the status for a site that sleeps; None is SLEEPS with Retry-After.
        text: of that answer.
    """

    user_agent: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    addresses: tuple[Network, ...] = ()
    answer: int | None = None
    text: str = TEXT

    def record(self) -> dict[str, Any]:
        """The same as values of JSON."""
        return {
            "user_agent": list(self.user_agent),
            "path": list(self.path),
            "methods": list(self.methods),
            "addresses": [str(network) for network in self.addresses],
            "answer": self.answer,
            "text": self.text,
        }

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Rule:
        """A rule from what `record` has returned."""
        return cls(
            user_agent=tuple(record["user_agent"]),
            path=tuple(record["path"]),
            methods=tuple(record["methods"]),
            addresses=tuple(map(ip_network, record["addresses"])),
            answer=record["answer"],
            text=record["text"],
        )

    def __str__(self) -> str:
        words = {
            "user_agent": self.user_agent,
            "path": self.path,
            "methods": self.methods,
            "addresses": self.addresses,
        }
        return " ".join(f"{name}={'|'.join(map(str, of))}" for name, of in words.items() if of)


class _Compiled:
    """A rule made ready."""

    __slots__ = ("_agents", "_methods", "_networks", "_paths", "rule")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._agents = [
            _glob(word.lower()) if "*" in word else _part(word.lower()) for word in rule.user_agent
        ]
        self._paths = [_glob(word) for word in rule.path]
        self._methods = frozenset(word.encode() for word in rule.methods)
        self._networks = rule.addresses

    def may_match(self, agent: bytes, client: bytes) -> bool:
        if self._agents and not any(fits(agent) for fits in self._agents):
            return False
        if not self._networks:
            return True
        try:
            found = address(client.decode("latin-1"))
        except ValueError:
            return False
        return any(found in network for network in self._networks)

    def matches(self, method: bytes, path: bytes) -> bool:
        if self._methods and method not in self._methods:
            return False
        return not self._paths or any(fits(path) for fits in self._paths)


class Rules:
    """The rules of a site; the first one that matches a request counts.

    Args:
        rules: in their order.
    """

    __slots__ = ("_rules",)

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = tuple(map(_Compiled, rules))

    def about(self, lines: bytes, client: bytes) -> Rules | None:
        """Those that may match requests with the same header lines; None where none may.

        Args:
            lines: RequestFields.lines.
            client: its address; what is none is in no network.
        """
        match = _agent(lines)
        agent = b"" if match is None else match[1].rstrip(b" \t").lower()
        return self._of([each for each in self._rules if each.may_match(agent, client)])

    def _of(self, compiled: Sequence[_Compiled]) -> Rules | None:
        if not compiled:
            return None
        if len(compiled) == len(self._rules):
            return self
        rules = Rules(())
        rules._rules = tuple(compiled)
        return rules

    def first(self, method: bytes, target: bytes) -> Rule | None:
        """The first that matches a request line, of rules that `about` has returned."""
        path = target.partition(b"?")[0]
        for each in self._rules:
            if each.matches(method, path):
                return each.rule
        return None


def rules_of(records: Iterable[Mapping[str, Any]]) -> Rules | None:
    """The rules of a public record; None where there are none."""
    rules = [Rule.of(record) for record in records]
    return Rules(rules) if rules else None


def _part(word: str) -> Callable[[bytes], bool]:
    wanted = word.encode()
    return lambda text: wanted in text


def _glob(pattern: str) -> Callable[[bytes], bool]:
    """Whether a text is as a pattern says: a regular expression might take time by its square."""
    first, *middle = pattern.encode().split(b"*")
    if not middle:
        return lambda text: text == first
    last = middle.pop()

    def fits(text: bytes) -> bool:
        if len(text) < len(first) + len(last):
            return False
        if not (text.startswith(first) and text.endswith(last)):
            return False
        at, end = len(first), len(text) - len(last)
        for part in middle:
            at = text.find(part, at, end)
            if at < 0:
                return False
            at += len(part)
        return True

    return fits

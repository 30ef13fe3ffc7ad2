"""[[process]] in a site file: workers, which run beside the site's server and have no socket."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any, Final

import attrs

from luisito.core.template import WAYS, Template
from luisito.errors import TemplateError
from luisito.settings import values
from luisito.settings.sites.key import SECONDS, STRING
from luisito.settings.sites.readers import SIGNALS, measured, stop_signal, toml
from luisito.settings.values import Wrong

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from luisito.settings.sites.key import Schema

MOST: Final = 8
"""Workers of a site."""

RESTART: Final = ("always", "on-failure")
WITH: Final = ("site", "always")
ASKED: Final = "asked"
"""What no file can say: it lives as long as somebody asks for it."""

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9_-]{0,30}[a-z0-9])?")
_EXAMPLE: Final = {"name": "worker", "command": "celery -A shop worker"}


@attrs.frozen(kw_only=True)
class Process:
    """A worker.

    Attributes:
        name: of it, among those of its site.
        command: a template without the words of a way in.
        env: variables beside those of the site: templates by their names.
        lives_with: "site": while the site's server does; "always": as long as its file; or ASKED.
        restart: "always", or "on-failure": not after an end with status 0.
        stop_signal: without SIG.
        stop_timeout: seconds; None for that of the site.
    """

    name: str
    command: str | tuple[str, ...]
    env: Mapping[str, str] = attrs.field(factory=dict)
    lives_with: str = "site"
    restart: str = "always"
    stop_signal: str = "TERM"
    stop_timeout: float | None = None


def processes(value: object) -> tuple[Process, ...]:
    """Reads what stands under [[process]]."""
    if not isinstance(value, list):
        meant = [value] if isinstance(value, dict) else [_EXAMPLE]
        raise Wrong("must be a list of tables: write [[process]] before each", mend=meant)
    if len(value) > MOST:
        raise Wrong(f"must not be more than {MOST}", mend=value[:MOST])
    found: dict[str, Process] = {}
    for index, table in enumerate(value):
        item = f"[{index}]"
        made = _process(item, table)
        if made.name in found:
            mend = f"{made.name}-{index + 1}"
            must = "must be another one, as a process before it has that name"
            raise Wrong(must, item=f'{item}["name"]', value=made.name, mend=mend)
        found[made.name] = made
    return tuple(found.values())


def _process(item: str, table: object) -> Process:
    if not isinstance(table, dict):
        raise Wrong("must be a table", item=item, value=table, mend=_EXAMPLE)
    for key in table:
        if key not in _READERS:
            near = difflib.get_close_matches(key.lower(), _READERS, n=1, cutoff=0.0)[0]
            must = f"is no key of a process; the nearest is {near}"
            raise Wrong(must, item=f"{item}[{key!r}]", value=table[key], mend=table[key])
    for key in ("name", "command"):
        if key not in table:
            mend = {**table, key: _EXAMPLE[key]}
            raise Wrong(f"must have a {key}", item=item, value=table, mend=mend)
    read = {}
    for key, value in table.items():
        reader, attribute, default = _READERS[key]
        try:
            read[attribute] = reader(value)
        except Wrong as wrong:
            wrong.mend = default if wrong.mend is attrs.NOTHING else wrong.mend
            wrong.value = wrong.value if wrong.item else value
            wrong.item = f'{item}["{key}"]{wrong.item}'
            raise
    return Process(**read)


def _name(value: object) -> str:
    if isinstance(value, str) and _NAME.fullmatch(value):
        return value
    must = "must be of lower-case letters, digits, - and _, and of 32 at most"
    meant = re.sub(r"[^a-z0-9_-]+", "-", str(value).lower())[:32].strip("-_")
    raise Wrong(must, mend=meant or _EXAMPLE["name"])


def _command(value: object) -> str | tuple[str, ...]:
    try:
        command = values.command(value)
        _check_words(Template.parse(command))
    except TemplateError as error:
        must = str(error).removeprefix(f"command {value!r}").lstrip(": ").partition("; ")[0]
        raise Wrong(f"must be a command: {must}", mend=_EXAMPLE["command"]) from None
    except Wrong as wrong:
        if not wrong.item:
            wrong.mend = _EXAMPLE["command"]
        raise
    return command


def _env(value: object) -> dict[str, str]:
    env = values.environment(value)
    for name, text in env.items():
        try:
            _check_words(Template.text(text))
        except Wrong as wrong:
            raise Wrong(wrong.must, item=f'["{name}"]', value=text, mend="") from None
    return env


def _check_words(template: Template) -> None:
    odd = sorted(template.words & WAYS.keys())
    if odd:
        raise Wrong(f"must not have %{odd[0]}: a process has no socket; a site's server has one")


_READERS: Final[Mapping[str, tuple[Callable[[object], Any], str, object]]] = {
    "name": (_name, "name", "worker"),
    "command": (_command, "command", _EXAMPLE["command"]),
    "env": (toml(_env), "env", {}),
    "with": (values.choice(*WITH), "lives_with", WITH[0]),
    "restart": (values.choice(*RESTART), "restart", RESTART[0]),
    "stop_signal": (stop_signal, "stop_signal", "TERM"),
    "stop_timeout": (measured(values.seconds, "seconds"), "stop_timeout", 10),
}

SCHEMA: Final[Schema] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "command"],
    "properties": {
        "name": {
            "description": "Of the process, in the log and in `luisito list`.",
            "type": "string",
            "pattern": f"^{_NAME.pattern}$",
        },
        "command": {
            "description": "A string or a list, with %HOST, %UID, %GID and %PATH.",
            "anyOf": [STRING, {"type": "array", "items": {"type": "string"}, "minItems": 1}],
        },
        "env": {
            "description": "Environment variables beside those of the site.",
            "type": "object",
            "additionalProperties": {"type": "string"},
        },
        "with": {
            "description": '"site": it lives while the site\'s server does; "always": as long as '
            "its file.",
            "enum": list(WITH),
            "default": WITH[0],
        },
        "restart": {
            "description": 'Whether it is started anew: "always", or "on-failure": not after an '
            "end with exit status 0.",
            "enum": list(RESTART),
            "default": RESTART[0],
        },
        "stop_signal": {
            "description": "What it is stopped with.",
            "enum": list(SIGNALS),
            "default": "TERM",
        },
        "stop_timeout": {
            "description": "From that to SIGKILL (seconds); left out: the site's.",
            **SECONDS,
        },
    },
}
"""Of a table in `process`."""

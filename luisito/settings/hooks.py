"""The reader of hooks, of the settings and of site files alike."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Final

from luisito.core.hooks import EVENTS, is_url
from luisito.core.template import Template
from luisito.core.webhook import Target
from luisito.errors import TemplateError
from luisito.settings import values
from luisito.settings.values import Wrong, shown

Hook = str | tuple[str, ...]
"""A command, as values.command has it, or the URL of a webhook."""

_EXAMPLE: Final = {"failure": "/usr/local/bin/site-failed %HOST"}
_URL: Final = "https://example.com/hook"

SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        event: {
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "array", "items": {"type": "string"}, "minItems": 1},
            ]
        }
        for event in EVENTS
    },
}


def hooks(value: object) -> dict[str, Hook]:
    """What is run, by the events."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise Wrong("must be a dict from events to commands or URLs", mend=_EXAMPLE)
    found = {}
    for event, hook in value.items():
        if event not in EVENTS:
            near = difflib.get_close_matches(str(event).lower(), EVENTS, n=1, cutoff=0.0)[0]
            mend = {near if name == event else name: of for name, of in value.items()}
            words = f"{', '.join(EVENTS[:-1])} or {EVENTS[-1]}"
            raise Wrong(f"has {shown(event)}, and an event is {words}", mend=mend)
        found[str(event)] = _hook(f"[{shown(event)}]", hook)
    return found


def is_webhook(hook: Hook) -> bool:
    """Whether that is the URL of a webhook."""
    return isinstance(hook, str) and is_url(hook) is not None


def _hook(item: str, value: object) -> Hook:
    if isinstance(value, str) and is_url(value):
        try:
            Target.parse(value)
        except ValueError as error:
            raise Wrong(str(error), item=item, value=value, mend=_URL) from None
        return value
    try:
        command = values.command(value)
        odd = Template.parse(command).words - {"HOST"}
    except TemplateError as error:
        must = str(error).removeprefix(f"command {value!r}").lstrip(": ").partition("; ")[0]
        must = f"must be a command or a URL: {must}"
        raise Wrong(must, item=item, value=value, mend=_EXAMPLE["failure"]) from None
    except Wrong as wrong:
        mend = wrong.mend if wrong.item else _EXAMPLE["failure"]
        wrong_value = wrong.value if wrong.item else value
        must = wrong.must if wrong.item else "must be a command or a URL"
        raise Wrong(must, item=item + wrong.item, value=wrong_value, mend=mend) from None
    if odd:
        must = f"must not have %{min(odd)}: %HOST alone may stand there, and what has happened is"
        must += " in its environment"
        raise Wrong(must, item=item, value=value, mend=_EXAMPLE["failure"])
    return command

"""The JSON schema of site files, and the tables of docs/sites.md, from the table of keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs

from luisito.settings.sites.table import KEYS, MOUNT_KEYS
from luisito.settings.sites.words import NONE, shown
from luisito.settings.table import SETTINGS

if TYPE_CHECKING:
    from luisito.settings.sites.key import Key

_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """The schema, draft 2020-12, of what a site file or a base says.

    It knows one key at a time: what cannot hold together, what other files say and what a tenant
    may not set, Luisito alone tells.
    """
    return {
        "$schema": _DRAFT,
        "title": "A site file of Luisito",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            name: {**_property(key), "items": _MOUNTS} if name == "mount" else _property(key)
            for name, key in KEYS.items()
        },
    }


def _property(key: Key) -> dict[str, Any]:
    unit = "" if key.unit in key.about else f" ({key.unit})"
    found: dict[str, Any] = {"description": f"{key.about}{unit}", **key.schema}
    if key.default is not attrs.NOTHING and key.default is not None:
        found["default"] = key.default
    return found


_MOUNTS: Final = {
    "type": "object",
    "additionalProperties": False,
    "required": ["path"],
    "properties": {name: _property(key) for name, key in MOUNT_KEYS.items()},
}


def tables() -> str:
    """The keys in Markdown, a section for each group."""
    groups: dict[str, list[str]] = {}
    for name, key in KEYS.items():
        row = f"| `{name}` | {_left_out(key)} | {key.unit} | {key.about} |"
        groups.setdefault(key.group, []).append(row)
    head = ["| key | left out | unit or kind | what it does |", "|---|---|---|---|"]
    return "\n\n".join(
        "\n".join([f"### {group}", "", *head, *rows]) for group, rows in groups.items()
    )


def _left_out(key: Key) -> str:
    """What counts where a file says nothing."""
    if key.default is attrs.NOTHING:
        default = SETTINGS[key.setting].default
        if default is attrs.NOTHING or default in (None, {}):
            return f"`{key.setting}`"
        return f"`{key.setting}`, {shown(default)}"
    return NONE if key.default in (None, []) else f"`{shown(key.default)}`"

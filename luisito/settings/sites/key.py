"""How a key of site files is declared: its reader, what it means, and the schema of its values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs

from luisito.settings.sites import readers
from luisito.settings.sites.words import NONE
from luisito.settings.table import SETTINGS
from luisito.settings.values import Wrong

if TYPE_CHECKING:
    from collections.abc import Callable

Schema = dict[str, Any]


@attrs.frozen
class Key:
    """What is known of a key beside its name.

    Attributes:
        read: checks what was written and returns what we work with.
        default: as a person would write it; NOTHING where a setting says it.
        setting: the name of the setting that says it, or "".
        group: the heading under which it is explained.
        unit: of the number, or what kind of value it is.
        about: one line for a person.
        schema: of its values, in JSON schema.
        capped: a tenant may not have more than they are granted.
    """

    read: Callable[[object], object]
    default: object
    setting: str
    group: str
    unit: str
    about: str
    schema: Schema
    capped: bool = False


def own(
    read: Callable[[object], object],
    default: object,
    group: str,
    unit: str,
    about: str,
    schema: Schema,
    *,
    capped: bool = False,
) -> Any:  # noqa: ANN401 - attrs.field() is typed so too: a field's type is its annotation
    """A key that has a default of its own."""
    return attrs.field(metadata={Key: Key(read, default, "", group, unit, about, schema, capped)})


def part(
    setting: str,
    read: Callable[[object], object],
    group: str,
    unit: str,
    about: str,
    schema: Schema,
    *,
    capped: bool = False,
) -> Any:  # noqa: ANN401 - as above
    """A key for which a setting stands where it is left out."""
    key = Key(readers.toml(read), attrs.NOTHING, setting, group, unit, about, schema, capped)
    return attrs.field(metadata={Key: key})


def limit(setting: str, schema: Schema, *, about: str = "") -> Any:  # noqa: ANN401 - as above
    """A key that is a setting in lower case, with the setting's reader, unit and explanation."""
    of = SETTINGS[setting]
    read, about = of.read, about or of.about
    try:
        read(None)
    except Wrong:
        pass
    else:
        read = readers.or_none(read)
        schema = or_none(schema)
        about = about.replace("None", f'"{NONE}"')
    read = readers.measured(read, of.unit)
    return part(setting, read, of.group, of.unit, about, schema, capped=True)


# What many schemas are made of

STRING: Final[Schema] = {"type": "string", "minLength": 1}
SECONDS: Final[Schema] = {"type": "number", "exclusiveMinimum": 0}


def whole(at_least: int) -> Schema:
    """Of an integer that is not below a bound."""
    return {"type": "integer", "minimum": at_least}


def or_none(schema: Schema) -> Schema:
    """Of what a schema says, or of the word that stands for none."""
    return {"anyOf": [schema, {"const": NONE}]}

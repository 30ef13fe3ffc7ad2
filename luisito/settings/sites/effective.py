"""What counts for a site: the value of each key, and where it was said; no secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import attrs

from luisito.core.keys import site_of
from luisito.core.wakerules import Rule
from luisito.core.webhook import Target
from luisito.settings import from_mapping
from luisito.settings.hooks import is_webhook
from luisito.settings.sites.draft import Draft, MountDraft
from luisito.settings.sites.look import one
from luisito.settings.sites.table import KEYS, OF_SITES, Mounting
from luisito.settings.values import Function

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from luisito.settings import Settings
    from luisito.settings.hooks import Hook
    from luisito.settings.sites.key import Key
    from luisito.settings.sites.table import Site
    from luisito.settings.sites.trust import Trust

HIDDEN: Final = "..."
"""Stands for the value of a variable, or the path of a webhook, which may be secrets."""
_DEFAULT: Final = "default"
_RUNNER: Final = "the Python runner"


class Value(NamedTuple):
    """What counts.

    Attributes:
        name: of a site key.
        value: one of JSON's; times in seconds, sizes in bytes, null for none.
        source: where it was said: a file with a line, a setting, or "default".
    """

    name: str
    value: Any
    source: str

    def told(self) -> dict[str, Any]:
        """The same for JSON."""
        return {"name": self.name, "value": self.value, "from": self.source}


def of_file(key: str, sites_dir: str, settings: Settings, file: str, trust: Trust) -> list[Value]:
    """What counts for a site that has a file, or a mount of one, as that is now.

    Args:
        key: of the site, or of the mount.
        sites_dir: SITES_DIR.
        settings: what is true of all sites.
        file: where those were read.
        trust: who may write site files.

    Raises:
        SettingsError: the folder cannot be read.
        SiteFileError: the file is wrong, or there is no such mount.
    """
    draft, site, mounts = one(sites_dir, site_of(key), settings, trust)
    if site.key == key:
        return list(_values(draft, site, settings, file))
    for index, mount in enumerate(mounts):
        if mount.key == key:
            return list(_values(MountDraft(draft, index), mount, settings, file))
    raise draft.error((), f"has no mount {key.removeprefix(site_of(key))}", "ask for another")


def of_settings(settings: Settings, file: str) -> list[Value]:
    """What counts for a site without a file: as above, as far as settings say it."""
    return [_said_by_all(name, key, settings, file) for name, key in KEYS.items() if key.setting]


def _values(draft: Draft, site: Site, settings: Settings, file: str) -> Iterator[Value]:
    for name, key in KEYS.items():
        if draft.mounted and name in OF_SITES:
            continue
        if name in site.given:
            value = getattr(site, name)
            common = _of_setting(key, settings)
            if isinstance(common, dict):  # what both say of such a table is put together
                value = {**common, **value}
            yield Value(name, _plain(name, value), _source(draft, name))
        elif key.setting:
            yield _said_by_all(name, key, settings, file)
        else:
            yield Value(name, _plain(name, getattr(site, name)), _DEFAULT)


def _source(draft: Draft, name: str) -> str:
    where = draft.where(name)
    if where is not None:
        return where
    return _RUNNER if name == "command" else "TENANTS"


def _of_setting(key: Key, settings: Settings) -> object:
    return getattr(settings, key.setting.lower()) if key.setting else None


def _said_by_all(name: str, key: Key, settings: Settings, file: str) -> Value:
    """What a setting says."""
    value = _of_setting(key, settings)
    usual = value == _of_setting(key, from_mapping({"SITES_DIR": "/"}))
    return Value(name, _plain(name, value), _DEFAULT if usual else f"{file}: {key.setting}")


def _plain(name: str, value: Any) -> Any:  # noqa: ANN401 - as JSON has it
    """A value as JSON has it, without secrets."""
    if isinstance(value, Mounting):
        return {"path": value.path, "strip": value.strip, **_mapping(value.values)}
    if isinstance(value, Rule):
        return value.record()
    if isinstance(value, Function):
        return "a function"
    if attrs.has(type(value)):
        return _mapping(attrs.asdict(value, recurse=False))
    if name == "hooks":
        return {event: _hook(one) for event, one in value.items()}
    if isinstance(value, dict):
        return dict.fromkeys(value, HIDDEN) if name == "env" else _mapping(value)
    if isinstance(value, tuple | list | set | frozenset):
        return [_plain("", each) for each in value]
    return value


def _mapping(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain(name, value) for name, value in values.items()}


def _hook(hook: Hook) -> object:
    if is_webhook(hook):
        return f"{Target.parse(str(hook)).origin}/{HIDDEN}"
    return _plain("", hook)

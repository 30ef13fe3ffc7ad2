"""Judges site files that are not yet written, by the reader that will read them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from luisito.errors import SettingsError, SiteFileError, TemplateError
from luisito.importing.files import is_folder
from luisito.settings.sites import parts
from luisito.settings.sites.claims import CLAIMS, clashes
from luisito.settings.sites.draft import Draft
from luisito.settings.sites.look import look
from luisito.settings.sites.making import SUFFIX, make, site_name
from luisito.settings.sites.tenants import known
from luisito.settings.sites.trust import Trust

if TYPE_CHECKING:
    from collections.abc import Mapping

    from luisito.settings import Settings


def present(folder: str, settings: Settings) -> dict[str, dict[str, Any]]:
    """The public records of the sites that a folder has, by their names.

    Args:
        folder: SITES_DIR; it need not be there.
        settings: what is true of all sites.

    Raises:
        SettingsError: Luisito would not read that folder.
    """
    if not is_folder(folder):
        return {}
    trust = Trust(os.geteuid(), known(settings.tenants))
    seen = look(folder, {}, settings, trust).seen
    return {name: of.public for name, of in seen.items() if of.public is not None}


def wrong(
    texts: Mapping[str, str],
    folder: str,
    settings: Settings,
    others: Mapping[str, dict[str, Any]],
) -> dict[str, str]:
    """What is wrong with texts, by the names of their sites.

    Args:
        texts: of site files, by the names of sites.
        folder: SITES_DIR.
        settings: what is true of all sites.
        others: public records of sites that are there, which none of these replaces.
    """
    found: dict[str, str] = {}
    records = dict(others)
    for name, text in texts.items():
        path = os.path.join(folder, name + SUFFIX)
        try:
            part = parts.read(path, text.encode(), os.geteuid())
            site = make(Draft(site_name(path), [part]), None, settings)
            records[name] = {key: getattr(site, key) for key in CLAIMS}
        except (SiteFileError, SettingsError, TemplateError) as error:
            found[name] = str(error).removeprefix(f"{path}:").lstrip(" 0123456789:")
    for name, clash in clashes(records).items():
        mine, other = (name, clash.other) if name in texts else (clash.other, name)
        if mine in texts and mine not in found:
            what = clash.host or "default = true"
            found[mine] = f"{what}: {other}{SUFFIX} has it, too; leave it to one of them"
    return found

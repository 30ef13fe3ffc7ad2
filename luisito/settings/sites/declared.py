"""The settings of site files, as they will stand in the table once a start goes by them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from luisito.settings import values
from luisito.settings.sites.tenants import tenants
from luisito.settings.table import Setting

if TYPE_CHECKING:
    from collections.abc import Mapping

_GROUP: Final = "Users and files"

SITES_DIR: Final = Setting(
    values.path,
    None,
    _GROUP,
    "path",
    "The folder of site files, one TOML file a site (docs/sites.md); None is none. With it CMD_TPL "
    "may be left out.",
)
TENANTS: Final = Setting(
    tenants,
    {},
    _GROUP,
    "dict of dicts",
    "Users who may have site files of their own, each with the hosts that they may answer for and, "
    "if you like, the largest values of limits.",
)

DECLARED: Final[Mapping[str, Setting]] = {"SITES_DIR": SITES_DIR, "TENANTS": TENANTS}

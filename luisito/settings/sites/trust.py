"""Whose word a file in SITES_DIR is: the operator's, a tenant's or nobody's."""

from __future__ import annotations

import pwd
import shlex
import stat
from typing import TYPE_CHECKING

import attrs

from luisito.core.permissions import Status, others_may_write
from luisito.errors import SettingsError
from luisito.settings.owners import is_private
from luisito.settings.sites.toml import failed
from luisito.settings.sites.words import shown

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from luisito.settings.sites.parts import Part
    from luisito.settings.sites.tenants import Tenant


@attrs.frozen
class Trust:
    """Who may write site files.

    Attributes:
        uid: of Luisito where it reads them.
        tenants: by their uids (`tenants.known`); they count only where Luisito is root.
    """

    uid: int
    tenants: Mapping[int, Tenant]

    def writer(self, path: str, status: os.stat_result) -> Tenant | None:
        """Tells whose word a file is.

        Args:
            path: of it, for messages.
            status: of the very file that is read.

        Returns:
            The tenant; None where it may set anything.

        Raises:
            SiteFileError: it is nobody's who may write site files, or others may write it, too.
        """
        if _exposed(status):
            mend = f"run chmod go-w {shlex.quote(path)}"
            raise failed(path, f"others than its owner may write it; {mend}")
        if self._may_all(status.st_uid):
            return None
        if self.uid != 0:
            what = f"it belongs to {_user(status.st_uid)}, and Luisito runs as {_user(self.uid)}"
            raise failed(path, f"{what}; give it to that user")
        if status.st_uid not in self.tenants:
            what = f"it belongs to {_user(status.st_uid)}, whom TENANTS does not name"
            mend = f"run chown root {shlex.quote(path)}, or add that user to TENANTS"
            raise failed(path, f"{what}; {mend}")
        return self.tenants[status.st_uid]

    def check_base(
        self, file: Part, of: Part, name: str, path: str, status: os.stat_result
    ) -> None:
        """Refuses a base whose writer has no say in a site, or that the site may not read.

        Args:
            file: of the site.
            of: what extends the base: that file, or another base of it.
            name: as it is written there.
            path: of the base.
            status: of the base.

        Raises:
            SiteFileError: it is so.
        """
        owner, quoted = status.st_uid, shlex.quote(path)
        if owner != of.owner and not self._may_all(owner):
            must = f"must not be a base of {_user(owner)}'s"
            raise of.text.error(("extends",), name, must, f"run chown root {quoted}")
        public = status.st_mode & stat.S_IROTH
        if owner != file.owner and not public and not self._may_all(file.owner):
            # What stands in it would be in the environment of a server of theirs.
            must = f"must be a base that everybody may read, and {path} is not"
            raise of.text.error(("extends",), name, must, f"run chmod o+r {quoted}")

    def check_folder(self, path: str, status: os.stat_result) -> None:
        """Refuses a folder into which others may put files.

        Args:
            path: SITES_DIR.
            status: of it.

        Raises:
            SettingsError: it is so.
        """
        what = f"SITES_DIR = {shown(path)}"
        quoted = shlex.quote(path)
        if not self._may_all(status.st_uid):
            raise SettingsError(
                f"{what}: it belongs to {_user(status.st_uid)}, who could put any file there; run"
                f" chown {_user(self.uid)} {quoted}"
            )
        if _exposed(status):
            raise SettingsError(
                f"{what}: others than its owner may write it; run chmod go-w {quoted}"
            )

    def _may_all(self, uid: int) -> bool:
        return uid in (0, self.uid)


def _exposed(status: os.stat_result) -> bool:
    """Whether others than its owner may write a file, or into a folder, sticky or not."""
    uid, gid = status.st_uid, status.st_gid
    if not status.st_mode & 0o022:
        return False
    seen = Status(status.st_mode & ~0o1000, uid, gid)
    return others_may_write(seen, trusted=frozenset([uid]), private_group=is_private(gid, uid))


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"

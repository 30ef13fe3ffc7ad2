"""The app server behind every proxy: apps/upstream.sh, which is nginx answering by itself."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

APPS = Path(__file__).parent / "apps"
SITE = "bench.localhost"
_DOWNLOAD_BYTES = 10_000_000


@dataclass(frozen=True)
class Origin:
    """Its files, in a folder that each user may read and write, and the core that it runs on."""

    folder: Path
    core: int

    @classmethod
    def install(cls, folder: Path, core: int) -> Origin:
        """Copy it below a folder, to where its user (nobody, if we are root) may read it."""
        own = folder / "upstream"
        (own / "static").mkdir(parents=True)
        (own / "public").mkdir()  # Apache wants a document root
        for name in ("upstream.sh", "upstream.conf"):
            shutil.copy(APPS / name, own)
        (own / "static" / "download").write_bytes(bytes(_DOWNLOAD_BYTES))
        own.chmod(0o1777)
        return cls(own, core)

    def command(self, port: str) -> list[str]:
        """What starts it on a port, or on what a word like %PORT is replaced by."""
        script = self.folder / "upstream.sh"
        return ["/bin/sh", str(script), str(self.folder), port, str(self.core)]

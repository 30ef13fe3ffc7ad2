"""Says what counts for one site, in a process of its own below the spawner.

`python -m luisito.settings.sites.explainer FILE SITES_DIR ASK KEY SOCKET TEXT`: the settings file;
the folder of site files; the number of the question; the key of the site; and two descriptors:
where the answer goes (wire.Page, with JSON in a memfd), and the text of the settings file, or -1.
"""

from __future__ import annotations

import json
import os
import socket
import sys

from luisito.core import wire
from luisito.errors import LuisitoError
from luisito.settings.load import load
from luisito.settings.sites.effective import of_file
from luisito.settings.sites.tenants import known
from luisito.settings.sites.trust import Trust
from luisito.spawner import channel


def main(file: str, sites_dir: str, ask: int, key: str, descriptor: int, text: int) -> None:
    """Answers; see the module."""
    sock = socket.socket(fileno=descriptor)
    try:
        said = None if text < 0 else os.pread(text, os.fstat(text).st_size, 0)
        settings = load(file, said)
        trust = Trust(os.geteuid(), known(settings.tenants))
        values = [one.told() for one in of_file(key, sites_dir, settings, file, trust)]
    except LuisitoError as error:
        channel.insist(sock, wire.encode(wire.Page(ask, str(error)[: wire.MAX_TEXT])))
        return
    told = os.memfd_create("luisito-config", os.MFD_CLOEXEC)
    os.write(told, json.dumps(values).encode("ascii"))
    channel.insist(sock, wire.encode(wire.Page(ask, "")), (told,))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], *map(int, sys.argv[5:]))

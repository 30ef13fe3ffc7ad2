"""Says that the app answers, as sd_notify(3) has it."""

from __future__ import annotations

import os
import socket


def ready() -> None:
    """Sends READY=1 to NOTIFY_SOCKET, where there is one."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return
    address = f"\0{path[1:]}" if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        try:
            sock.sendto(b"READY=1", address)
        except OSError:
            pass  # whoever listened has gone, and need not know

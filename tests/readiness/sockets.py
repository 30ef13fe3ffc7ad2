"""Sockets and who has them."""

import os
import socket

OTHER_UID = 65534


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def inode(sock: socket.socket) -> int:
    return os.fstat(sock.fileno()).st_ino


def has_inode(pid: int, number: int) -> bool:
    """Whether a process has a socket open: what the spawner finds out for a %PORT."""
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            if os.readlink(f"/proc/{pid}/fd/{name}") == f"socket:[{number}]":
                return True
        except FileNotFoundError:
            pass
    return False

"""Descriptors that are slow to close, as a hostile process would send them."""

import array
import contextlib
import ctypes
import os
import socket
import struct
import tempfile
import threading

_FOR_AN_HOUR = struct.pack("ii", 1, 3600)


def lingering(count=1):
    """TCP connections whose close takes an hour: SO_LINGER, and a peer that does not read.

    Yields nothing: returns them, and what must stay open meanwhile.
    """
    connections, peers = [], []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for _ in range(count):
            connection = socket.create_connection(listener.getsockname())
            peers.append(listener.accept()[0])
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _FOR_AN_HOUR)
            connection.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    connection.send(bytes(1 << 20))
            connections.append(connection)
    return connections, peers


def pass_on(sock, data, descriptors, *, address=None):
    """Sends them and keeps no copy."""
    rights = array.array("i", [each.fileno() for each in descriptors])
    message = [data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)]
    sock.sendmsg(*message) if address is None else sock.sendmsg(*message, 0, address)
    for each in descriptors:
        each.close()


_IN, _OUT = struct.Struct("<IIQQIIII"), struct.Struct("<IiQ")  # fuse_in_header, fuse_out_header
_LOOKUP, _GETATTR, _OPEN, _INIT, _FLUSH, _OPENDIR = 1, 3, 14, 26, 25, 27
_DIRECTORY, _FILE = 0o40755, 0o100666


class Hanging:
    """A file system that stops to answer: mounted at `path`, with a folder and a file in it.

    It answers until `hang` is set; then never again. The kernel speaks FUSE with a thread of ours
    (linux/fuse.h). Leave it, and all who wait are let go.
    """

    def __init__(self):
        self.path = tempfile.mkdtemp(prefix="luisito-hangs-")
        self.hang = False
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._device = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={self._device},rootmode=40000,user_id=0,group_id=0,allow_other"
        if self._libc.mount(b"hangs", self.path.encode(), b"fuse", 0, options.encode()):
            raise OSError(ctypes.get_errno(), "mount")
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self._libc.umount2(self.path.encode(), 1 | 2)  # MNT_FORCE | MNT_DETACH
        os.close(self._device)
        self._thread.join(5)
        os.rmdir(self.path)

    def _answer(self):
        with contextlib.suppress(OSError):
            while True:
                request = os.read(self._device, 1 << 17)
                _, opcode, unique, node, *_ = _IN.unpack_from(request)
                if self.hang and opcode != _INIT:
                    continue
                error, body = self._reply(opcode, node, request[_IN.size :])
                os.write(self._device, _OUT.pack(_OUT.size + len(body), error, unique) + body)

    def _reply(self, opcode, node, argument):
        if opcode == _INIT:
            return 0, struct.pack("<IIIIHHIIHHI28x", 7, 31, 0, 0, 1, 1, 4096, 1, 1, 0, 0)
        if opcode == _LOOKUP:
            number = {b"folder": 2, b"file": 3}.get(argument.rstrip(b"\0"))
            if number is None:
                return -2, b""
            return 0, struct.pack("<QQQQII", number, 0, 0, 0, 0, 0) + _attributes(number)
        if opcode == _GETATTR:
            return 0, struct.pack("<QII", 0, 0, 0) + _attributes(node)
        if opcode in (_OPEN, _OPENDIR):
            return 0, struct.pack("<QII", 1, 0, 0)
        return (0, b"") if opcode == _FLUSH else (-38, b"")


def _attributes(node):
    mode = _FILE if node == 3 else _DIRECTORY
    return struct.pack("<QQQQQQIIIIIIIIII", node, 0, 0, 0, 0, 0, 0, 0, 0, mode, 1, 65534, 65534,
                       0, 4096, 0)  # fmt: skip

"""A small but real app server: binds or takes its socket, answers GETs on kept-alive connections.

usage: small.py port NUMBER | socket PATH | fd NUMBER  [SECONDS that it takes to stop]
"""

import selectors
import signal
import socket
import sys
import time

BODY = b"awake\n"
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
)


def listen(way: str, where: str) -> socket.socket:
    if way == "fd":
        return socket.socket(fileno=int(where))
    if way == "socket":
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(where)
    else:
        listener = socket.socket()
        listener.bind(("127.0.0.1", int(where)))
    listener.listen(128)
    return listener


def serve(listener: socket.socket) -> None:
    ready = selectors.DefaultSelector()
    ready.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in ready.select():
            if key.fileobj is listener:
                ready.register(listener.accept()[0], selectors.EVENT_READ, bytearray())
                continue
            connection = key.fileobj
            assert isinstance(connection, socket.socket)
            received = connection.recv(65536)
            key.data.extend(received)
            if not received:
                ready.unregister(connection)
                connection.close()
            elif key.data.endswith(b"\r\n\r\n"):
                connection.sendall(ANSWER)
                key.data.clear()


def stop(*_: object) -> None:
    time.sleep(float(sys.argv[3]) if len(sys.argv) > 3 else 0.0)
    sys.exit(0)


signal.signal(signal.SIGTERM, stop)
serve(listen(sys.argv[1], sys.argv[2]))

"""An app server that answers with raw bytes: `replay.py FILE`, listening on descriptor 3.

The file is a JSON list of latin-1 texts. /WAY/N sends the Nth: "close" ends the connection behind
it, "open" leaves it open, "bytes" sends byte after byte and then ends it. /ok is answered as it
should be, with the request's X-Nonce.
"""

import json
import socket
import sys
import threading
import time


def serve(sock, answers):
    buffer = b""
    with sock:
        while True:
            while b"\r\n\r\n" not in buffer:
                data = sock.recv(65536)
                if not data:
                    return
                buffer += data
            head, _, buffer = buffer.partition(b"\r\n\r\n")
            way, _, number = head.split(b" ")[1].decode().strip("/").partition("/")
            if way == "ok":
                nonce = head.lower().partition(b"x-nonce: ")[2].partition(b"\r\n")[0]
                fields = b"X-Nonce: %s\r\nContent-Length: 4" % nonce
                sock.sendall(b"HTTP/1.1 200 OK\r\n%s\r\n\r\nfine" % fields)
                continue
            raw = answers[int(number)]
            for at in range(0, len(raw), size := 1 if way == "bytes" else len(raw)):
                sock.sendall(raw[at : at + size])
                if way == "bytes":
                    time.sleep(0.0005)
            if way != "open":
                return


def connection(sock, answers):
    try:
        serve(sock, answers)
    except OSError:  # the proxy hung up
        pass


def main(path):
    with open(path, encoding="ascii") as file:
        answers = [text.encode("latin-1") for text in json.load(file)]
    listener = socket.socket(fileno=3)
    listener.setblocking(True)
    while True:
        sock, _peer = listener.accept()
        threading.Thread(target=connection, args=(sock, answers), daemon=True).start()


if __name__ == "__main__":
    main(sys.argv[1])

"""A strict HTTP/1.1 app server for tests, which logs whatever it sees and does what the path says.

Standard library only, so that `python -I -S` starts it in some 30 ms. One thread a connection.

    origin.py (--port N | --socket PATH | --fd N) [--site NAME] [--log FILE] [--options JSON]

The JSON is an object of the options below, by site, or by "*" for all sites:
    boot_delay      seconds before it listens
    boot_when       a path: it listens as soon as there is a file
    accept_delay    seconds from listening to the first accept
    exit_early      exit status, instead of listening
    never_listen    true: waits instead of listening
    say             text to print at once
    ignore_term     true: SIGTERM is ignored
    term_delay      seconds that SIGTERM takes
    orphans         how many sleepers are left that have left the session and ignore SIGTERM
    notify          true: sends READY=1 when it listens
    notify_when     sends READY=1 as soon as it has accepted and a file of that path is there
    health          a path: /health is answered 503 until there is a file
    say_first       is sent to $NOTIFY_SOCKET before boot_delay
    say_last        likewise at SIGTERM, before term_delay
    jobs            a path: /may-stop is answered 409 while there is a file
    backlog         of the listening socket; 128
    idle            seconds after which an idle connection is closed; 60
    serial          true: one connection at a time, and one request on each
"""

import json
import os
import re
import signal
import socket
import sys
import threading
import time

MAX_HEAD = 1 << 20
_token = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_request_line = re.compile(rb"(%s) ([!-~]+) HTTP/1\.([01])\r\n" % _token).match
_field = re.compile(rb"(%s):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*\r\n" % _token).match
_chunk_size = re.compile(rb"([0-9A-Fa-f]{1,8})(;[^\r\n]*)?\r\n").fullmatch


class Malformed(Exception):
    """What came in is no strict HTTP/1.1."""


class Gone(Exception):
    """The connection has ended."""


class Log:
    """Lines of JSON, each appended by one write."""

    def __init__(self, path, site):
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self.fd = os.open(path, flags, 0o666) if path else -1
        self.site = site

    def add(self, event, **facts):
        if self.fd >= 0:
            facts = {"event": event, "pid": os.getpid(), "site": self.site, **facts}
            os.write(self.fd, json.dumps(facts).encode() + b"\n")


class Request:
    def __init__(self, raw):
        self.raw = raw
        line = _request_line(raw)
        if line is None:
            raise Malformed("request line")
        self.method, self.target = line[1].decode(), line[2].decode()
        self.minor = int(line[3])
        self.fields = []
        at = line.end()
        while raw[at : at + 2] != b"\r\n":
            field = _field(raw, at)
            if field is None:
                raise Malformed(f"field at byte {at}")
            self.fields.append((field[1].decode().lower(), field[2].decode("latin-1")))
            at = field.end()
        if len(self.all("host")) != 1:
            raise Malformed("there must be one Host")
        lengths, codings = self.all("content-length"), self.all("transfer-encoding")
        if len(lengths) > 1 or len(codings) > 1 or (lengths and codings):
            raise Malformed("framing is told twice")
        self.chunked = bool(codings)
        if codings and (codings[0].lower() != "chunked" or not self.minor):
            raise Malformed("transfer coding")
        if lengths and not re.fullmatch("[0-9]{1,18}", lengths[0]):
            raise Malformed("content length")
        self.length = int(lengths[0]) if lengths else 0
        self.close = "close" in self.get("connection").lower() or not self.minor

    def all(self, name):
        return [value for key, value in self.fields if key == name]

    def get(self, name):
        return ", ".join(self.all(name))


class Connection:
    """One connection: reads requests strictly, answers each as its path says."""

    def __init__(self, app, sock):
        self.app, self.sock = app, sock
        self.buffer = self.raw = b""
        self.count = 0

    # -- reading

    def more(self):
        data = self.sock.recv(1 << 18)
        if not data:
            raise Gone
        self.buffer += data

    def head(self):
        self.sock.settimeout(self.app.options.get("idle", 60))
        while (end := self.buffer.find(b"\r\n\r\n")) < 0:
            if len(self.buffer) > MAX_HEAD:
                raise Malformed("head too long")
            self.more()
        self.raw, self.buffer = self.buffer[: end + 4], self.buffer[end + 4 :]
        self.sock.settimeout(60)
        return Request(self.raw)

    def exactly(self, size):
        while size:
            if not self.buffer:
                self.more()
            piece, self.buffer = self.buffer[:size], self.buffer[size:]
            size -= len(piece)
            yield piece

    def line(self):
        while (end := self.buffer.find(b"\r\n")) < 0:
            if len(self.buffer) > 8192:
                raise Malformed("line too long")
            self.more()
        line, self.buffer = self.buffer[: end + 2], self.buffer[end + 2 :]
        return line

    def pieces(self, request):
        if not request.chunked:
            yield from self.exactly(request.length)
            return
        while True:
            size = _chunk_size(self.line())
            if size is None:
                raise Malformed("chunk size")
            if not int(size[1], 16):
                break
            yield from self.exactly(int(size[1], 16))
            if self.line() != b"\r\n":
                raise Malformed("end of chunk")
        while (line := self.line()) != b"\r\n":
            if _field(line) is None:
                raise Malformed("trailer")

    def body(self, request, keep=1 << 24):
        """Reads the body whole; returns it as far as it is kept, and logs it."""
        kept, size = [], 0
        digest = None
        complete = False
        try:
            for piece in self.pieces(request):
                if digest is None:
                    import hashlib

                    digest = hashlib.sha256()
                digest.update(piece)
                size += len(piece)
                if size <= keep:
                    kept.append(piece)
            complete = True
        finally:
            sha = digest.hexdigest() if digest else ""
            nonce = request.get("x-nonce")
            self.app.log.add("body", nonce=nonce, length=size, sha=sha, complete=complete)
        return b"".join(kept)

    # -- answering

    def send(self, data):
        self.sock.sendall(data)

    def answer(self, request, body=b"", status="200 OK", fields=(), length=None):
        lines = [f"HTTP/1.1 {status}", f"X-Pid: {os.getpid()}", f"X-Site: {self.app.log.site}"]
        if request.get("x-nonce"):
            lines.append(f"X-Nonce: {request.get('x-nonce')}")
        lines += fields
        if length != "chunked":
            lines.append(f"Content-Length: {len(body) if length is None else length}")
        if request.close:
            lines.append("Connection: close")
        head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
        self.send(head if request.method == "HEAD" else head + body)

    def serve(self):
        try:
            while True:
                request = self.head()
                request.close = request.close or self.app.serial
                self.count += 1
                self.app.log.add(
                    "head",
                    method=request.method,
                    target=request.target,
                    nonce=request.get("x-nonce"),
                    head=request.raw.decode("latin-1"),
                )
                path, *rest = request.target.partition("?")[0].strip("/").split("/")
                # so that a request can be known in an access log, too
                rest = [part for part in rest if not part.startswith("n=")]
                behave = getattr(self, "do_" + path.replace("-", "_"), None)
                if behave is None:
                    self.body(request)
                    self.answer(request, b"no such path", "404 Not Found")
                elif behave(request, *rest) == "close":
                    return
                if request.close:
                    return
        except Malformed as error:
            seen = (self.raw + self.buffer)[:4000].decode("latin-1")
            self.app.log.add("malformed", reason=str(error), head=seen)
            try:
                self.send(
                    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
                )
            except OSError:
                pass
        except (Gone, OSError):
            pass
        finally:
            self.sock.close()

    # -- behaviours, by the first part of the path; "close" ends the connection

    def do_(self, request):
        return self.do_echo(request)

    def do_echo(self, request):
        body = self.body(request)
        self.answer(request, body or request.get("x-nonce").encode() or b"ok\n")

    def do_health(self, request):
        self.body(request)
        well = os.path.exists(self.app.options["health"])
        self.answer(request, status="200 OK" if well else "503 Service Unavailable")

    def do_head(self, request):
        """The raw head of the request, as it came in here."""
        self.body(request)
        self.answer(request, request.raw)

    def do_count(self, request):
        """How many requests came on this connection."""
        self.body(request)
        self.answer(request, b"%d" % self.count)

    def do_sink(self, request):
        """Reads the body, however long, and answers with its length."""
        size = sum(map(len, self.pieces(request)))
        self.answer(request, b"%d" % size)

    def do_notify(self, request, words):
        """Says something to $NOTIFY_SOCKET."""
        say(words)
        self.answer(request, b"said\n")

    def do_work(self, request, seconds):
        """Is busy for so long after the answer."""

        def work():
            time.sleep(float(seconds))
            say("X_LUISITO_BUSY=0")

        say("X_LUISITO_BUSY=1")
        threading.Thread(target=work).start()
        self.answer(request, b"begun\n")

    def do_may_stop(self, request):
        busy = os.path.exists(self.app.options["jobs"])
        self.answer(request, status="409 Conflict" if busy else "204 No Content")

    def do_sleep(self, request, seconds="1"):
        self.body(request)
        time.sleep(float(seconds))
        self.answer(request)

    def do_bytes(self, request, size):
        self.body(request)
        left = int(size)
        self.answer(request, length=left)
        block = bytes(range(256)) * 1024
        while left and request.method != "HEAD":
            self.send(block[:left])
            left -= min(left, len(block))

    def do_chunked(self, request, count="3"):
        self.body(request)
        fields = ("Transfer-Encoding: chunked", "Trailer: X-Trailer")
        self.answer(request, fields=fields, length="chunked")
        if request.method == "HEAD":
            return
        for number in range(int(count)):
            data = b"chunk %d\n" % number
            self.send(b"%x\r\n%s\r\n" % (len(data), data))
        self.send(b"0\r\nX-Trailer: yes\r\n\r\n")

    def do_drip(self, request, count="10", pause="0.1"):
        """A byte at a time."""
        self.body(request)
        self.answer(request, length=int(count))
        for _ in range(int(count)):
            time.sleep(float(pause))
            self.send(b".")

    def do_to_eof(self, request):
        self.body(request)
        self.send(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")
        return "close"

    def do_truncate_length(self, request):
        self.body(request)
        self.answer(request, b"half of it", length=20)
        return "close"

    def do_truncate_chunked(self, request):
        self.body(request)
        self.answer(request, fields=("Transfer-Encoding: chunked",), length="chunked")
        self.send(b"a\r\n0123456789\r\n")
        return "close"

    def do_close_after(self, request):
        request.close = True
        return self.do_echo(request)

    def do_close_silently(self, request):
        """Answers as if the connection went on, then ends it."""
        self.do_echo(request)
        return "close"

    def do_status(self, request, code="204"):
        self.body(request)
        self.send(b"HTTP/1.1 %s Some\r\n\r\n" % code.encode())

    def do_early_413(self, request):
        request.close = True
        self.answer(request, b"too much", "413 Content Too Large")
        self.sock.shutdown(socket.SHUT_WR)
        time.sleep(0.2)
        return "close"

    def do_417(self, request):
        request.close = True
        self.answer(request, b"no", "417 Expectation Failed")
        return "close"

    def do_continue(self, request):
        self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.do_echo(request)

    def do_103(self, request):
        self.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
        self.do_echo(request)

    def do_upgrade(self, request):
        """An echo tunnel, which ends with the client."""
        if not request.get("upgrade"):
            self.answer(request, b"no upgrade was asked for", "426 Upgrade Required")
            return None
        upgrade = request.get("upgrade").encode()
        nonce = request.get("x-nonce").encode()
        self.send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n"
            b"X-Nonce: %s\r\n\r\n%s" % (upgrade, nonce, self.buffer)
        )
        while data := self.sock.recv(65536):
            self.send(data)
        return "close"

    def do_unasked_101(self, request):
        self.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
        return "close"

    def do_sse(self, request, pause="0.1"):
        """Events without an end."""
        fields = ("Content-Type: text/event-stream", "Transfer-Encoding: chunked")
        self.answer(request, fields=fields, length="chunked")
        number = 0
        while True:
            number += 1
            data = b"id: %d\n\n" % number
            self.send(b"%x\r\n%s\r\n" % (len(data), data))
            time.sleep(float(pause))

    def do_endless(self, request):
        self.answer(request, fields=("Transfer-Encoding: chunked",), length="chunked")
        block = b"10000\r\n" + bytes(65536) + b"\r\n"
        while True:
            self.send(block)

    def do_garbage(self, request):
        self.send(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
        return "close"

    def do_both_framings(self, request):
        self.send(
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        )
        return "close"

    def do_extra_bytes(self, request, pause="0"):
        """Another answer behind this one, in the same piece or some time after it."""
        forged = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-Nonce: forged\r\n\r\nevil"
        if float(pause):
            self.do_echo(request)
            time.sleep(float(pause))
            self.send(forged)
        else:
            self.answer(request, b"ok" + forged, length=2)

    def do_head_too_big(self, request):
        self.answer(request, b"x", fields=("X-Big: " + "b" * 200_000,))

    def do_never(self, request):
        time.sleep(3600)

    def do_rst(self, request):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        return "close"

    def do_rst_if_reused(self, request):
        return self.do_rst(request) if self.count > 1 else self.do_echo(request)

    def do_stdout_flood(self, request, size="1000000"):
        line = b"flood " * 20 + b"\n"
        for _ in range(int(size) // len(line)):
            os.write(1, line)
        self.do_echo(request)

    def do_stdout_lines(self, request, count):
        for number in range(int(count)):
            os.write(1, b"line %09d %s\n" % (number, b"." * 84))  # 100 bytes
        self.do_echo(request)

    def do_stdout_text(self, request, text):
        os.write(1, text.encode())
        self.do_echo(request)

    def do_close_stdout(self, request):
        os.closerange(0, 3)
        self.do_echo(request)

    def do_allocate(self, request, size):
        """Takes memory, and keeps it."""
        self.body(request)
        self.app.kept = getattr(self.app, "kept", b"") + b"\1" * int(size)
        self.answer(request)

    def do_fork(self, request, count):
        """How many more processes there can be, at most as many as asked for; they end with it."""
        self.body(request)
        children = []
        try:
            for _ in range(int(count)):
                pid = os.fork()
                if pid == 0:
                    time.sleep(3600)
                children.append(pid)
        except BlockingIOError:
            pass
        self.answer(request, b"%d" % len(children))
        for pid in children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def do_burn(self, request, seconds):
        """Takes as much processor time."""
        self.body(request)
        while time.thread_time() < float(seconds):
            pass
        self.answer(request)

    def do_exit(self, request, code="0"):
        os._exit(int(code))

    def do_answer_and_exit(self, request):
        self.do_echo(request)
        os._exit(0)

    def do_die(self, request):
        """Killed in the middle of an answer."""
        self.answer(request, b"half of it", length=20)
        os.kill(os.getpid(), signal.SIGKILL)

    def do_stop(self, request):
        # to this thread: another one would take it a moment after we went on
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
        self.answer(request, b"continued")


class App:
    def __init__(self, arguments):
        options = json.loads(arguments.get("options", "{}"))
        site = arguments.get("site", "")
        self.options = {**options.get("*", {}), **options.get(site, {})}
        self.arguments = arguments
        self.serial = self.options.get("serial", False)
        self.log = Log(arguments.get("log"), site)

    def listen(self):
        arguments, backlog = self.arguments, self.options.get("backlog", 128)
        if "fd" in arguments:
            return socket.socket(fileno=int(arguments["fd"]))
        if "socket" in arguments:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(arguments["socket"])
        else:
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", int(arguments["port"])))
        listener.listen(backlog)
        return listener

    def run(self):
        options = self.options
        self.log.add("boot", log=self.log.fd, **state())
        if "say" in options:
            print(options["say"], flush=True)
        if options.get("ignore_term"):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        elif "term_delay" in options:
            signal.signal(signal.SIGTERM, self.end_slowly)
        for _ in range(options.get("orphans", 0)):
            leave_an_orphan()
        if "say_first" in options:
            say(options["say_first"])
        time.sleep(options.get("boot_delay", 0))
        while "boot_when" in options and not os.path.exists(options["boot_when"]):
            time.sleep(0.02)
        if "exit_early" in options:
            os._exit(options["exit_early"])
        while options.get("never_listen"):
            time.sleep(3600)
        listener = self.listen()
        listener.setblocking(True)
        if options.get("notify"):
            say("READY=1")
        if "notify_when" in options:
            threading.Thread(target=say_when, args=(options["notify_when"],), daemon=True).start()
        time.sleep(options.get("accept_delay", 0))
        while True:
            sock, _peer = listener.accept()
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(self, sock)
            if self.serial:
                connection.serve()
            else:
                threading.Thread(target=connection.serve, daemon=True).start()

    def end_slowly(self, number, frame):
        if "say_last" in self.options:
            say(self.options["say_last"])
        time.sleep(self.options["term_delay"])
        os._exit(0)


def say_when(path):
    """Says that it is ready, when a file is there."""
    while not os.path.exists(path):
        time.sleep(0.01)
    say("READY=1")


def say(words):
    """Says something to $NOTIFY_SOCKET (sd_notify(3))."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.sendto(words.encode(), os.environ["NOTIFY_SOCKET"])


def leave_an_orphan():
    """A sleeper that has left the session and its parent, as a daemon does, and ignores SIGTERM."""
    if os.fork():
        os.wait()
        return
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork():
        os._exit(0)
    time.sleep(3600)
    os._exit(0)


def state():
    """Who this process is, and what it was given."""
    with open("/proc/self/status") as file:
        status = {name: value.strip() for name, _, value in (line.partition(":") for line in file)}
    # the descriptor of the listing itself is closed by now
    descriptors = [int(name) for name in os.listdir("/proc/self/fd")]
    descriptors = [fd for fd in descriptors if os.path.exists(f"/proc/self/fd/{fd}")]
    return {
        "uids": list(map(int, status["Uid"].split())),
        "gids": list(map(int, status["Gid"].split())),
        "groups": list(map(int, status["Groups"].split())),
        "caps": {name: int(status[name], 16) for name in status if name.startswith("Cap")},
        "no_new_privs": int(status["NoNewPrivs"]),
        "leader": os.getsid(0) == os.getpid(),
        "descriptors": descriptors,
        "umask": int(status["Umask"], 8),
        "cwd": os.getcwd(),
    }


def main(argv):
    App({argv[at][2:]: argv[at + 1] for at in range(0, len(argv), 2)}).run()


if __name__ == "__main__":
    main(sys.argv[1:])

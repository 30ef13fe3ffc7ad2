"""What a service manager hears at a socket that is bound as systemd binds its own."""

import os
import re
import signal
import socket
import tempfile
import time

import pytest

from tests.harness import processes


class Manager:
    """The end of systemd: NOTIFY_SOCKET, and what was said there."""

    def __init__(self, folder, *, abstract):
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        name = f"{folder}/notify"
        self._sock.bind("\0" + name if abstract else name)
        if not abstract:
            os.chmod(name, 0o777)
        self.name = "@" + name if abstract else name
        self._sock.setblocking(False)
        self.heard = []

    def read(self):
        """All that was said so far, one list of lines for each datagram."""
        while True:
            try:
                self.heard.append(self._sock.recv(4096).decode().split("\n"))
            except BlockingIOError:
                return self.heard

    def hears(self, pattern, seconds=15.0):
        """Waits for a line."""

        def found():
            lines = [line for lines in self.read() for line in lines]
            return next((m for line in lines if (m := re.fullmatch(pattern, line))), None)

        return processes.until(found, seconds, f"{pattern!r} among {self.heard}")

    def close(self):
        self._sock.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request):
    with tempfile.TemporaryDirectory(prefix="systemd-") as folder:
        os.chmod(folder, 0o755)
        manager = Manager(folder, abstract=request.param == "abstract")
        yield manager
        manager.close()


def test_ready_status_and_stopping(manager, serve, as_whom):
    server = serve(
        {"MAX_SERVERS": 5}, ordinary=as_whom == "ordinary", environ={"NOTIFY_SOCKET": manager.name}
    )
    manager.hears("READY=1")
    manager.hears("STATUS=0 of 5 servers")
    server.warm("a.localhost", "b.localhost")
    manager.hears(r"STATUS=2 of 5 servers, \d+ req/s")
    assert not any("WATCHDOG=1" in lines for lines in manager.read())
    assert server.stop() == 0
    manager.hears("STOPPING=1")


def test_the_watchdog_is_fed_twice_in_its_time_and_not_while_nothing_turns(manager, serve):
    server = serve(environ={"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "400000"})
    manager.hears("WATCHDOG=1")

    def fed():
        return sum("WATCHDOG=1" in lines for lines in manager.read())

    before = fed()
    processes.until(lambda: fed() >= before + 3, 10, "three more words of being alive")
    server.send_signal(signal.SIGSTOP)
    processes.until(lambda: processes.stat(server.process.pid)[0] == "T", 5, "a stop")
    stopped = fed()
    time.sleep(1)
    assert fed() == stopped
    server.send_signal(signal.SIGCONT)
    processes.until(lambda: fed() > stopped, 10, "another word of being alive")


def test_a_server_does_not_get_the_socket_of_the_service_manager(manager, serve):
    server = serve(environ={"NOTIFY_SOCKET": manager.name})
    manager.hears("READY=1")
    server.warm("a.localhost")
    (pid,) = server.servers()
    assert processes.environ(pid)["NOTIFY_SOCKET"] != manager.name


def test_a_socket_that_is_not_there_is_told_and_survived(serve):
    server = serve(environ={"NOTIFY_SOCKET": "/nonexistent/notify"})
    server.expect(r"The service manager was not told .*: \$NOTIFY_SOCKET: No such file")
    assert server.request().status == 200

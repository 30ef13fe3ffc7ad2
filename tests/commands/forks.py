"""Runs `luisito` in forks of one process that has imported it, as most of a command's time is that.

Each fork enters the mount namespace, folder and environment it is told, and there calls what the
script calls. Its parent has asked for nothing that is remembered, like users.
"""

import ctypes
import json
import os
import socket
import subprocess
import sys
import tempfile
import traceback

from tests.harness.server import ROOT

_CLONE_NEWNS = 0x00020000  # setns(2)
_LIMIT = 1 << 16  # bytes of an order


class Forks:
    """The process, from outside."""

    def __init__(self):
        self._sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.commands.forks", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
            )

    def run(self, argv, *, folder, environ, namespace=None):
        """Runs `luisito`; returns what subprocess.run does, with text.

        Args:
            argv: without the program's name.
            folder: that it is to be in.
            environ: all of its environment.
            namespace: the file of its mount namespace; None for ours.
        """
        order = {"argv": argv, "folder": folder, "environ": environ, "namespace": namespace}
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
            files = [out.fileno(), errors.fileno()]
            socket.send_fds(self._sock, [json.dumps(order).encode()], files)
            status = int(self._sock.recv(_LIMIT))
            out.seek(0)
            errors.seek(0)
            return subprocess.CompletedProcess(
                argv, status, out.read().decode(), errors.read().decode()
            )

    def close(self):
        self._sock.close()
        self._process.wait()


def _serve(sock):
    import luisito.checks.settings_file  # noqa: F401 - for the forks
    from luisito.cli import main

    while True:
        data, files, _flags, _address = socket.recv_fds(sock, _LIMIT, 2)
        if not data:
            return
        pid = os.fork()
        if pid == 0:
            _become(**json.loads(data), files=files, main=main)
        for file in files:
            os.close(file)
        sock.send(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())


def _become(argv, folder, environ, namespace, files, main):
    """Is the command, and ends with it."""
    status = 1
    try:
        for number, file in enumerate(files, 1):
            os.dup2(file, number)
        os.closerange(3, 100)
        if namespace is not None:
            file = os.open(namespace, os.O_RDONLY)
            if ctypes.CDLL(None, use_errno=True).setns(file, _CLONE_NEWNS):
                raise OSError(ctypes.get_errno(), "setns")
            os.close(file)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environ)
        status = main(argv)
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))

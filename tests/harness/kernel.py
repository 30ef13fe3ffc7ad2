"""A kernel of its own for tests: User Mode Linux, on the files of this machine, read-only.

For what most machines that run tests do not give: cgroup v2 with all its controllers, as root,
where the kernel may kill for memory and nobody else is in the way.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.harness import processes

ROOT = Path(__file__).parent.parent.parent
PROGRAM = "linux.uml"
_INSIDE = "LUISITO_TESTS_IN_UML"
_LIMIT = 100  # seconds for a boot, and for a test; a boot takes some
_READY = re.compile(r"^the kernel is ready\r?$", re.MULTILINE)
_END = re.compile(r"^the test ended with (-?\d+)\r?$", re.MULTILINE)
# The root is the host's, by hostfs; TMPDIR is not /tmp, since the checkout may be there.
_INIT = """\
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 run /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -m 1777 /run/tmp
mkdir /dev/shm /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
ip link set lo up
stty -echo
cd '{root}'
export PATH='{path}' TMPDIR=/run/tmp LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 {inside}=1
exec '{python}' -m tests.harness.inside
"""


def inside():
    """Whether we are in there."""
    return _INSIDE in os.environ


class Kernel:
    """One that is booted for the first test, and runs the others, too, one after the other."""

    def __init__(self):
        self._process, self._folder, self._at = None, None, 0

    def run(self, test):
        """Runs one test in there.

        Args:
            test: its node id.

        Raises:
            AssertionError: it failed; with all that was written to its console.
        """
        if self._process is None:
            self._boot()
            self._read(_READY)
        self._process.stdin.write(f"{test}\n".encode())
        found, text = self._read(_END)
        assert found[1] == "0", text

    def _boot(self):
        self._folder = tempfile.mkdtemp(prefix="lt-uml-")
        script = Path(self._folder) / "init"
        path = f"{os.path.dirname(sys.executable)}:/usr/sbin:/usr/bin:/sbin:/bin"
        words = {"root": ROOT, "path": path, "inside": _INSIDE, "python": sys.executable}
        script.write_text(_INIT.format(**words))
        script.chmod(0o755)
        command = [
            PROGRAM, "mem=512M", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro",
            "quiet", "con=null", "con0=fd:0,fd:1", f"uml_dir={self._folder}", f"init={script}",
        ]  # fmt: skip
        self._at = 0
        with open(script.with_name("console"), "wb") as out:
            self._process = subprocess.Popen(
                command,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def _read(self, pattern):
        """Waits for a line on the console; returns the match, and what came since the last one."""

        def written():
            return (Path(self._folder) / "console").read_text(errors="replace")[self._at :]

        def come():
            ended = self._process.poll() is not None
            return pattern.search(written()) or ended

        with contextlib.suppress(AssertionError):
            processes.until(come, _LIMIT)
        text = written()
        found = pattern.search(text)
        if found is None:
            self.close()
            raise AssertionError(f"it did not come to an end:\n{text}")
        self._at += found.end()
        return found, text

    def close(self):
        """Ends it; the next test will boot another one."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.stdin.close()
        self._process.wait()
        shutil.rmtree(self._folder)
        self._process = None

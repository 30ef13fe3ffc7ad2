"""A kernel of its own for a test: User Mode Linux, on the files of this machine, read-only.

For what most machines that run tests do not give: cgroup v2 with all its controllers, as root,
where the kernel may kill for memory and nobody else is in the way.
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PROGRAM = "linux.uml"
_INSIDE = "LUISITO_TESTS_IN_UML"
_LIMIT = 100  # seconds; a boot takes two
_END = re.compile(r"^the test ended with (\d+)\r?$", re.MULTILINE)
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
cd '{root}'
export PATH='{path}' TMPDIR=/run/tmp LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 {inside}=1
'{python}' -m pytest -q --color=no -p no:xdist --override-ini timeout=80 '{test}'
echo "the test ended with $?"
sync
echo o >/proc/sysrq-trigger
sleep 10
"""


def inside():
    """Whether we are in there."""
    return _INSIDE in os.environ


def run(test, folder):
    """Runs one test in there.

    Args:
        test: its node id.
        folder: for its script.

    Raises:
        AssertionError: it failed; with all that was written to its console.
    """
    script = Path(folder) / "init"
    path = f"{os.path.dirname(sys.executable)}:/usr/sbin:/usr/bin:/sbin:/bin"
    words = {"root": ROOT, "path": path, "inside": _INSIDE, "python": sys.executable, "test": test}
    script.write_text(_INIT.format(**words))
    script.chmod(0o755)
    command = [
        PROGRAM, "mem=512M", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", "quiet",
        "con=null", "con0=fd:0,fd:1", f"uml_dir={folder}", f"init={script}",
    ]  # fmt: skip
    console = script.with_name("console")
    with open(console, "wb") as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        try:
            process.wait(_LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    text = console.read_text(errors="replace")
    found = _END.search(text)
    assert found is not None, f"it did not come to an end:\n{text}"
    assert found[1] == "0", text

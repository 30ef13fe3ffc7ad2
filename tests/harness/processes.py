"""What /proc tells of processes, and being the one who inherits orphans."""

import contextlib
import ctypes
import os
import subprocess
import time

_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


def become_subreaper():
    """From now on, orphans among our descendants become our children, whatever pid 1 does."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def stat(pid):
    """(state, ppid) of a process; None where there is none."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], int(fields[1])


def started(pid):
    """When a process began, in clock ticks since the boot; 0 where there is none."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[19])
    return 0


def table():
    """{pid: (state, ppid)} of all processes."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return {pid: found for pid in pids if (found := stat(pid)) is not None}


def descendants(pid):
    """{pid: (state, ppid)} of all processes below one."""
    everybody = table()
    children = {}
    for child, (_state, parent) in everybody.items():
        children.setdefault(parent, []).append(child)
    below, todo = {}, [pid]
    while todo:
        for child in children.get(todo.pop(), ()):
            below[child] = everybody[child]
            todo.append(child)
    return below


def command(pid):
    """The command line, for messages."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read().replace(b"\0", b" ").decode(errors="replace").strip() or "(zombie)"
    return "(gone)"


def is_of_starter(pid):
    """Whether it is the starter (luisito.spawner.starter), or a child that it has ready."""
    return command(pid).startswith("luisito-starter")


def is_starter(pid):
    """Whether it is the starter itself: each that it has ready has a session of its own."""
    try:
        return is_of_starter(pid) and os.getsid(pid) != pid
    except ProcessLookupError:
        return False


def cwd(pid):
    """Its working folder; "" where that may not be read."""
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{pid}/cwd")
    return ""


def environ(pid):
    """The environment a process was started with; {} where it may not be read."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
        pairs = file.read().decode(errors="replace").split("\0")
        return dict(pair.split("=", 1) for pair in pairs if "=" in pair)
    return {}


def status(pid):
    """The lines of /proc/PID/status by name; {} where there is none."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status") as file:
        return {name: value.strip() for name, _, value in (line.partition(":") for line in file)}
    return {}


def io(pid):
    """The lines of /proc/PID/io by name; {} where there is none."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/io") as file:
        return {name: value.strip() for name, _, value in (line.partition(":") for line in file)}
    return {}


def limit(pid, what, soft):
    """Changes a soft limit of a process, which only its own user may, whatever root may elsewhere.

    Args:
        pid: of the process.
        what: as prlimit(1) names it, like "nofile" or "fsize".
        soft: the limit.
    """
    of = status(pid)
    uid, gid = (int(of[name].split()[0]) for name in ("Uid", "Gid"))
    whom = {} if uid == os.getuid() else {"user": uid, "group": gid, "extra_groups": []}
    subprocess.run(["prlimit", f"--pid={pid}", f"--{what}={soft}:"], check=True, **whom)


def tasks_of(uid):
    """How many threads a user has, as RLIMIT_NPROC counts them."""
    found = [status(pid) for pid in table()]
    return sum(int(of["Threads"]) for of in found if of and of["Uid"].split()[0] == str(uid))


def memory(pid):
    """The bytes of memory that a process has now."""
    return int(status(pid)["VmRSS"].split()[0]) * 1024


def ticks(pid):
    """How long a process has been on a processor, in hundredths of a second."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def descriptors(pid):
    """{descriptor: what it is}."""
    found = {}
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                found[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
    return found


def removed(descriptor):
    """Whether the folder that a descriptor is open on is gone, whatever has its name by now."""
    return os.readlink(f"/proc/self/fd/{descriptor}").endswith(" (deleted)")


def reap_orphans(known):
    """Reaps what has become our child; `known` are children of somebody's subprocess.Popen."""
    with contextlib.suppress(ChildProcessError):
        # Mostly none has ended, and to ask costs little, where to read all of /proc costs much.
        if os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return
    for pid, (state, parent) in table().items():
        if parent == os.getpid() and state == "Z" and pid not in known:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def until(condition, seconds=5.0, what="it"):
    """Polls until a condition is true, and returns what it returned."""
    end = time.monotonic() + seconds
    while not (result := condition()):
        if time.monotonic() >= end:
            raise AssertionError(f"{what} did not happen within {seconds:g} s")
        time.sleep(0.005)
    return result


def at_once(found, look, most):
    """Of what a look has found those that lived all at once, where it is more than there may be.

    A look takes a while, in which one ends and another one starts: whatever the next look finds
    again was there between the two.

    Args:
        found: a set, by a look.
        look: looks again.
        most: how many there may be.
    """
    return found if len(found) <= most else found & look()


def steady(value, seconds=0.5):
    """Polls until a value has not changed for so many seconds, and returns it."""
    last, since = value(), time.monotonic()
    while time.monotonic() < since + seconds:
        time.sleep(0.02)
        if (now := value()) != last:
            last, since = now, time.monotonic()
    return last

"""The invariants of docs and design, checked from the outside after each whole-server test."""

import json
import os
import re
import socket
import time
from collections import Counter

from tests.harness import cgroups, processes

# Seconds that a deadline may be late: it is noticed within one, and the machine may be busy.
_LATE = 2.0
_MEMORY = 128 * 1024  # KiB at most of one process of Luisito's; 40 MiB are the interpreter's
_GRACE = 1.0  # seconds after the end within which everything must have gone
_TROUBLE = re.compile(
    r"Traceback|Unhandled|[#\[](?:warn|error|critical)\]|ResourceWarning|Exception ignored"
)
_FIELDS = {
    "time", "client", "site", "method", "target", "status", "in", "out", "first_byte", "total",
    "start", "queued", "starting", "end", "reason",
}  # fmt: skip


def while_it_runs(server):
    """What can be seen only before the end; returns words for each fault."""
    return _objections(server, WHILE_IT_RUNS)


def after_its_end(server):
    """Everything else; returns words for each fault."""
    return _objections(server, CHECKS)


def _objections(server, checks):
    found = []
    for name, check in checks.items():
        if name not in server.unchecked:
            found += [f"{name}: {words}" for words in check(server)]
    return found


# -- 1: conservation


def conservation(server):
    counters = _counters(server)
    if counters is None:
        return ["it wrote no counters at its end"]
    server.counters = counters
    heads, answers, aborts = (counters[name] for name in ("heads", "answers", "aborts"))
    found = []
    if heads != answers + aborts:
        found.append(f"{heads} heads, but {answers} answers and {aborts} aborts")
    if counters["lines"] != heads:
        found.append(f"{heads} heads, but {counters['lines']} access lines")
    if counters["open"]:
        found.append(f"{counters['open']} connections are still counted as open")
    if server.ledger.finals > answers:
        found.append(f"clients got {server.ledger.finals} answers, it counted {answers}")
    return found


def _counters(server):
    """The sums of what all its network processes have counted."""
    matches = re.findall(r"counters: (\{.*\})", server.log())
    if not matches:
        return None
    sums = Counter()
    for match in matches:
        sums.update(json.loads(match))
    return dict(sums)


def access_lines(server):
    """Each is JSON with all fields; there are as many as were counted."""
    path = server.settings.get("ACCESS_LOG")
    if path is None or server.how == "run":
        return
    if not os.path.exists(path):
        yield f"{path} is missing"
        return
    lines = []
    with open(path, encoding="ascii") as file:
        for text in file:
            try:
                line = json.loads(text)
            except ValueError:
                yield f"no JSON: {text!r}"
                continue
            if line.keys() != _FIELDS:
                yield f"wrong fields: {text!r}"
            lines.append(line)
    counters = _counters(server)
    if counters is None:
        return
    if len(lines) != counters["lines"] - counters["dropped_lines"]:
        yield f"{len(lines)} access lines in the file; counted: {counters}"
    # the 101 of a tunnel is a whole answer, however the tunnel has ended
    whole = sum(
        line.get("end") == "" or not line.get("method") or line.get("status") == 101
        for line in lines
    )
    if whole != counters["answers"] and not counters["dropped_lines"]:
        yield f"{whole} access lines of whole answers, {counters['answers']} answers were counted"


def _read_access_lines(server):
    """Those that can be read; the others are another check's."""
    path = server.settings.get("ACCESS_LOG")
    if path is None or not os.path.exists(path):
        return
    with open(path, encoding="ascii", errors="replace") as file:
        for text in file:
            try:
                yield json.loads(text)
            except ValueError:
                continue


# -- 2 and 4: matching, and what an app may see of a request


def nonces(server):
    yield from server.ledger.faults
    seen = Counter((line["nonce"], line["method"]) for line in server.seen("head") if line["nonce"])
    for (nonce, method), times in seen.items():
        once = method not in {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"}
        if times > (1 if once else 2):
            yield f"apps saw {method} {nonce} {times} times"


def malformed(server):
    for line in server.seen("malformed"):
        yield f"an app got what is no strict HTTP: {line}"


# -- 5: bounded time


def bounded_time(server):
    """Of each access line, as the settings have it; uploads and streams are others' matter."""
    names = {"QUEUE_TIMEOUT": 45, "START_TIMEOUT": 60, "RESPONSE_TIMEOUT": 60}
    limit = {name: server.settings.get(name, default) for name, default in names.items()}
    for line in _read_access_lines(server):
        queued, starting = line.get("queued", 0), line.get("starting", 0)
        # for a place in the pool, and again for a connection
        if queued > 2 * limit["QUEUE_TIMEOUT"] + _LATE:
            yield f"waited too long: {line}"
        if starting > limit["START_TIMEOUT"] + _LATE:
            yield f"was started too long: {line}"
        if line.get("method") in {"GET", "HEAD"} and line.get("first_byte"):
            answering = line["first_byte"] - queued - starting
            if answering > limit["RESPONSE_TIMEOUT"] + _LATE:
                yield f"{answering:.1f} s for an answer: {line}"


# -- 6: processes

_LIVES = re.compile(
    r"\] (?P<site>\S+): (?:"
    r"started as pid (?P<started>\d+),"
    r"|stopping pid (?P<stopping>\d+)"
    r"|pid (?P<gone>\d+) (?:exited|was killed|is gone)"
    r"|(?P<failed>the command (?:exited|was killed|went)|.*; trying another port))"
)


def pool(server):
    """Never too many servers at a time, as the log tells of their lives."""
    names = server.settings
    awake, leaving = {}, set()  # {pid: site}, pids
    # one site's new server, beside its old one
    rolling = "SITES_DIR" in names or " asks it to restart" in server.log()
    for line in server.log().splitlines():
        match = _LIVES.search(line)
        if match is None:
            continue
        if match["started"]:
            if match["started"] not in leaving:  # stopped before it was told that it runs
                awake[match["started"]] = match["site"]
        elif match["stopping"]:
            awake.pop(match["stopping"], None)
            leaving.add(match["stopping"])
        elif match["gone"]:
            awake.pop(match["gone"], None)
            leaving.discard(match["gone"])
        else:
            # its start has failed; there is one of a site at a time
            awake = {pid: site for pid, site in awake.items() if site != match["site"]}
        most, overlap = names.get("MAX_SERVERS", 10) + rolling, names.get("OVERLAP", 1)
        if len(awake) > most or len(awake) + len(leaving) > most + overlap:
            yield f"{len(awake)} servers awake and {len(leaving)} leaving at {line!r}"


def _zombies(server):
    def dead():
        below = processes.descendants(server.process.pid)
        return {pid for pid, (state, _parent) in below.items() if state == "Z"}

    lasting = dead()
    end = time.monotonic() + _GRACE
    while lasting and time.monotonic() < end:
        time.sleep(0.02)
        lasting &= dead()
    for pid in lasting:
        yield f"pid {pid} stays a zombie below pid {processes.stat(pid)}"


def descendants(server):
    end = time.monotonic() + _GRACE
    while (left := server.left()) and time.monotonic() < end:
        time.sleep(0.02)
    for pid, command in left.items():
        yield f"pid {pid} is left: {command}"


# -- 7: files, sockets and ports


def files(server):
    path = server.settings.get("RUNTIME_DIR")
    if path is None or not os.path.isdir(path):
        return
    for name in os.listdir(path):
        yield f"{name} is left in RUNTIME_DIR: {os.listdir(f'{path}/{name}')}"


def groups(server):
    """Its own processes may have moved into one, which is for systemd to remove."""
    if server.cgroups is None or server.process.returncode:
        return
    for folder in cgroups.below(server.cgroups):
        if folder not in (server.cgroups, f"{server.cgroups}/self") or server.cgroup is None:
            yield f"the cgroup {folder} is left, with pids {cgroups.pids(folder)}"


def ports(server):
    used = {
        server.port,
        *map(int, re.findall(r": started as pid .*, port (\d+), in ", server.log())),
    }
    for port in used:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                yield f"port {port} is still in use: {error}"


# -- 9: isolation


def stalls(server):
    """No input of one client holds the reactor for more than 50 ms.

    CPU time of its thread, so that a machine that is slow, or busy, does not count.
    """
    counters = _counters(server)
    if counters is not None and counters["stalls"]:
        yield f"the reactor was held {counters['stalls']} times; the log says by what"


# -- 10: privileges


def _allowed_root(server):
    return server.how == "run" or server.settings.get("RUN_AS") == "root"


def _sampled_privileges(server):
    """Of whatever processes there are now, by /proc."""
    yield from _of_the_network_process(server)
    if _allowed_root(server):
        return
    for pid in processes.descendants(server.process.pid):
        if "LUISITO_SERVER" not in processes.environ(pid):
            continue
        status = processes.status(pid)
        if not status or status["State"].startswith("Z"):
            continue
        uids, gids = status["Uid"].split(), status["Gid"].split()
        if "0" in uids or "0" in gids or "0" in status["Groups"].split():
            yield f"pid {pid} has uids {uids}, gids {gids}, groups {status['Groups']}"
        own = processes.status(_serving(server))
        if own and own["Uid"] != status["Uid"]:  # root has given it to another user than ourselves
            shared = {own["Gid"].split()[0], *own["Groups"].split()} - {gids[0]}
            if shared & {*gids, *status["Groups"].split()}:
                yield f"pid {pid} is in a group of Luisito's: {gids}, groups {status['Groups']}"
        bounding = ("CapBnd",) if server.user is None and not os.getuid() else ()
        for name in ("CapInh", "CapPrm", "CapEff", "CapAmb", *bounding):
            if int(status[name], 16):
                yield f"pid {pid} has capabilities: {name} {status[name]}"
        if status["NoNewPrivs"] != "1":
            yield f"pid {pid} is not under no_new_privs"


def _serving(server):
    """The pid of the network process that serves; 0 for none. A successor is root until it does."""
    return next((pid for pid in server.networks() if _confined(pid)), 0)


def _confined(pid):
    return processes.status(pid).get("Seccomp") == "2"


def _of_the_network_process(server):
    if "Listening on" not in server.log() or not server.networks():
        return  # it has not given anything up yet, or was killed
    end = time.monotonic() + _GRACE
    while not (pid := _serving(server)) and time.monotonic() < end:
        time.sleep(0.02)
    status = processes.status(pid)
    if not status:
        yield f"of the network processes {server.networks()} none has a filter of system calls"
        return
    sets = ["CapInh", "CapPrm", "CapEff", "CapAmb"]
    if server.user is None and not os.getuid():
        sets.append("CapBnd")
        if "0" in [*status["Uid"].split(), *status["Gid"].split(), *status["Groups"].split()]:
            yield f"the network process is root: {status['Uid']}, {status['Gid']}"
    for name, value in {"NoNewPrivs": "1", **dict.fromkeys(sets, "0" * 16)}.items():
        if status[name] != value:
            yield f"the network process has {name} {status[name]}"


def privileges(server):
    """Of all origins, by what they found at their start."""
    for boot in server.seen("boot"):
        who = f"{boot['site']} (pid {boot['pid']})"
        if not _allowed_root(server) and 0 in [*boot["uids"], *boot["gids"], *boot["groups"]]:
            yield f"{who} has uids {boot['uids']}, gids {boot['gids']}, groups {boot['groups']}"
        bounded = set(boot["caps"]) if server.user is None and not os.getuid() else set()
        held = {"CapInh", "CapPrm", "CapEff", "CapAmb"} if not _allowed_root(server) else set()
        for name in held | (bounded & {"CapBnd"}):
            if boot["caps"][name]:
                yield f"{who} has capabilities: {name} {boot['caps'][name]:x}"
        if not boot["no_new_privs"]:
            yield f"{who} is not under no_new_privs"
        if not boot["leader"]:
            yield f"{who} is not the leader of a session"
        # one is open for a moment: the folder in which the origin looks them up, or its log
        extra = set(boot["descriptors"]) - {0, 1, 2, boot["log"]}
        if extra - ({3} if server.way == "fd" else set()):
            yield f"{who} has descriptors {boot['descriptors']}"


# -- 12: memory


def memory(server):
    """What Luisito's own processes have needed at most."""
    for pid in (server.process.pid, *server.spawner()):
        peak = processes.status(pid).get("VmHWM")  # none of a zombie
        if peak is not None and int(peak.split()[0]) > _MEMORY:
            yield f"pid {pid} has needed {peak}: {processes.command(pid)}"


# -- 13: clean log


def clean_log(server):
    text = server.log()
    patterns = [*server.expected, *server.allowed]
    for line in text.splitlines():
        if _TROUBLE.search(line) and not any(re.search(pattern, line) for pattern in patterns):
            at = text.find(line)
            yield f"in the log:\n{text[at : at + 2000]}"
            break
    for pattern in server.expected:
        if not re.search(pattern, text):
            yield f"the log has nothing like {pattern!r}"


WHILE_IT_RUNS = {
    "zombies": _zombies,
    "sampled privileges": _sampled_privileges,
    "memory": memory,
}
CHECKS = {
    "conservation": conservation,
    "access lines": access_lines,
    "nonces": nonces,
    "malformed": malformed,
    "bounded time": bounded_time,
    "pool": pool,
    "descendants": descendants,
    "files": files,
    "cgroups": groups,
    "ports": ports,
    "stalls": stalls,
    "privileges": privileges,
    "clean log": clean_log,
}

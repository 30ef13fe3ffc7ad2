"""Looks at the processes of a soak, time after time: memory, descriptors, servers, zombies."""

import contextlib
import re
import threading
import time

from tests.harness import processes
from tests.soak.world import MAX_SERVERS, OVERLAP

_EVERY = 2.0  # seconds
_ZOMBIE = 3.0  # seconds that a process may be dead before somebody reaps it
_MiB = 1 << 20
_LISTENS = "0A"  # a state in /proc/net/tcp

_INTERPRETER = re.compile(r"luisito preload|boot\.py preload")


class Watch(threading.Thread):
    """Samples until it is told to end.

    Args:
        world: what.
        verdict: who is told of too many servers and of zombies.

    Attributes:
        rows: one dict for each sample: seconds, requests (so far), servers, for the network
            process and the spawner rss (MiB) and descriptors, and of those of the network process
            how many are connections: network_clients, network_upstream; and network_held, the rest.
    """

    def __init__(self, world, verdict):
        super().__init__(daemon=True)
        self._world, self._verdict = world, verdict
        self._ending = threading.Event()
        self._dead = {}
        self.rows = []

    def end(self):
        """No more samples."""
        self._ending.set()

    def run(self):
        """See Thread."""
        while not self._ending.wait(_EVERY):
            self.rows.append(self.sample())

    def sample(self):
        """One look."""
        ours = self._world.ours()
        self._count_zombies(ours)
        servers, interpreters, groups = _kinds(ours)
        most = MAX_SERVERS + OVERLAP
        servers = processes.at_once(servers, lambda: _kinds(self._world.ours())[0], most)
        if len(servers) > most:
            self._verdict.violation(f"{len(servers)} servers live")
        row = {
            "seconds": self._verdict.seconds(),
            "requests": len(self._verdict.answered),
            "servers": len(servers),
            "interpreters": len(interpreters),
            "processes": len(groups["network"]),
        }
        for name, pids in groups.items():
            # the largest: forked children of the spawner have a moment of their own
            row[f"{name}_rss"] = max(map(_rss, pids), default=0.0)
        spawner = (len(processes.descriptors(pid)) for pid in groups["spawner"])
        row["spawner_fds"] = max(spawner, default=0)
        counts = [connections(pid, self._world.address[1]) for pid in groups["network"]]
        row["network_fds"] = max(map(sum, counts), default=0)
        for at, name in enumerate(("clients", "upstream", "held")):
            row[f"network_{name}"] = max((count[at] for count in counts), default=0)
        return row

    def _count_zombies(self, ours):
        now = time.monotonic()
        dead = {pid for pid, (state, _parent) in ours.items() if state == "Z"}
        self._dead = {pid: self._dead.get(pid, now) for pid in dead}
        for pid, since in self._dead.items():
            if now - since > _ZOMBIE:
                self._verdict.violation(f"pid {pid} stays a zombie")
                self._dead[pid] = float("inf")


def _kinds(ours):
    """The numbers of the servers and of the interpreters that live, and Luisito's own processes."""
    groups = {"network": [], "spawner": []}
    servers, interpreters = set(), set()
    for pid, (state, _parent) in ours.items():
        if state == "Z":
            continue
        command = processes.command(pid)
        number = processes.environ(pid).get("LUISITO_SERVER")
        if number is not None:
            # which counts in no MAX_SERVERS
            (interpreters if _INTERPRETER.search(command) else servers).add(number)
        elif "luisito.spawner" in command:
            groups["spawner"].append(pid)
        elif "luisito" in command:
            groups["network"].append(pid)
    return servers, interpreters, groups


def connections(pid, port):
    """How many descriptors are connections at a port, how many other ones, how many are none."""
    ports = {}  # our end's, by inode
    with contextlib.suppress(OSError), open(f"/proc/{pid}/net/tcp", encoding="ascii") as file:
        for line in file.readlines()[1:]:
            _, address, _, state, *rest = line.split()
            if state != _LISTENS:
                ports[f"socket:[{rest[5]}]"] = int(address.partition(":")[2], 16)
    found = [ports.get(what) for what in processes.descriptors(pid).values()]
    clients, neither = found.count(port), found.count(None)
    return clients, len(found) - clients - neither, neither


def _rss(pid):
    """MiB that a process does not share with others."""
    found = re.match(r"(\d+) kB", processes.status(pid).get("RssAnon", "0 kB"))
    return int(found[1]) * 1024 / _MiB

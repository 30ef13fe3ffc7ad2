"""What a server takes of the machine's memory, as the kernel tells; read by a forked helper."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from luisito.core import cgroup
from luisito.spawner import cgroupfs, tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_PAGE = os.sysconf("SC_PAGE_SIZE")


class Load(NamedTuple):
    """A server that is to be weighed.

    Attributes:
        server: its number.
        pid: of its first process.
        uid: who it runs as; None until it does.
        folder: of the cgroup that none of its processes can leave; None where there is none.
    """

    server: int
    pid: int
    uid: int | None
    folder: str | None


def weigh(loads: Iterable[Load], orphans: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Tell the bytes that servers take, one by one.

    By its cgroup where that counts memory (memory.current without inactive_file, cgroups(7): what
    the kernel gives up first is nobody's need). Else its processes' shares: of a page that several
    processes have, each has its part (Pss in smaps_rollup, proc(5)).

    Args:
        loads: the servers.
        orphans: processes that may be theirs, though their parents have gone.

    Yields:
        The number of a server, and its bytes.
    """
    loads = list(loads)
    strays: dict[int, list[int]] | None = None
    for load in loads:
        size = None if load.folder is None else _of_cgroup(load.folder)
        if size is None:
            if strays is None:
                strays = _assigned(loads, orphans)
            roots = [load.pid, *strays.get(load.server, ())]
            size = sum(_share(pid) for root in roots for pid in (root, *tree.descendants(root)))
        yield load.server, size


def _of_cgroup(folder: str) -> int | None:
    text = tree.read(f"{folder}/memory.current")
    if not text:
        return None
    inactive = cgroup.counted(cgroupfs.text(f"{folder}/memory.stat"), "inactive_file")
    return max(0, int(text) - inactive)


def _share(pid: int) -> int:
    """Tell a process's share of memory; where that is not ours to read, all that it has mapped."""
    for line in tree.read(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * 1024
    resident = tree.read(f"/proc/{pid}/statm").split()[1:2]
    return int(resident[0]) * _PAGE if resident else 0


def _assigned(loads: list[Load], orphans: Iterable[int]) -> dict[int, list[int]]:
    """Tell which orphans come from which server: by session, by mark, or by a user of its own."""
    by_pid = {load.pid: load.server for load in loads}
    numbers = {load.server for load in loads}
    by_uid: dict[int | None, list[int]] = {}
    for load in loads:
        by_uid.setdefault(load.uid, []).append(load.server)
    found: dict[int, list[int]] = {}
    for orphan in orphans:
        state = tree.status(orphan)
        if state is None or state.zombie:
            continue
        server = by_pid.get(state.session)
        if server is None:
            server = tree.marked(orphan)
        if server not in numbers:
            alone = by_uid.get(tree.owner(orphan), [])
            server = alone[0] if len(alone) == 1 else None
        if server is not None:
            found.setdefault(server, []).append(orphan)
    return found

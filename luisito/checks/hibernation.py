"""What the kernel offers for HIBERNATE, and what it lacks for it."""

from __future__ import annotations

import ctypes
import os
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from luisito.checks.report import Mend, Problem
from luisito.spawner import cgroupfs
from luisito.spawner.delegation import CannotDivideError, check, here, lacks

if TYPE_CHECKING:
    from luisito.settings import Settings

KSM_RUN: Final = "/sys/kernel/mm/ksm/run"
_PR_GET_MEMORY_MERGE: Final = 68  # linux/prctl.h
_FREEZER: Final = (5, 2)
_PAGEOUT: Final = (5, 10)  # process_madvise(2)
_MERGED_OVER_EXEC: Final = (6, 7)
AFTER: Final = "HIBERNATE_AFTER"
"""Where it is said that servers are frozen."""


class Offer(NamedTuple):
    """What there is.

    Attributes:
        release: of the kernel, its first two numbers.
        no_cgroup: why no server has a cgroup of its own, with the mend; "" where each has.
        no_memory: why cgroups do not count memory, likewise.
        swap: there is some.
        ksm: the text of KSM_RUN; "" where the kernel has no KSM.
        merges: it knows PR_SET_MEMORY_MERGE.
        root: Luisito is started by root.
    """

    release: tuple[int, int]
    no_cgroup: str
    no_memory: str
    swap: bool
    ksm: str
    merges: bool
    root: bool


def offer(runtime_dir: str, *, root: bool) -> Offer:
    """Asks the kernel."""
    no_cgroup, no_memory = "", ""
    try:
        at = here(runtime_dir)
        check(at, root=root)
        no_memory = lacks(at.folder, "memory")
    except CannotDivideError as error:
        no_cgroup = no_memory = str(error)
    found = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return Offer(
        (int(found[1]), int(found[2])) if found else (0, 0),
        no_cgroup,
        no_memory,
        len(cgroupfs.text("/proc/swaps").splitlines()) > 1,
        cgroupfs.text(KSM_RUN).strip(),
        ctypes.CDLL(None).prctl(_PR_GET_MEMORY_MERGE, 0, 0, 0, 0) >= 0,
        root,
    )


def hibernation(settings: Settings, found: Offer) -> tuple[str, list[Problem]]:
    """Whether idle servers can be frozen, and what that gives; ("", []) where it is off."""
    return ("", []) if settings.hibernate_after is None else means(settings.hibernate, found)


def means(hibernate: str, found: Offer) -> tuple[str, list[Problem]]:
    """Whether idle servers can be frozen, and what that gives.

    Args:
        hibernate: "freeze", "reclaim" or "merge".
        found: what there is.

    Returns:
        Words on that, "" where they cannot; and what is missing.
    """
    if found.no_cgroup:
        what, _, mend = found.no_cgroup.partition("; ")
        return "", [Problem(AFTER, f"no server can be frozen: {what}", Mend("do", mend))]
    if found.release < _FREEZER:
        return "", [_older(AFTER, "no server can be frozen", _FREEZER)]
    if hibernate == "freeze":
        return "idle servers are frozen; their memory is left alone", []
    if hibernate == "merge":
        return "idle servers are frozen; what they have alike is merged", _merging(found)
    return _reclaiming(found)


def _merging(found: Offer) -> list[Problem]:
    if not found.ksm:
        what = "nothing is merged: this kernel has no KSM"
        return [Problem("HIBERNATE", what, Mend("write", 'HIBERNATE = "reclaim"'))]
    if not found.merges or found.release < _MERGED_OVER_EXEC:
        return [_older("HIBERNATE", "nothing is merged", _MERGED_OVER_EXEC)]
    if found.ksm != "1":
        what = f"nothing is merged: {KSM_RUN} is {found.ksm}, which Luisito leaves as it is"
        return [Problem("HIBERNATE", what, Mend("run", f"echo 1 > {KSM_RUN}"))]
    return []


def _reclaiming(found: Offer) -> tuple[str, list[Problem]]:
    problems = []
    how = "by memory.reclaim of its cgroup"
    if found.no_memory:
        how = "page by page (process_madvise)"
        what, _, mend = found.no_memory.partition("; ")
        if not found.root:
            what = f"no memory is given back: {what}, and to do it page by page takes root"
            problems.append(Problem("HIBERNATE", what, Mend("do", mend)))
        elif found.release < _PAGEOUT:
            problems.append(_older("HIBERNATE", f"no memory is given back: {what}", _PAGEOUT))
    if not found.swap:
        what = "there is no swap, so that nothing but pages of files is given back"
        problems.append(Problem("HIBERNATE", what, Mend("do", "make some; zram is the quickest")))
    return f"idle servers are frozen; the memory of each is given back {how}", problems


def _older(where: str, what: str, needed: tuple[int, int]) -> Problem:
    mend = Mend("do", f"run Linux {needed[0]}.{needed[1]} or later")
    return Problem(where, f"{what}: this kernel is too old", mend)

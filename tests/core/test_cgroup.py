"""Which cgroup is ours, whether it may be divided, and what is written there."""

import pytest

from luisito.core.cgroup import (
    Facts,
    Limits,
    Place,
    base,
    counted,
    held_by_version_1,
    missing,
    name,
    place,
    why_not,
)

UNIFIED = (
    "24 1 0:22 / /sys rw,nosuid - sysfs sysfs rw\n"
    "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
)
HYBRID = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
36 31 0:33 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:4 master:1 - cgroup cgroup rw,cpu,cpuacct
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""


PART = "9 8 0:26 /docker/12 /sys/fs/cgroup ro - cgroup2 cgroup rw\n"  # what a container sees


@pytest.mark.parametrize(
    ("mounts", "own", "folder", "top"),
    [
        (UNIFIED, "/a.slice/b.service", "/sys/fs/cgroup/a.slice/b.service", "/sys/fs/cgroup"),
        (UNIFIED, "/", "/sys/fs/cgroup", "/sys/fs/cgroup"),
        (HYBRID, "/a.slice", "/sys/fs/cgroup/unified/a.slice", "/sys/fs/cgroup/unified"),
        (PART, "/docker/12/luisito", "/sys/fs/cgroup/luisito", "/sys/fs/cgroup"),
        (PART, "/docker/12", "/sys/fs/cgroup", "/sys/fs/cgroup"),
        ("9 8 0:26 / /my\\040tree rw - cgroup2 cgroup rw\n", "/a", "/my tree/a", "/my tree"),
        ("9 8 0:26 / / rw - cgroup2 cgroup rw\n", "/a", "/a", "/"),
        ("9 8 0:26 / / rw - cgroup2 cgroup rw\n", "/", "/", "/"),
    ],
)
def test_where_we_are(mounts, own, folder, top):
    cgroup = f"4:memory:/process/1\n1:name=systemd:/user.slice\n0::{own}\n"
    assert place(mounts, cgroup) == Place(own, folder, top)


@pytest.mark.parametrize(
    ("mounts", "own"),
    [
        (HYBRID, "4:memory:/process/1\n"),  # of version 1 only
        (PART, "0::/docker/123\n"),
        ("", "0::/\n"),
        (UNIFIED, "0::..\n"),
        ("nonsense\n9 8 - cgroup2\n", "0::/\n"),
    ],
)
def test_where_there_is_none(mounts, own):
    assert place(mounts, own) is None


def test_what_version_1_has():
    assert held_by_version_1(HYBRID) >= {"memory", "cpu", "cpuacct"}
    assert held_by_version_1(UNIFIED) == set()


def test_own_processes_that_were_moved_are_found_where_they_came_from():
    moved = Place("/a.service/luisito-run/self", "/tree/a.service/luisito-run/self", "/tree")
    assert base(moved, "luisito-run") == Place("/a.service", "/tree/a.service", "/tree")
    assert base(moved, "luisito-other") == moved
    top = Place("/luisito-run/self", "/tree/luisito-run/self", "/tree")
    assert base(top, "luisito-run") == Place("/", "/tree", "/tree")


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        (Facts("/a.slice/b.service", True, True, True, True), ""),
        (Facts("/a.slice/b.service", False, True, True, False), ""),
        (Facts("/a.slice/b.service", True, False, True, True), "systemd has not handed the cgroup"),
        (Facts("/a.slice/b.service", False, False, True, False), ""),
        (Facts("/a.slice/app-1.scope", False, False, True, True), "of app-1.scope over; write Del"),
        (Facts("/a.slice/b.service", False, False, False, False), "systemd has not handed"),
        (Facts("/", True, False, True, True), ""),
        (Facts("/mine", False, False, True, False), ""),
        (Facts("/", False, False, False, False), "the cgroup / is not its user's; start it by"),
    ],
)
def test_whether_it_may_be_divided(facts, why):
    assert why_not(facts).startswith(why) or why in why_not(facts)
    assert bool(why_not(facts)) is bool(why)


def test_controllers():
    assert missing("memory", "cpu memory\n", set()) == ""
    assert "cgroup_no_v1=memory" in missing("memory", "hugetlb\n", {"memory"})
    absent = missing("memory", "cpu pids\n", set())
    assert "not among those of its cgroup (cpu pids); write Delegate=yes" in absent
    assert "cgroup_enable=memory" in absent
    assert "(none)" in missing("memory", "\n", set())


def test_no_limits():
    assert Limits().files() == Limits().settings() == {}


def test_limits():
    limits = Limits(memory=1 << 20, cpu=50_000, pids=7)
    assert limits.files() == {
        "memory.max": "1048576",
        "memory.oom.group": "1",
        "cpu.max": "50000 100000",
        "pids.max": "7",
    }
    assert limits.settings() == {
        "memory": "MEMORY_MAX = 1048576",
        "cpu": "CPU_MAX = 0.5",
        "pids": "PIDS_MAX = 7",
    }


def test_names_differ_as_the_folders_do():
    assert name("/run/luisito") == "luisito-run-luisito"
    paths = ["/run/luisito", "/run-luisito", "/run%2Dluisito", "/run/luisito-2", "/run/lü"]
    names = [name(path) for path in paths]
    assert len(set(names)) == len(paths)
    assert all("/" not in each and each.isascii() for each in names)


def test_counted():
    events = "low 0\noom 3\noom_kill 12\nodd\noom_group_kill x\n"
    assert counted(events, "oom") == 3
    assert counted(events, "oom_kill") == 12
    assert counted(events, "oom_group_kill") == counted(events, "max") == counted("", "oom") == 0

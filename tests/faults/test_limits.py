"""FAULTS 28, 36, 38 and the limits of the settings: what servers may use, and how they end."""

import os
import re
import signal
import subprocess

import pytest

from tests.harness import cgroups, processes
from tests.harness.server import ordinary_user

MiB = 1024 * 1024
kernel = pytest.mark.kernel


def limits(pid):
    """{name: (soft, hard)} as prlimit(1) reads them, from /proc/PID/limits."""
    with open(f"/proc/{pid}/limits") as file:
        lines = [re.split(r" {2,}", line.strip()) for line in file][1:]
    return {name: (soft, hard) for name, soft, hard, *_unit in lines}


# -- rlimits


def test_servers_have_the_limits_of_luisito(serve, as_whom):
    server = serve(ordinary=as_whom)
    server.warm("a.localhost")
    assert limits(server.pid()) == limits(os.getpid())


def test_servers_have_the_limits_of_the_settings(serve, as_whom):
    chosen = {"nofile": (50, 60), "core": 0, "fsize": 4096, "cpu": ("unlimited", "unlimited")}
    server = serve({"RLIMITS": chosen}, ordinary=as_whom)
    server.warm("a.localhost", "b.localhost")
    expected = {
        **limits(os.getpid()),
        "Max open files": ("50", "60"),
        "Max core file size": ("0", "0"),
        "Max file size": ("4096", "4096"),
    }
    for host in ("a.localhost", "b.localhost"):
        assert limits(server.pid(host)) == expected
    before = limits(os.getpid())
    assert limits(server.process.pid) == before
    # only what it must have for itself
    for pid in server.spawner():
        assert limits(pid).keys() == before.keys()
        assert {name for name, value in limits(pid).items() if value != before[name]} <= {
            "Max open files"
        }


def refused(serve, settings, **how):
    """The one line with which it does not start."""
    server = serve(settings, wait=False, **how)
    assert server.wait() == 1
    server.unchecked |= {"conservation", "access lines", "clean log"}
    assert "Traceback" not in server.log()
    return server.log()


def test_an_ordinary_user_cannot_give_more_than_it_was_given(serve):
    import resource

    given = {resource.RLIMIT_NOFILE: (512, 1024)}
    text = refused(serve, {"RLIMITS": {"nofile": 2048}}, ordinary=True, rlimits=given)
    assert 'RLIMITS["nofile"] = 2048: is above 1024, the hard limit that Luisito was ' in text
    assert "LimitNOFILE=" in text


@pytest.mark.root
def test_not_even_root_gives_more_files_than_the_kernel_has(serve):
    text = refused(serve, {"RLIMITS": {"nofile": "unlimited"}})
    assert 'RLIMITS["nofile"] = "unlimited": is above ' in text
    assert "fs.nr_open" in text


@pytest.mark.root
def test_36_a_user_has_as_many_processes_as_it_may(serve):
    """FAULTS 36, by a limit of the settings: 503 for who comes then, and the others go on."""
    user = ordinary_user("uucp")
    # the two that will serve, and the one that stands ready to be the next
    limit = processes.tasks_of(user.pw_uid) + 3
    server = serve(
        {"RUN_AS": "uucp", "RLIMITS": {"nproc": limit}, "MAX_SERVERS": 5},
        origin={"*": {"serial": True}},
    )
    server.expect("cannot start: user 'uucp' has as many processes as it may have", "503 for GET")
    hosts = [f"site-{number}.localhost" for number in range(6)]
    answers = [server.request(host=host) for host in hosts]
    statuses = [answer.status for answer in answers]
    served = statuses.index(503)
    assert served >= 2
    assert set(statuses[:served]) == {200}
    assert set(statuses[served:]) == {503}
    assert int(answers[-1].get("retry-after")) >= 1
    assert server.request(host=hosts[0]).status == 200
    os.kill(server.pid(hosts[0]), signal.SIGKILL)
    server.wait_for_log(r"site-0\.localhost: pid \d+ was killed by SIGKILL \(9\)")
    assert server.request(host="other.localhost").status == 200


# -- cgroups, on whatever machine


@pytest.fixture
def group():
    """Makes a cgroup to start Luisito in (see cgroups.make); to be asked for before `serve`."""
    top = f"test-{os.getpid()}"
    cgroups.make(top)

    def group(name, **how):
        return cgroups.make(f"{top}/{name}", **how)

    yield group
    cgroups.remove(f"{cgroups.where()}/{top}")


def of_server(server, host="a.localhost"):
    """The folder of the cgroup of a site's newest server."""
    return f"{server.cgroups}/servers/{cgroups.of(server.pid(host)).rpartition('/')[2]}"


@pytest.mark.cgroups
@pytest.mark.root
def test_each_server_has_a_cgroup_and_it_goes_with_it(serve):
    server = serve({"MAX_SERVERS": 1}, origin={"a.localhost": {"orphans": 2}})
    server.warm("a.localhost")
    first = cgroups.of(server.pid())
    group = of_server(server)
    assert {cgroups.of(pid) for pid in server.servers()} == {first}
    assert cgroups.of(server.process.pid) == cgroups.of(os.getpid())
    assert sorted(cgroups.pids(group)) == sorted(server.servers())
    server.warm("b.localhost")
    processes.until(lambda: not os.path.exists(group), 5, "the removal of its cgroup")
    second = cgroups.of(server.pid("b.localhost"))
    assert second != first
    assert cgroups.of(server.process.pid) == cgroups.of(os.getpid())


@pytest.mark.cgroups
@pytest.mark.root
def test_what_a_spawner_left_is_ended_by_the_next(serve):
    """A process that nobody knows any more, where a spawner that was killed would have left it."""
    sleepers = {}

    def leave(folder):
        ours = cgroups.ours(cgroups.where(), folder / "run")
        for name in (f"{ours}/servers/7", f"{ours}-other/servers/7"):
            os.makedirs(name)
            sleepers[name] = subprocess.Popen(["sleep", "1000"])
            cgroups.write(name, "cgroup.procs", str(sleepers[name].pid))

    try:
        server = serve(prepare=leave)
        ours, foreign = sleepers.values()
        assert ours.wait(5) == -signal.SIGKILL
        assert foreign.poll() is None
        server.warm("a.localhost")
        assert server.stop() == 0
        assert not os.path.exists(server.cgroups)
    finally:
        for sleeper in sleepers.values():
            sleeper.kill()
            sleeper.wait()
        cgroups.remove(f"{server.cgroups}-other")


@pytest.mark.cgroups
@pytest.mark.root
def test_28_whatever_hides_goes_with_its_server(serve):
    """FAULTS 28: of another user, in a session of its own, without the mark in its environment."""
    server = serve()
    server.warm("a.localhost", "b.localhost")
    other = cgroups.of(server.pid("b.localhost"))
    group = of_server(server)
    # as a program with the set-user-id bit would make it, were there no no_new_privs
    hidden = subprocess.Popen(["sleep", "1000"], env={}, user="games", start_new_session=True)
    try:
        cgroups.write(group, "cgroup.procs", str(hidden.pid))
        os.kill(server.pid(), signal.SIGKILL)
        assert hidden.wait(5) == -signal.SIGKILL
        processes.until(lambda: not os.path.exists(group), 5, "the removal of its cgroup")
        assert cgroups.of(server.pid("b.localhost")) == other
    finally:
        hidden.kill()
        hidden.wait()


@pytest.mark.cgroups
@pytest.mark.root
def test_30b_the_network_process_ends_the_servers_where_nobody_else_is_left(group, serve):
    """FAULTS 30b: the spawner and its guardian are killed at once, by an ordinary user's hand."""
    folder = group("luisito", owner=ordinary_user())
    server = serve(ordinary=True, cgroup=folder, origin={"*": {"orphans": 1}})
    server.warm("a.localhost", "b.localhost")
    assert "each has a cgroup of its own in" in server.log()
    family = set(server.servers())
    assert len(family) == 4
    server.expect("the spawner has ended; all servers have gone with it")
    server.unchecked |= {"exit", "files"}  # nobody is left who could
    guardian, spawner, *_spare = server.spawner()
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in (guardian, spawner):
            os.kill(pid, number)
    processes.until(lambda: not family & alive(), 2, "their end")
    assert server.wait() == 1


def alive():
    return {pid for pid, (state, _parent) in processes.table().items() if state not in "ZX"}


@pytest.mark.cgroups
@pytest.mark.root
def test_what_systemd_has_not_delegated_is_left_alone(group, serve):
    folder = group("luisito.service")
    text = refused(serve, {"PIDS_MAX": 100}, cgroup=folder)
    assert "PIDS_MAX = 100: no cgroup for each server: systemd has not handed the cgroup" in text
    assert "write Delegate=yes into the [Service] of Luisito's unit" in text
    server = serve(cgroup=folder)
    server.warm("a.localhost")
    assert cgroups.of(server.pid()) == cgroups.of(server.process.pid)
    assert cgroups.below(folder) == [folder]


@pytest.mark.cgroups
@pytest.mark.root
def test_a_controller_that_is_missing_stops_the_start(group, serve):
    """Nobody has switched controllers on for the cgroups that a test makes."""
    text = refused(serve, {"CPU_MAX": 0.5, "MEMORY_MAX": 64 * MiB}, cgroup=group("luisito"))
    assert "MEMORY_MAX = 67108864: " in text
    assert re.search(r"cgroup v1 has the controller memory; boot with|write Delegate=yes", text)


# -- limits by cgroups, where there are controllers


@kernel
def test_38_over_memory_max(serve):
    """FAULTS 38: the kernel ends the site as a whole, and says so; the next request starts anew."""
    server = serve(
        {"MEMORY_MAX": 64 * MiB, "MAX_SERVERS": 3}, origin={"a.localhost": {"orphans": 2}}
    )
    server.expect("502 for GET")
    server.warm("a.localhost", "b.localhost")
    family = {pid for pid in server.servers() if pid != server.pid("b.localhost")}
    assert len(family) == 3
    response = server.request(f"/allocate/{100 * MiB}")
    assert response.status == 502
    server.wait_for_log(
        r"a\.localhost: pid \d+ was killed by SIGKILL \(9\) after [\d.]+ s;"
        r" ended by the kernel for memory: it was over MEMORY_MAX"
    )
    processes.until(lambda: not family & server.servers().keys(), 5, "the end of all of it")
    server.warm("a.localhost", "b.localhost")
    assert len(server.seen("boot", "b.localhost")) == 1
    group = of_server(server)
    assert cgroups.read(group, "memory.max") == str(64 * MiB)
    assert cgroups.read(group, "memory.oom.group") == "1"


@kernel
def test_38_killed_for_memory_without_a_limit_of_ours(serve):
    """FAULTS 38: the kernel kills an app for the memory of somebody else."""
    server = serve()
    server.expect("502 for POST")
    server.warm("a.localhost", "b.localhost")
    cgroups.write(cgroups.where(), "cgroup.subtree_control", "+memory")
    tight = cgroups.make("tight")
    cgroups.write(tight, "memory.max", str(64 * MiB))
    cgroups.write(tight, "cgroup.procs", str(server.pid()))
    response = server.request(f"/allocate/{100 * MiB}", method="POST", body=b"")
    assert response.status == 502
    server.wait_for_log("Luisito did not send it: the kernel does when memory runs out")
    assert "oom_kill 1" in cgroups.read(tight, "memory.events")
    server.warm("a.localhost", "b.localhost")
    assert len(server.seen("boot", "b.localhost")) == 1


@kernel
def test_36_over_pids_max(serve):
    """FAULTS 36, of the site itself: its fork fails, nobody else's."""
    server = serve({"PIDS_MAX": 12, "MAX_SERVERS": 3})
    server.warm("a.localhost", "b.localhost")
    # the first thread, and those of its connections, are counted too
    for _ in range(2):
        assert 5 <= int(server.request("/fork/40").body) < 12
    assert int(server.request("/fork/4", host="b.localhost").body) == 4


@kernel
def test_cpu_max(serve):
    server = serve({"CPU_MAX": 0.2})
    server.warm("a.localhost")
    group = of_server(server)
    assert cgroups.read(group, "cpu.max") == "20000 100000"
    assert server.request("/burn/0.1").status == 200
    found = dict(line.split() for line in cgroups.read(group, "cpu.stat").splitlines())
    assert int(found["nr_throttled"]) >= 1


@kernel
@pytest.mark.parametrize("user", [False, "games"])
def test_limits_in_what_systemd_has_delegated(serve, user):
    """No process may be in a cgroup whose controllers those below it have: Luisito's move away."""
    base = cgroups.where()
    cgroups.write(base, "cgroup.subtree_control", "+memory +pids")
    cgroups.make("system.slice")
    cgroups.write(f"{base}/system.slice", "cgroup.subtree_control", "+memory +pids")
    owner = ordinary_user(user) if user else None
    folder = cgroups.make("system.slice/luisito.service", mark=not user, owner=owner)
    settings = {"MEMORY_MAX": 64 * MiB, "PIDS_MAX": 50}
    server = serve(settings, cgroup=folder, ordinary=user)
    server.warm("a.localhost")
    group = of_server(server)
    assert cgroups.read(group, "memory.max") == str(64 * MiB)
    assert cgroups.read(group, "pids.max") == "50"
    assert cgroups.pids(folder) == []
    # what is to be the next server begins there, too
    own = {server.process.pid, *server.spawner()[:2], *server.starter()}
    moved = f"{server.cgroups}/self"
    processes.until(lambda: set(cgroups.pids(moved)) == own, 5, "the move of all")
    assert server.stop() == 0
    assert cgroups.below(server.cgroups) == [f"{server.cgroups}/self", server.cgroups]
    # where a supervisor of its own has moved, too
    again = serve(
        {**settings, "RUNTIME_DIR": str(server.runtime)},
        cgroup=f"{server.cgroups}/self",
        ordinary=user,
    )
    again.warm("a.localhost")


@kernel
def test_root_gives_more_than_it_was_given(serve):
    import resource

    given = {resource.RLIMIT_NOFILE: (512, 1024), resource.RLIMIT_CORE: (0, 1000)}
    server = serve({"RLIMITS": {"nofile": (600, 2000), "core": (10, 2000)}}, rlimits=given)
    server.warm("a.localhost")
    found = limits(server.pid())
    assert found["Max open files"] == ("600", "2000")
    assert found["Max core file size"] == ("10", "2000")

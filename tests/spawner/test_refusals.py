"""Starts that must not happen, and what the message says."""

import os
import pwd
import re
import shutil
import subprocess

import pytest

from luisito.core import wire
from luisito.errors import SettingsError, SpawnerLost
from luisito.process.launch import launch

from .conftest import configure, wait_until


def failed(network, **changes):
    """Start a server that cannot be; tell the message."""
    network.launch(**changes)
    network.start(1)
    assert isinstance(network.fact()[0], wire.Started)
    fact, _ = network.fact()
    while isinstance(fact, wire.Running):
        raise AssertionError("it runs")
    assert isinstance(fact, wire.Failed), fact
    assert not fact.overloaded
    assert network.silent() == []
    assert wait_until(lambda: network.folders() == [])
    return fact.message


def test_program_missing_22(network):
    message = failed(network, command=["gunicornn", "%FD"])
    assert message.startswith("no such program: 'gunicornn' (PATH=/")


def test_program_not_executable_22(network):
    assert "cannot be executed: Permission denied" in failed(network, command=["/etc/passwd"])


def test_interpreter_missing_22(network, folder):
    with open(f"{folder}/serve", "w") as script:
        script.write("#!/no/such/interpreter\n")
    os.chmod(f"{folder}/serve", 0o755)
    message = failed(network, command=["serve"], env={"PATH": folder})
    assert f"'{folder}/serve' names an interpreter in its first line" in message


def test_a_script_with_line_ends_of_windows_22(network, folder):
    with open(f"{folder}/serve", "wb") as script:
        script.write(b"#!/bin/sh\r\nexec true\r\n")
    os.chmod(f"{folder}/serve", 0o755)
    message = failed(network, command=["serve"], env={"PATH": folder})
    assert message == (
        f"'{folder}/serve' has lines that end in CR LF, so that its interpreter is not found;"
        f" run sed -i 's/\\r$//' {folder}/serve"
    )


def test_folder_missing(network, folder):
    message = failed(network, project_path=f"{folder}/%HOST")
    assert message == (
        f"folder '{folder}/a.example': No such file or directory at 'a.example'; create it"
    )


def owned(folder, uid, gid):
    os.mkdir(f"{folder}/a.example")
    os.chown(f"{folder}/a.example", uid, gid)
    return f"{folder}/%HOST"


def test_folder_of_root_63(as_root, folder):
    daemon = pwd.getpwnam("daemon")
    message = failed(as_root, project_path=owned(folder, 0, daemon.pw_gid))
    assert "servers do not run as root" in message


def test_folder_of_group_root_63(as_root, folder):
    daemon = pwd.getpwnam("daemon")
    message = failed(as_root, project_path=owned(folder, daemon.pw_uid, 0))
    assert "has the group root (gid 0); chgrp it to its owner's" in message


def test_folder_of_root_and_its_group_63(as_root, folder):
    """To chgrp it to its owner's would mend nothing."""
    message = failed(as_root, project_path=owned(folder, 0, 0))
    assert message == (
        "PROJECT_PATH has the group root (gid 0);"
        f" chown -R USER: {folder}/a.example, where USER is one for this site"
    )


def test_folder_of_nobody_known_67(as_root, folder):
    assert "not in passwd" in failed(as_root, project_path=owned(folder, 54321, 54321))


def test_folder_below_min_uid_67(as_root, folder):
    daemon = pwd.getpwnam("daemon")
    path = owned(folder, daemon.pw_uid, daemon.pw_gid)
    message = failed(as_root, project_path=path, min_uid=1000)
    assert f"uid {daemon.pw_uid}, below MIN_UID = 1000" in message


def test_user_missing_67(as_root):
    assert "'no-such' is not in passwd" in failed(as_root, run_as="no-such")


@pytest.mark.parametrize("who", [{"run_as": 0}, {"run_as": "root", "allow_root": True}])
def test_root_written_as_a_number_counts_too(as_root, who):
    as_root.launch(command=["true"], **who)
    as_root.start(1)
    assert as_root.wait(wire.Running).uid == 0


def test_only_root_can_change_users(as_user):
    assert "only root can change users" in failed(as_user, run_as="bin")


def linked(folder, uid, name="run"):
    """A program in a site's folder, with a second name outside of it; returns PROJECT_PATH."""
    daemon = pwd.getpwnam("daemon")
    path = owned(folder, daemon.pw_uid, daemon.pw_gid)
    shutil.copy("/bin/true", f"{folder}/theirs")
    os.chown(f"{folder}/theirs", uid, uid)
    os.link(f"{folder}/theirs", f"{folder}/a.example/{name}")
    return path


@pytest.mark.parametrize("command", ["./run", "link", "%PATH/run"])
@pytest.mark.parametrize("user", ["root", "backup"])
def test_a_program_that_is_a_hard_link_to_anothers_65(as_root, folder, command, user):
    path = linked(folder, pwd.getpwnam(user).pw_uid)
    os.symlink("run", f"{folder}/a.example/link")
    message = failed(
        as_root, project_path=path, command=["./link" if command == "link" else command]
    )
    assert message.startswith(f"program '{folder}/a.example/run' belongs to uid ")
    assert "has 2 names (hard links)" in message


@pytest.mark.parametrize("kind", ["his own", "one name", "outside"])
def test_a_program_that_is_no_such_link_65(as_root, folder, kind):
    """What a user has linked himself, root's in his folder, and what lies elsewhere (a venv)."""
    path = linked(folder, pwd.getpwnam("daemon" if kind == "his own" else "root").pw_uid)
    run = f"{folder}/a.example/run"
    if kind != "his own":
        os.unlink(run)
        shutil.copy("/bin/true", run) if kind == "one name" else os.symlink("../theirs", run)
    if kind == "outside":
        os.link(f"{folder}/theirs", f"{folder}/again")
    as_root.launch(project_path=path, command=["./run"])
    as_root.start(1)
    as_root.wait(wire.Running)
    assert as_root.wait(wire.Exited).code == 0


def test_symlink_to_another_users_folder_64(network, folder):
    os.mkdir(f"{folder}/victim")
    daemon = pwd.getpwnam("daemon")
    if os.geteuid() == 0:
        os.chown(f"{folder}/victim", daemon.pw_uid, daemon.pw_gid)
    os.symlink("victim", f"{folder}/a.example")
    assert "symbolic link" in failed(network, project_path=f"{folder}/%HOST")


def test_symlink_below_the_host_64(as_root, folder):
    # A tenant who owns a.example may put anything in it.
    daemon = pwd.getpwnam("daemon")
    os.mkdir(f"{folder}/victim")
    os.makedirs(f"{folder}/sites/a.example")
    os.symlink("../../victim", f"{folder}/sites/a.example/app")
    os.chown(f"{folder}/victim", daemon.pw_uid, daemon.pw_gid)
    assert "symbolic link" in failed(as_root, project_path=f"{folder}/sites/%HOST/app")


def test_symlink_of_a_tenant_before_the_host_64(as_root, folder):
    daemon = pwd.getpwnam("daemon")
    os.makedirs(f"{folder}/real/a.example")
    os.chown(f"{folder}/real/a.example", daemon.pw_uid, daemon.pw_gid)
    os.symlink("real", f"{folder}/sites")
    os.lchown(f"{folder}/sites", daemon.pw_uid, daemon.pw_gid)
    assert "symbolic link" in failed(as_root, project_path=f"{folder}/sites/%HOST")


def test_a_tenants_symlink_in_what_the_operators_one_names_64(as_root, folder):
    daemon = pwd.getpwnam("daemon")
    os.makedirs(f"{folder}/victim/a.example")
    os.mkdir(f"{folder}/tenant")
    os.chown(f"{folder}/victim/a.example", daemon.pw_uid, daemon.pw_gid)
    os.symlink("../victim", f"{folder}/tenant/sites")
    for path in ("tenant", "tenant/sites"):
        os.lchown(f"{folder}/{path}", daemon.pw_uid, daemon.pw_gid)
    os.symlink("tenant/sites", f"{folder}/sites")
    assert "'sites' in it is a symbolic link" in failed(
        as_root, project_path=f"{folder}/sites/%HOST"
    )


def test_symlinks_of_the_operator_that_lead_in_a_circle(as_root, folder):
    os.symlink("there", f"{folder}/here")
    os.symlink("here", f"{folder}/there")
    assert "is a symbolic link" in failed(as_root, project_path=f"{folder}/here/%HOST")


def test_a_folder_in_that_of_another_tenant_64(as_root, folder):
    """Who may move his own into its place, or another that he did not make."""
    daemon, backup = pwd.getpwnam("daemon"), pwd.getpwnam("backup")
    os.makedirs(f"{folder}/a.example/app")
    os.chown(f"{folder}/a.example", backup.pw_uid, backup.pw_gid)
    os.chown(f"{folder}/a.example/app", daemon.pw_uid, daemon.pw_gid)
    message = failed(as_root, project_path=f"{folder}/%HOST/app")
    assert f"'a.example' in it belongs to uid {backup.pw_uid}" in message


@pytest.mark.parametrize("above", ["root", "daemon"])
def test_a_folder_in_that_of_its_owner_or_of_root(as_root, folder, above):
    daemon = pwd.getpwnam("daemon")
    os.makedirs(f"{folder}/a.example/app")
    if above == "daemon":
        os.chown(f"{folder}/a.example", daemon.pw_uid, daemon.pw_gid)
    os.chown(f"{folder}/a.example/app", daemon.pw_uid, daemon.pw_gid)
    as_root.launch(project_path=f"{folder}/%HOST/app", command=["true"])
    as_root.start(1)
    assert as_root.wait(wire.Running).uid == daemon.pw_uid


def test_symlink_of_root_before_the_host_is_the_operators_own(as_root, folder):
    daemon = pwd.getpwnam("daemon")
    os.makedirs(f"{folder}/real/a.example")
    os.chown(f"{folder}/real/a.example", daemon.pw_uid, daemon.pw_gid)
    os.symlink("real", f"{folder}/sites")
    as_root.launch(project_path=f"{folder}/sites/%HOST", command=["true"])
    as_root.start(1)
    assert as_root.wait(wire.Running).uid == daemon.pw_uid


def test_folder_its_user_may_not_enter(as_root, folder):
    daemon = pwd.getpwnam("daemon")
    path = owned(folder, daemon.pw_uid, daemon.pw_gid)
    os.chmod(f"{folder}/a.example", 0)
    assert "may not enter" in failed(as_root, project_path=path)


def test_no_more_processes_36(as_user):
    as_user.launch(command=["sleep", "1000"])
    as_user.start(1)
    as_user.wait(wire.Running)
    assert wait_until(lambda: len(as_user.children()) == 2)
    # As its own user, who may.
    for pid in filter(None, (as_user.starter, as_user.spawner)):
        subprocess.run(["prlimit", "--pid", str(pid), "--nproc=0:0"], check=True)
    as_user.start(2)  # with the process that was forked before
    as_user.start(3)
    fact = as_user.wait(wire.Failed)
    assert (fact.server, fact.overloaded) == (3, True)
    assert "Resource temporarily unavailable" in fact.message


def test_never_more_than_the_pool_can_want(as_user):
    as_user.launch(max_servers=1, overlap=1)
    for server in range(1, 25):
        as_user.start(server)
    fact = as_user.wait(wire.Failed)
    assert fact.overloaded
    assert "more than MAX_SERVERS" in fact.message
    assert fact.server == 1 + 1 + 16 + 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"command": []}, "names no program"),
        ({"command": "a 'b"}, "balance the quotes"),
        ({"command": "a %PORT %FD"}, "exclude each other"),
        ({"env": {"A=B": "c"}}, "cannot name a variable"),
        ({"env": {"A": "%SOCKET"}, "command": "x %PORT"}, "exclude each other"),
        ({"project_path": "srv/%HOST"}, "PROJECT_PATH = 'srv/%HOST': write an absolute path"),
        ({"pidfile": "luisito.pid"}, "pidfile = 'luisito.pid': write an absolute path"),
        ({"sockets": ["x/http.sock"]}, "LISTEN = 'x/http.sock': write an absolute path"),
        ({"project_path": "/srv/%PORT"}, "only %HOST"),
        ({"cwd": "x"}, "absolute"),
        ({"run_as": "owner"}, "set PROJECT_PATH"),
        ({"umask": 0o1000}, "umask"),
        ({"version": 1}, f"(wire version 1) than the spawner that runs ({wire.VERSION}): it needs"),
        ({"runtime_dir": "/" + "x" * 100}, "longer than"),
        ({"max_servers": 2**31}, "open files"),
        ({"runtime_dir": "/no/such/place"}, "No such file"),
        ({"runtime_dir": "/tmp"}, "nobody else may write there"),
    ],
)
def test_settings_that_cannot_be_used(changes, message):
    with pytest.raises(SettingsError, match=re.escape(message)):
        launch(configure(**changes))


def test_an_interpreter_that_cannot_start(monkeypatch):
    monkeypatch.setattr("luisito.process.launch.sys.executable", "/bin/false")
    with pytest.raises(SpawnerLost):
        launch(configure())


def test_two_luisitos_do_not_share_a_runtime_folder(as_root, folder):
    as_root.launch(runtime_dir=f"{folder}/run")
    with pytest.raises(SettingsError, match="another Luisito uses it"):
        launch(configure(runtime_dir=f"{folder}/run"))


def test_what_a_killed_spawner_left_is_removed(as_root, folder):
    os.makedirs(f"{folder}/run/7/deep")
    os.symlink("/etc", f"{folder}/run/7/link")
    open(f"{folder}/run/keep", "w").close()
    os.chmod(f"{folder}/run", 0o711)
    as_root.launch(runtime_dir=f"{folder}/run")
    # the spare may have made its own by now
    assert set(os.listdir(f"{folder}/run")) - {"1"} == {"keep"}
    assert os.path.exists("/etc/passwd")

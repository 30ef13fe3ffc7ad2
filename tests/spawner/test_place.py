"""Where RUNTIME_DIR is when nobody says, and who may take it."""

import os
import stat

import pytest

from luisito.core import wire
from luisito.errors import SettingsError
from luisito.process.launch import launch
from luisito.spawner import runtime
from luisito.spawner.place import default_place

from .conftest import configure


def own(network, path):
    """Give a folder to the user who starts the spawner, where that is not ourselves."""
    if network.user is not None:
        os.chown(path, network.user.pw_uid, network.user.pw_gid)


@pytest.fixture
def base(as_user, folder, monkeypatch):
    """XDG_RUNTIME_DIR of the user that `as_user` launches spawners as."""
    own(as_user, folder)
    monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
    return folder


def end(launched):
    launched.sock.close()
    assert launched.process.wait(10) == 1


def test_root_has_one_place_whatever_its_environment(folder):
    assert default_place(0, {"XDG_RUNTIME_DIR": folder}) == "/run/luisito"


def test_a_users_place_is_in_his_runtime_folder(as_user, base):
    as_user.launch()
    path = as_user.hello.runtime_dir
    assert path == f"{base}/luisito"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o711
    as_user.sock.close()
    assert as_user.process.wait(10) == 1
    assert os.listdir(base) == []


def test_what_somebody_else_put_there_stays_and_is_in_nobodys_way(as_user, base):
    pidfile = f"{base}/pid"
    open(pidfile, "w").close()
    as_user.launch(pidfile=pidfile)
    path = as_user.hello.runtime_dir
    open(f"{path}/keep", "w").close()
    as_user.sock.close()
    assert as_user.process.wait(10) == 1
    assert os.listdir(base) == ["luisito"]
    assert os.listdir(path) == ["keep"]


def test_the_pidfile_goes_even_if_the_folder_cannot_be_emptied(as_user, base, capfd):
    pidfile = f"{base}/pid"
    open(pidfile, "w").close()
    as_user.launch(pidfile=pidfile)
    os.mkdir(wire.control_path(as_user.hello.runtime_dir))  # no socket, so unlink fails
    as_user.sock.close()
    assert as_user.process.wait(10) != 0
    assert "control.sock" in capfd.readouterr().err
    assert not os.path.exists(pidfile)


@pytest.mark.parametrize(
    "wrong", ["not there", "another's", "for all to write", "too long", "file"]
)
def test_a_runtime_folder_that_is_not_his_is_not_used(folder, wrong):
    path, uid = f"{folder}/{'x' * 60 if wrong == 'too long' else 'x'}", os.getuid()
    if wrong == "file":
        open(path, "w").close()
    elif wrong != "not there":
        os.mkdir(path)
        os.chmod(path, 0o777 if wrong == "for all to write" else 0o700)
    if wrong == "another's":
        uid += 4242
    uid = uid or 4242
    if wrong != "another's" and os.getuid() == 0 and os.path.exists(path):
        os.chown(path, uid, -1)
    assert default_place(uid, {"XDG_RUNTIME_DIR": path}) == f"/tmp/luisito-{uid}"
    assert default_place(uid, {"XDG_RUNTIME_DIR": "relative"}) == f"/tmp/luisito-{uid}"
    assert default_place(uid, {}) == f"/tmp/luisito-{uid}"


def test_a_second_one_takes_the_next_name(as_user, base):
    as_user.launch()
    second, third = launch(configure()), launch(configure())
    assert second.hello.runtime_dir == f"{base}/luisito-2"
    assert third.hello.runtime_dir == f"{base}/luisito-3"
    end(second)
    again = launch(configure())
    assert again.hello.runtime_dir == f"{base}/luisito-2"
    end(again)
    end(third)


@pytest.mark.parametrize(
    "how",
    [pytest.param("another's", marks=pytest.mark.root), "for all to write", "symlink", "file"],
)
def test_a_place_that_somebody_else_has_taken_is_left_alone(as_user, base, how):
    path = f"{base}/luisito"
    if how == "symlink":
        os.mkdir(f"{base}/elsewhere")
        own(as_user, f"{base}/elsewhere")
        os.symlink("elsewhere", path)
    elif how == "file":
        open(path, "w").close()
    else:
        os.mkdir(path)
        os.mkdir(f"{path}/1")
    if how == "for all to write":
        own(as_user, path)
        os.chmod(path, 0o777)
    as_user.launch()
    assert as_user.hello.runtime_dir == f"{base}/luisito-2"
    assert how in ("symlink", "file") or os.listdir(path) == ["1"]
    assert how != "symlink" or os.listdir(f"{base}/elsewhere") == []


def test_when_no_place_is_to_be_had_the_first_is_named(folder, monkeypatch):
    monkeypatch.setattr(runtime, "default_place", lambda _uid, _environ: f"{folder}/none/luisito")
    with pytest.raises(SettingsError, match=r"none/luisito': No such file.*luisito-2 to -100"):
        runtime.Runtime(None)


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o2750])
def test_roots_place_must_let_the_servers_users_through(root, folder, monkeypatch, mode):
    """Its mode may be somebody's wish: what is in it is not opened to all."""
    path = f"{folder}/luisito"
    os.mkdir(path)
    os.chmod(path, mode)
    monkeypatch.setattr(runtime, "default_place", lambda _uid, _environ: path)
    made = runtime.Runtime(None)
    assert made.path == f"{path}-2"
    made.end()
    os.close(made._folder)
    assert os.listdir(folder) == ["luisito"]
    assert stat.S_IMODE(os.stat(path).st_mode) == mode
    with pytest.raises(SettingsError, match="cannot pass through it; chmod 711 it"):
        runtime.Runtime(path)
    os.chmod(path, 0o711)
    os.close(runtime.Runtime(path)._folder)


def test_an_ordinary_users_place_may_be_his_alone(as_user, folder):
    own(as_user, folder)
    os.chmod(folder, 0o700)
    as_user.launch(runtime_dir=folder)
    assert as_user.hello.runtime_dir == folder


def test_a_folder_that_goes_while_its_lock_is_waited_for_is_made_again(folder, monkeypatch):
    """Its last owner removes it between our open and our lock."""
    path, removals = f"{folder}/run", []
    lock = runtime.fcntl.flock

    def late(descriptor, operation):
        if not removals:
            removals.append(os.fstat(descriptor).st_ino)
            os.rmdir(path)
        lock(descriptor, operation)

    monkeypatch.setattr(runtime.fcntl, "flock", late)
    made = runtime.Runtime(path)
    assert removals
    assert os.path.samestat(os.stat(path), os.fstat(made._folder))
    os.close(made._folder)

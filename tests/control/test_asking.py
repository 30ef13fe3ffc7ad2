"""Which Luisito the commands mean."""

import argparse
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from luisito.checks import files
from luisito.commands.asking import Luisito
from luisito.control.client import NotRunningError
from luisito.errors import SettingsError
from luisito.spawner.place import likely_places

SETTINGS = 'CMD_TPL = "serve"\nRUNTIME_DIR = "run"\n'
CUT_OFF = "Remote end closed connection without response"
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def here(monkeypatch):
    """A folder to be in, with a short path, and an environment that names nothing."""
    folder = Path(tempfile.mkdtemp(prefix="lt-"))
    folder.chmod(0o755)
    monkeypatch.chdir(folder)
    for name in ("LUISITO_RUNTIME_DIR", "LUISITO_SETTINGS", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    yield folder
    shutil.rmtree(folder)


def places(runtime_dir=None, settings=None):
    return Luisito(argparse.Namespace(runtime_dir=runtime_dir, settings=settings))._folders


def write(path, text=SETTINGS):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return str(path)


def test_what_is_named_most_closely_counts(here, monkeypatch):
    write(here / "settings.py")
    assert places() == [f"{here}/run"]
    monkeypatch.setenv("LUISITO_SETTINGS", write(here / "a" / "settings.py"))
    assert places() == [f"{here}/a/run"]
    monkeypatch.setenv("LUISITO_RUNTIME_DIR", "/b")
    assert places() == ["/b"]
    assert places(settings=write(here / "c" / "settings.py")) == [f"{here}/c/run"]
    assert places(runtime_dir="d", settings="/no/such") == [f"{here}/d"]


def test_without_a_name_it_is_at_one_of_the_usual_places(here):
    usual = likely_places(os.geteuid(), {})
    assert usual[-1] == "/run/luisito"
    assert places() == usual
    assert places(settings=write(here / "settings.py", 'CMD_TPL = "serve"\n')) == usual


def test_a_place_that_is_left_out_is_told(here, monkeypatch):
    place = here / "luisito"
    place.mkdir()
    place.chmod(0o777)
    monkeypatch.setattr("luisito.spawner.place.likely_places", lambda *_: [str(place)])
    asks = Luisito(argparse.Namespace(runtime_dir=None, settings=None))
    with pytest.raises(NotRunningError) as raised:
        asks.get("/status")
    words = str(raised.value)
    assert words.startswith("no Luisito answers at the usual places: is it running?")
    assert words.endswith(f"; not looked for in {place}, where others than root or you may write")


def test_settings_that_cannot_be_used_are_told_of(here):
    with pytest.raises(SettingsError, match="is not there"):
        places(settings="/no/such/file")
    write(here / "settings.py", "DEBUG = True\n")
    with pytest.raises(SettingsError, match=r"DEBUG.*it was read because it is here"):
        places()


@pytest.mark.parametrize("which", [".", "settings.py"])
@pytest.mark.parametrize(
    "how", ["for all to write", pytest.param("another's", marks=pytest.mark.root)]
)
def test_settings_that_another_may_have_written_are_not_run(here, which, how):
    """They are Python, and whoever types the command may be root."""
    path = write(here / "settings.py", f"open({str(here / 'ran')!r}, 'w')\n")
    if how == "another's":
        os.chown(which, pwd.getpwnam("games").pw_uid, -1)
    else:
        os.chmod(which, 0o777)
    luisito = Luisito(argparse.Namespace(runtime_dir=None, settings=None))
    assert not (here / "ran").exists()
    assert luisito._folders == likely_places(os.geteuid(), {})
    luisito._folders = [str(here)]
    told = "belongs to games" if how == "another's" else "others than its owner may write it"
    with pytest.raises(NotRunningError, match=rf"settings\.py here was not read: .*{told}"):
        luisito.ask("GET", "/servers")
    assert os.path.exists(path)


@pytest.mark.root
def test_settings_that_roots_own_group_may_write_are_run(here):
    """By the rule of `luisito check-settings`: nobody else is in that group."""
    write(here / "settings.py")
    os.chown("settings.py", 0, 0)
    os.chmod("settings.py", 0o664)
    assert places() == [f"{here}/run"]


def test_a_folder_above_that_another_may_write_counts(here, monkeypatch):
    write(here / "a" / "settings.py")
    here.chmod(0o777)
    monkeypatch.chdir(here / "a")
    assert places() == likely_places(os.geteuid(), {})


def test_a_variable_that_is_empty_names_nothing(here, monkeypatch):
    write(here / "settings.py")
    monkeypatch.setenv("LUISITO_SETTINGS", "")
    assert places() == [f"{here}/run"]


def test_others_beside_it_are_named(here):
    for name in ("l-2", "l-3", "l-4"):
        (here / name).mkdir()
    for name in ("l-2", "l-4"):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(f"{here}/{name}/control.sock")
    luisito = Luisito(argparse.Namespace(runtime_dir=f"{here}/l", settings=None))
    with pytest.raises(NotRunningError, match=rf"; there is {here}/l-2 and {here}/l-4$"):
        luisito.ask("GET", "/servers")


def test_a_path_that_is_too_long_is_told_of():
    luisito = Luisito(argparse.Namespace(runtime_dir="/" + "x" * 93, settings=None))
    with pytest.raises(NotRunningError):
        luisito.ask("GET", "/servers")
    luisito = Luisito(argparse.Namespace(runtime_dir="/" + "x" * 94, settings=None))
    with pytest.raises(SettingsError, match=r"RUNTIME_DIR = .* is longer than the 107 bytes"):
        luisito.ask("GET", "/servers")


@pytest.mark.root
def test_a_usual_place_that_is_another_users_is_not_spoken_to(here):
    os.chown(here, pwd.getpwnam("backup").pw_uid, -1)
    trap = here / "luisito"
    trap.mkdir()
    os.chown(trap, pwd.getpwnam("games").pw_uid, -1)
    with socket.socket(socket.AF_UNIX) as fake:
        fake.bind(f"{trap}/control.sock")
        os.chmod(f"{trap}/control.sock", 0o666)
        fake.listen()
        fake.setblocking(False)
        done = subprocess.run(
            [sys.executable, "-m", "luisito.cli", "list"],
            env={"PYTHONPATH": str(ROOT), "XDG_RUNTIME_DIR": str(here)},
            cwd="/",
            user="backup",
            extra_groups=[],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert str(trap) not in done.stderr
        assert "Traceback" not in done.stderr
        with pytest.raises(BlockingIOError):
            fake.accept()


@pytest.mark.parametrize("how", ["sticky", "a link"])
def test_settings_that_came_into_a_folder_of_all_are_not_run(here, how):
    """Sticky, it keeps others from replacing a file, and not from making one that was missing."""
    write(here / "a" / "settings.py", f"open({str(here / 'ran')!r}, 'w')\n")
    if how == "sticky":
        shutil.copy("a/settings.py", "settings.py")
        here.chmod(0o1777)
        told = "anybody may put files beside the settings"
    else:
        os.symlink("a/settings.py", "settings.py")
        told = "a symbolic link is followed only where it is named"
    luisito = Luisito(argparse.Namespace(runtime_dir=None, settings=None))
    assert not (here / "ran").exists()
    assert told in luisito._note


def test_what_was_judged_is_what_is_run(here, monkeypatch):
    """Another file takes its place between the two."""
    write(here / "settings.py")

    def swap(*args):
        problem = exposed(*args)
        write(here / "new", f"open({str(here / 'ran')!r}, 'w')\n")
        os.replace("new", "settings.py")
        return problem

    exposed = files.exposed
    monkeypatch.setattr(files, "exposed", swap)
    assert places() == [f"{here}/run"]
    assert "open" in (here / "settings.py").read_text()
    assert not (here / "ran").exists()


def test_a_fifo_is_not_waited_for(here):
    os.mkfifo("settings.py")
    with pytest.raises(SettingsError, match="CMD_TPL is not set"):
        places()


@pytest.mark.root
@pytest.mark.parametrize("named", [False, True])
def test_a_foreign_listener_is_spoken_to_only_where_it_is_named(here, named):
    """By SO_PEERCRED: daemon asks, and root, games or daemon itself listens."""
    code = (
        "import os, sys; from luisito.control.client import ask, ControlError\n"
        "os.setuid(int(sys.argv[2]))\n"
        "try: ask(sys.argv[1], 'GET', '/', named=sys.argv[3] == 'True')\n"
        "except ControlError as error: print(error)\n"
    )
    daemon, games = (pwd.getpwnam(name).pw_uid for name in ("daemon", "games"))
    for listens in (0, daemon, games):
        path = f"{here}/{listens}"
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(path)
            os.chmod(path, 0o666)
            os.seteuid(listens)
            try:
                sock.listen()
            finally:
                os.seteuid(0)
            argv = [sys.executable, "-c", code, path, str(daemon), str(named)]
            with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as asks:
                connection, _ = sock.accept()
                sent = connection.recv(100)
                connection.close()
                sock.close()
                said, _ = asks.communicate(timeout=30)
        refused = listens == games and not named
        assert bool(sent) != refused
        assert ("neither root nor you" in said) == refused


def test_who_looks_again_and_again_bears_a_silence_of_some_seconds(here, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("luisito.commands.asking.time.monotonic", lambda: now[0])
    luisito = Luisito(argparse.Namespace(runtime_dir=str(here), settings=None))
    for now[0] in (103.0, 105.0, 108.0):
        assert luisito.look("/status") is None
    monkeypatch.setattr(luisito, "get", lambda target: {"of": target})
    now[0] = 110.0
    assert luisito.look("/status") == {"of": "/status"}
    monkeypatch.undo()
    monkeypatch.setattr("luisito.commands.asking.time.monotonic", lambda: now[0])
    for now[0] in (112.0, 115.0):
        assert luisito.look("/status") is None
    now[0] = 115.1
    with pytest.raises(NotRunningError):
        luisito.look("/status")


@pytest.mark.parametrize(("method", "times"), [("GET", 2), ("POST", 1)])
def test_what_only_asks_is_asked_again_where_it_is_cut_off(here, method, times):
    """As one Luisito hands over to the next."""
    path = f"{here}/socket"
    code = (
        "import sys; from luisito.control.client import ask, ControlError\n"
        "try: print(ask(sys.argv[1], sys.argv[2], '/'))\n"
        "except ControlError as error: print(error)\n"
    )
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        sock.listen()
        argv = [sys.executable, "-c", code, path, method]
        with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as asks:
            for answer in (b"", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")[:times]:
                connection, _ = sock.accept()
                assert connection.recv(1000).startswith(method.encode())
                connection.sendall(answer)
                connection.close()
            said, _ = asks.communicate(timeout=30)
    assert said == ("(200, {})\n" if method == "GET" else f"{path}: {CUT_OFF}\n")


@pytest.mark.root
def test_a_folder_that_is_closed_is_told_with_the_mend(here):
    here.chmod(0o700)
    code = (
        "import os, sys; from luisito.control.client import ask, ControlError\n"
        "os.setuid(int(sys.argv[2]))\n"
        "try: ask(sys.argv[1], 'GET', '/')\n"
        "except ControlError as error: print(error)\n"
    )
    argv = [sys.executable, "-c", code, f"{here}/socket", str(pwd.getpwnam("daemon").pw_uid)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True)
    mend = "run this as root, or as the user who started Luisito"
    assert done.stdout == f"{here}/socket: permission denied; {mend}\n"

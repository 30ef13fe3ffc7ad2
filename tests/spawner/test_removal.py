"""Folders of servers whose users resist their removal."""

import os
import resource
import subprocess
import sys

import pytest

from luisito.errors import LuisitoError
from luisito.spawner.runtime import Runtime

DEPTH = 1500
MOUNTED = """
import os, subprocess, sys
from luisito.spawner.runtime import Runtime
path = sys.argv[1]
made = Runtime(path)
for at in ("1", "2/deep/er"):
    os.makedirs(f"{path}/{at}")
    for _ in range(2):
        subprocess.run(["mount", "-t", "tmpfs", "none", f"{path}/{at}"], check=True)
    open(f"{path}/{at}/file", "w").close()
assert not made.remove(1)
assert not made.remove(2)
made.remove_all(1)
made.remove_all(2)
assert os.listdir(path) == [], os.listdir(path)
os.mkdir(f"{path}/3")
subprocess.run(["mount", "-t", "tmpfs", "none", f"{path}/3"], check=True)
made.end()
assert os.listdir(path) == [], os.listdir(path)
"""
KEPT = """
import os, subprocess, sys
from luisito.spawner.runtime import Runtime
path, uid = sys.argv[1], int(sys.argv[2])
for at in ("1", "2"):
    os.mkdir(f"{path}/{at}")
    os.chown(f"{path}/{at}", uid, uid)
subprocess.run(["mount", "-t", "tmpfs", "none", f"{path}/1"], check=True)
os.setresuid(uid, uid, uid)
made = Runtime(path)
assert os.listdir(path) == ["1"], os.listdir(path)
assert not made.remove(1)
os.makedirs(f"{path}/3/file")
os.chmod(f"{path}/3", 0)
assert not made.remove(3)
made.end()
assert sorted(os.listdir(path)) == ["1", "3"], os.listdir(path)
"""
NESTED = """
import os, sys
from luisito.spawner.runtime import Runtime
from tests.spawner.test_removal import nest
path, when = sys.argv[1:]
os.mkdir(path, 0o711)
if when == "start":
    nest(f"{path}/1")
made = Runtime(path)
if when != "start":
    nest(f"{path}/1")
if when == "life":
    assert not made.remove(1)
    made.remove_all(1)
elif when == "end":
    made.end()
assert os.listdir(path) == []
"""
FILLING = """
import itertools, os, sys
for number in itertools.count():
    for at in ("", "/in"):
        try:
            os.close(os.open(f"{sys.argv[1]}{at}/{number}", os.O_CREAT, 0o600))
        except OSError:
            pass
"""


def nest(path):
    """Make folders too deep for a path, each with a file in it."""
    os.mkdir(path)
    at = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(DEPTH):
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=at))
        os.mkdir("x", dir_fd=at)
        inner = os.open("x", os.O_RDONLY | os.O_DIRECTORY, dir_fd=at)
        os.close(at)
        at = inner
    os.close(at)


def in_namespace(code, *arguments):
    return subprocess.run(
        ["unshare", "-m", sys.executable, "-c", code, *arguments],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("when", ["start", "life", "end"])
@pytest.mark.parametrize("uid", [None, 4242], ids=["us", "ordinary"])
def test_nested_folders_are_removed(folder, when, uid):
    if uid is not None and os.geteuid() != 0:
        pytest.skip("needs root: it changes users")
    os.chmod(folder, 0o777)
    done = subprocess.run(
        [sys.executable, "-c", NESTED, f"{folder}/run", when],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        user=uid,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32)),
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_folder_that_is_filled_meanwhile_is_removed(root, folder, capfd):
    made = Runtime(f"{folder}/run")
    path = f"{folder}/run/1"
    os.makedirs(f"{path}/in")
    for at in (path, f"{path}/in"):
        os.chown(at, 4242, 4242)
    filler = subprocess.Popen([sys.executable, "-c", FILLING, path], user=4242)
    try:
        while len(os.listdir(path)) < 1000:
            assert filler.poll() is None
        made.remove_all(1)
        assert filler.poll() is None
    finally:
        filler.kill()
        filler.wait()
    assert os.listdir(f"{folder}/run") == []
    os.close(made._folder)
    assert capfd.readouterr().err == ""


def test_a_link_in_a_folder_is_removed_and_not_followed(folder):
    os.makedirs(f"{folder}/other/keep")
    made = Runtime(f"{folder}/run")
    os.makedirs(f"{folder}/run/1/in")
    os.symlink(f"{folder}/other", f"{folder}/run/1/in/link")
    made.remove_all(1)
    assert os.listdir(f"{folder}/run") == []
    assert os.listdir(f"{folder}/other") == ["keep"]
    os.close(made._folder)


def test_what_is_mounted_on_a_folder_is_taken_off(root, folder):
    done = in_namespace(MOUNTED, f"{folder}/run")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_folder_that_resists_keeps_no_other(root, folder):
    path = f"{folder}/run"
    os.mkdir(path, 0o711)
    os.chown(path, 4242, 4242)
    os.chmod(folder, 0o711)
    done = in_namespace(KEPT, path, "4242")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("folder 1 in RUNTIME_DIR is left there") == 2
    assert done.stderr.count("folder 3 in RUNTIME_DIR is left there") == 1


def test_a_server_whose_folder_is_taken_is_refused_in_words(folder):
    made = Runtime(f"{folder}/run")
    os.mkdir(f"{folder}/run/1")
    with pytest.raises(LuisitoError, match="is left from another server"):
        made.make(1, None, 0, None)
    os.close(made._folder)

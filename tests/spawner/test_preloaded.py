"""What a start does where it cannot be handed to a preloaded interpreter (spawner.preloaded)."""

import errno
import os
import socket

import pytest

from luisito.spawner import preloaded
from luisito.spawner.users import Identity

NAME = "environment"


@pytest.fixture
def uid(tmp_path):
    """Ours; RUNTIME_DIR is `tmp_path`, and has a folder of ours for interpreters."""
    user = Identity(os.getuid(), os.getgid(), [], "me", "/")
    assert preloaded.make_folders(str(tmp_path), None, user) == f"{tmp_path}/preload/{user.uid}"
    return user.uid


def refused(tmp_path, uid):
    with pytest.raises(preloaded.NotPreloadedError) as caught:
        preloaded.hand_over(str(tmp_path), uid, NAME, {}, ())
    return str(caught.value)


def test_where_there_is_none_nothing_is_said(tmp_path, uid):
    assert refused(tmp_path, uid) == ""
    preloaded.listen(str(tmp_path), uid, NAME).close()
    assert refused(tmp_path, uid) == ""


def test_one_that_has_not_answered_many_is_not_waited_for(tmp_path, uid, monkeypatch):
    monkeypatch.chdir(tmp_path / "preload" / str(uid))
    with preloaded.listen(str(tmp_path), uid, NAME) as listener:
        listener.listen(1)
        asked = []
        for _ in range(3):  # of whom the last one finds no room
            asked.append(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
            asked[-1].setblocking(False)
            last = asked[-1].connect_ex(f"{NAME}.socket")
        assert last == errno.EAGAIN
        assert "too many" in refused(tmp_path, uid)
        for one in asked:
            one.close()


def test_a_place_that_is_no_folder(tmp_path, uid):
    folder = tmp_path / "preload" / str(uid)
    folder.rmdir()
    folder.touch()
    assert refused(tmp_path, uid) == "it cannot be asked: Not a directory"
    assert preloaded.learned(str(folder), str(tmp_path), uid, NAME) == ""


@pytest.mark.root
def test_a_folder_that_nobody_came_to_give_to_its_user(tmp_path):
    """Whoever made it was killed before that."""
    user = Identity(5, 60, [], "games", "/")
    folder = tmp_path / "preload" / "5"
    folder.mkdir(parents=True, mode=0o700)
    preloaded.make_folders(str(tmp_path), None, user)
    assert (folder.stat().st_uid, folder.stat().st_gid) == (5, 60)

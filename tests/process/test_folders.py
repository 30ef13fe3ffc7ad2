"""The folders that Luisito makes while it may be root, and who may be quicker."""

import os
import stat

import pytest

from luisito.errors import SettingsError
from luisito.process import folders


@pytest.fixture
def swap(monkeypatch):
    """Does something to the folder as soon as it was made."""
    make = folders.os.makedirs

    def later(do):
        def makedirs(path):
            make(path)
            do(path)

        monkeypatch.setattr(folders.os, "makedirs", makedirs)

    return later


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_the_folder_of_the_logs_is_open_to_readers_whatever_the_umask(tmp_path):
    mask = os.umask(0o077)
    try:
        folders.make_logs(str(tmp_path / "deep" / "logs"))
    finally:
        os.umask(mask)
    assert mode(tmp_path / "deep" / "logs") == 0o755


def test_one_that_is_there_stays_as_it_is(tmp_path):
    (tmp_path / "logs").mkdir(mode=0o700)
    folders.make_logs(str(tmp_path / "logs"))
    assert mode(tmp_path / "logs") == 0o700


def test_a_link_put_in_its_place_is_not_followed(tmp_path, swap):
    secret = tmp_path / "secret"
    secret.mkdir(mode=0o700)

    def link(path):
        os.rmdir(path)
        os.symlink(secret, path)

    swap(link)
    with pytest.raises(SettingsError, match=r"OUTPUT_LOG_DIR = .*logs'"):
        folders.make_logs(str(tmp_path / "logs"))
    assert mode(secret) == 0o700


@pytest.mark.root
def test_anothers_folder_put_in_its_place_is_left_alone(tmp_path, swap):
    def replace(path):
        os.rmdir(path)
        os.mkdir(path, 0o700)
        os.chown(path, 4242, 4242)

    swap(replace)
    with pytest.raises(SettingsError, match="somebody else has put another in its place"):
        folders.make_logs(str(tmp_path / "logs"))
    assert mode(tmp_path / "logs") == 0o700

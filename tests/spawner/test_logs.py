"""The files of the sites' output: opened, rotated, and not abused by a tenant (FAULTS 69)."""

import os
import pwd
import stat

import pytest

from luisito.core import wire

SITE = "a.example"
LOG = "a.example.log"
LIMIT = 1000


@pytest.fixture
def logs(network, folder):
    """(ask for the site's file, folder)."""
    if network.user is not None:
        os.chown(folder, network.uid, -1)

    def start(**changes):
        network.launch(
            **{"output_log_dir": folder, "log_max_size": LIMIT, "log_keep": 2, **changes}
        )
        return asking(network)

    return start, folder


def asking(network):
    numbers = iter(range(1, 100))

    def ask(*, rotate):
        number = next(numbers)
        network.order(wire.AskLog(number, SITE, rotate))
        fact, descriptors = network.fact()
        assert fact.ask == number
        assert len(descriptors) == (not fact.message)
        return fact, *descriptors

    return ask


def files(folder):
    found = {}
    for name in sorted(os.listdir(folder)):
        with open(f"{folder}/{name}", "rb") as file:
            found[name] = file.read()
    return found


def write(folder, name, content):
    with open(f"{folder}/{name}", "wb") as file:
        file.write(content)


def test_size_and_end_are_told(logs):
    start, _folder = logs
    ask = start()
    fact, log = ask(rotate=False)
    assert fact == wire.Log(1, "", 0, False)
    os.write(log, b"whole\n")
    assert ask(rotate=False)[0] == wire.Log(2, "", 6, False)
    os.write(log, b"half")
    assert ask(rotate=False)[0] == wire.Log(3, "", 10, True)


def test_rotation(logs):
    start, folder = logs
    ask = start()
    for number in range(5):
        fact, log = ask(rotate=True)
        assert (fact.message, fact.size) == ("", 0)
        os.write(log, b"%d" % number * 600)
    assert {name: content[:1] for name, content in files(folder).items()} == {
        LOG: b"4",
        f"{LOG}.1": b"3",
        f"{LOG}.2": b"2",
    }
    assert stat.S_IMODE(os.stat(f"{folder}/{LOG}").st_mode) == 0o640


def test_a_small_file_is_not_rotated(logs):
    """Somebody else has rotated or emptied it: what we know of its size is not so any more."""
    start, folder = logs
    ask = start()
    _, log = ask(rotate=True)
    os.write(log, b"x" * 499)
    assert ask(rotate=True)[0].size == 499
    os.write(log, b"x")
    assert ask(rotate=True)[0].size == 0
    assert files(folder) == {LOG: b"", f"{LOG}.1": b"x" * 500}


def test_none_are_kept(logs):
    start, folder = logs
    ask = start(log_keep=0)
    write(folder, f"{LOG}.1", b"of a larger LOG_KEEP")
    for content in (b"1" * LIMIT, b"2" * LIMIT):
        _, log = ask(rotate=True)
        os.write(log, content)
    assert files(folder) == {LOG: b"2" * LIMIT}


def test_old_files_of_a_larger_log_keep_go(logs):
    start, folder = logs
    ask = start()
    for number in range(1, 8):
        write(folder, f"{LOG}.{number}", b"%d" % number)
    write(folder, LOG, b"0" * LIMIT)
    write(folder, "b.example.log.7", b"another's")
    if os.geteuid() == 0 and os.stat(folder).st_uid:
        os.chown(f"{folder}/{LOG}", os.stat(folder).st_uid, -1)
    assert ask(rotate=True)[0].message == ""
    assert files(folder) == {
        LOG: b"",
        f"{LOG}.1": b"0" * LIMIT,
        f"{LOG}.2": b"1",
        "b.example.log.7": b"another's",
    }


def test_a_rotation_that_failed_goes_on(logs):
    start, folder = logs
    ask = start()
    _, log = ask(rotate=False)
    os.write(log, b"0" * LIMIT)
    write(folder, f"{LOG}.1", b"1")
    os.mkdir(f"{folder}/{LOG}.2")
    fact, *_ = ask(rotate=True)
    assert fact.message == f"log '{folder}/{LOG}': Is a directory; look at what is in its folder"
    os.rmdir(f"{folder}/{LOG}.2")
    assert ask(rotate=True)[0].message == ""
    assert files(folder) == {LOG: b"", f"{LOG}.1": b"0" * LIMIT, f"{LOG}.2": b"1"}


def test_the_access_log_is_not_rotated(as_user, folder):
    os.chown(folder, as_user.uid, -1) if os.geteuid() == 0 else None
    as_user.launch(access_log=f"{folder}/all", log_max_size=1)
    for ask in (1, 2):
        as_user.order(wire.AskLog(ask, None, True))
        _fact, (log,) = as_user.fact()
        os.write(log, b"line\n")
    assert files(folder) == {"all": b"line\nline\n"}


def test_a_missing_folder_is_named(as_user, folder):
    as_user.launch(output_log_dir=f"{folder}/none")
    fact, *_ = asking(as_user)(rotate=False)
    path = f"{folder}/none/{LOG}"
    assert fact.message == (
        f"log '{path}': folder '{folder}/none': No such file or directory at 'none'; create it"
    )


# What a tenant may have put into a folder that it can write to


@pytest.mark.parametrize("kind", ["link", "hard link"])
@pytest.mark.parametrize("rotate", [False, True])
def test_links_of_a_tenant_69(as_root, folder, kind, rotate):
    victim = f"{folder}/victim"
    write(folder, "victim", b"x" * LIMIT)
    (os.symlink if kind == "link" else os.link)(victim, f"{folder}/{LOG}")
    os.symlink(victim, f"{folder}/{LOG}.1")
    os.symlink("/etc", f"{folder}/{LOG}.2")
    as_root.launch(output_log_dir=folder, log_max_size=LIMIT, log_keep=3)
    fact, *descriptors = asking(as_root)(rotate=rotate)
    if descriptors:  # the name has moved away, and with it the way to the victim
        os.write(descriptors[0], b"ours")
    assert bool(fact.message) == (kind == "link" or not rotate)
    with open(victim, "rb") as file:
        assert file.read() == b"x" * LIMIT
    assert os.path.isdir("/etc")


def test_a_link_of_a_tenant_on_the_way_69(as_root, folder):
    """The folder of the logs lies in a tenant's own, who puts a link in its place."""
    daemon = pwd.getpwnam("daemon")
    os.mkdir(f"{folder}/victim")
    os.symlink("victim", f"{folder}/logs")
    os.lchown(f"{folder}/logs", daemon.pw_uid, daemon.pw_gid)
    as_root.launch(output_log_dir=f"{folder}/logs")
    fact, *_ = asking(as_root)(rotate=False)
    assert "'logs' in it is a symbolic link" in fact.message
    assert os.listdir(f"{folder}/victim") == []


def test_a_link_of_roots_on_the_way_is_the_operators_own(as_root, folder):
    os.makedirs(f"{folder}/disk/logs")
    os.symlink("../disk", f"{folder}/disk/also")
    os.symlink(f"{folder}/disk/also/logs", f"{folder}/logs")
    as_root.launch(output_log_dir=f"{folder}/logs")
    fact, *_ = asking(as_root)(rotate=False)
    assert fact.message == ""
    assert os.listdir(f"{folder}/disk/logs") == [LOG]


def test_a_file_that_a_tenant_has_put_there_to_read_it_69(as_root, folder):
    os.chmod(folder, 0o1777)
    write(folder, LOG, b"")
    os.chown(f"{folder}/{LOG}", 1234, 1234)
    as_root.launch(output_log_dir=folder)
    ask = asking(as_root)
    fact, *_ = ask(rotate=False)
    # the kernel may have been quicker (fs.protected_regular, proc(5))
    assert "uid 1234" in fact.message or "Permission denied" in fact.message
    os.chmod(folder, 0o755)
    assert ask(rotate=False)[0].message == ""


def test_a_folder_of_another_user(as_root, folder):
    """The operator has given the files to somebody: those that are there are used as they are."""
    os.chown(folder, 1234, 1234)
    write(folder, LOG, b"x" * LIMIT)
    os.chown(f"{folder}/{LOG}", 1234, 1234)
    as_root.launch(output_log_dir=folder, log_max_size=LIMIT, log_keep=1)
    ask = asking(as_root)
    assert ask(rotate=False)[0].size == LIMIT
    assert ask(rotate=True)[0].size == 0
    assert os.stat(f"{folder}/{LOG}.1").st_uid == 1234
    assert os.stat(f"{folder}/{LOG}").st_uid == 0

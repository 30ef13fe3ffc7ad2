"""Why a program could not be executed, as its user sees it."""

import errno
import os
import shutil
import tempfile

import pytest

from luisito.spawner.whynot import why_not

NOBODY = 65534


@pytest.fixture
def folder():
    made = tempfile.mkdtemp(prefix="lt-")
    os.chmod(made, 0o755)
    os.mkdir(f"{made}/hidden")
    yield made
    os.chmod(f"{made}/hidden", 0o700)
    shutil.rmtree(made)


def told(program, folder, code=errno.EACCES):
    """What a user says who is not root, to whom the folder hidden is closed."""
    os.chmod(f"{folder}/hidden", 0)
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setresgid(NOBODY, NOBODY, NOBODY)
                os.setresuid(NOBODY, NOBODY, NOBODY)
            refused = OSError(code, os.strerror(code))
            os.write(
                theirs, why_not(program, f"{folder}/bin:{folder}", refused, "command").encode()
            )
        finally:
            os._exit(0)
    os.close(theirs)
    with open(ours) as words:
        said = words.read()
    os.waitpid(pid, 0)
    return said


def mend(folder):
    return f"chmod {'o' if os.geteuid() == 0 else 'u'}+x {folder}/hidden"


def barred(program, folder):
    return (
        f"{program!r} cannot be executed: its user may not enter '{folder}/hidden', which is on the"
        f" way to it or to its interpreter; run {mend(folder)}"
    )


def test_an_interpreter_behind_a_folder_that_the_user_cannot_enter(folder):
    os.symlink("/bin/sh", f"{folder}/hidden/python")
    os.symlink(f"{folder}/hidden/python", f"{folder}/python")
    script = f"{folder}/serve"
    with open(script, "w") as file:
        file.write(f"#!{folder}/python\n")
    os.chmod(script, 0o755)
    assert told("serve", folder) == barred(script, folder)


def test_a_link_to_a_program_behind_a_folder_that_the_user_cannot_enter(folder):
    os.symlink("/bin/sh", f"{folder}/hidden/python")
    os.symlink(f"{folder}/hidden/python", f"{folder}/python")
    assert told("python", folder) == barred(f"{folder}/python", folder)
    assert told(f"{folder}/hidden/python", folder) == barred(f"{folder}/hidden/python", folder)


def test_a_program_that_is_nowhere_or_behind_a_folder_of_path(folder):
    os.symlink(f"{folder}/hidden", f"{folder}/bin")
    words = f"no such program: 'python' (PATH={folder}/bin:{folder}); install it or mend command"
    assert told("python", folder, errno.ENOENT) == (
        f"{words}; or, if it is behind '{folder}/hidden', which its user may not enter, run"
        f" {mend(folder)}"
    )
    os.remove(f"{folder}/bin")
    assert told("python", folder, errno.ENOENT) == words

"""$MAINPID in stop commands."""

from luisito.core.mainpid import with_main_pid


def test_it_stands_for_the_pid():
    argv = ["kill", "-QUIT", "$MAINPID", "${MAINPID}/x$MAINPID", "$OTHER", "%MAINPID"]
    assert with_main_pid(argv, 7) == ["kill", "-QUIT", "7", "7/x7", "$OTHER", "%MAINPID"]

import pytest

from luisito.core.background import mend, went

GENERAL = "remove what sends it there"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["gunicorn", "-D", "app:app"], "remove -D"),
        (["/srv/a/venv/bin/gunicorn", "--daemon", "app:app"], "remove --daemon"),
        (["python3", "-m", "gunicorn", "--bind", "x", "-D", "app"], "remove -D"),
        (["env", "A=1", "gunicorn", "-D"], "remove -D"),
        (["sh", "-c", "cd /srv && exec gunicorn -D app"], "remove -D"),
        (["sh", "-c", "gunicorn -D 'app"], "remove -D"),
        (["gunicorn", "app:app"], GENERAL),  # its configuration file, or a hook
        (["-D", "gunicorn"], GENERAL),
        (["uwsgi", "--daemonize=/var/log/x"], "remove --daemonize"),
        (["uwsgi", "-d", "/var/log/x"], "remove -d"),
        (["php-fpm8.2", "-D"], "remove -D and add --nodaemonize"),
        (["/usr/sbin/php-fpm", "-y", "x"], "add --nodaemonize"),
        (["apache2", "-k", "start"], "add -D FOREGROUND in the place of -k start"),
        (["httpd"], "add -D FOREGROUND"),
        (["nginx", "-c", "x"], "add -g 'daemon off;'"),
        (["lighttpd", "-f", "x"], "add -D"),
        (["mine", "--daemonize"], "remove --daemonize"),
        (["mine", "--detach=yes"], "remove --detach"),
        (["mine", "-D"], GENERAL),
        (["sh", "run.sh"], GENERAL),
        (["sh", "-c"], GENERAL),
        (["bash", "-l", "-c", "serve"], GENERAL),
        (["bash", "-lc", "serve --daemon"], "remove --daemon"),
        (
            ["sh", "-c", "serve & echo on"],
            "remove the & from 'serve & echo on', and put exec before the server's command",
        ),
        (["/bin/sh", "-ec", "a && b >x 2>&1 && c &>y"], GENERAL),
    ],
)
def test_mends(argv, words):
    assert mend(argv).startswith(words)
    if words != GENERAL:
        assert mend(argv) == words


def test_a_long_script_is_cut():
    words = mend(["sh", "-c", "serve " + "x" * 1000 + " &"])
    assert len(words) < 150
    assert "xxx...'" in words


def test_what_happened_comes_first():
    assert went(17, ["gunicorn", "-D"]) == (
        "the command went into the background (it exited with code 0 while its child pid 17 lived"
        " on); it must stay in the foreground: remove -D"
    )

"""Whatever a file holds: it is read, or refused in one line."""

import contextlib

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luisito.errors import ImportFailed, LuisitoError
from luisito.importing import matching, toml
from luisito.importing.files import Files
from luisito.importing.found import Findings
from luisito.importing.sources import Sources

NAMES = ("a.conf", "a.service", "a@.service", "a.socket", "a.ini", "a.yaml", "a.xml", "Procfile")
WORDS = (
    "server",
    "{",
    "}",
    ";",
    "\n",
    " ",
    "location /",
    "proxy_pass",
    "http://",
    "unix:/run/a.sock",
    "http://127.0.0.1:80",
    "upstream",
    "a.example",
    "server_name",
    "*.",
    "return 301",
    "$1",
    "${",
    "\\",
    '"',
    "'",
    "#",
    "include a.conf",
    "[Service]\n",
    "[Socket]\n",
    "[program:a]\n",
    "[uwsgi]\n",
    "ExecStart=",
    "gunicorn",
    " -b",
    "=",
    "Environment=",
    "EnvironmentFile=-",
    "User=",
    "MemoryMax=",
    "LimitNOFILE=",
    "ListenStream=",
    "command=",
    "environment=A=1,",
    "%(a)s",
    "%i",
    "%%",
    "%",
    "for = ",
    "endfor =",
    "socket = ",
    "module = a",
    "chdir = ",
    "subscribe-to = a:1:",
    "uwsgi:\n",
    "  a: ",
    "- ",
    "<uwsgi>",
    "</uwsgi>",
    "<module>",
    "</module>",
    "&a;",
    "web: ",
    "$PORT",
    "&&",
    "exec",
    "uwsgi --ini a.ini",
    "9" * 30,
    "1",
    "\0",
    "\u202e",
    "é",
    "numprocs=",
    "KillSignal=",
    "TimeoutStopSec=",
    "infinity",
    "10%",
)


def a_text():
    return st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=3)), max_size=40).map(
        "".join
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), a_text(), min_size=1))
def test_any_text(tmp_path, texts):
    folder = tmp_path / "any"
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", errors="replace")
    files, found = Files(str(folder)), Findings()
    for name in texts:
        with contextlib.suppress(ImportFailed):
            Sources(files, Findings()).add(str(folder / name))
    reading = Sources(files, found, "b.example")
    with contextlib.suppress(ImportFailed):
        reading.add(str(folder))
        reading.finish()
        for site in matching.sites(found, files, "b.example"):
            assert toml.written(site)
    assert all(str(note) for note in found.notes)
    assert issubclass(ImportFailed, LuisitoError)

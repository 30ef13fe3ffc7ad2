"""What of several files belongs together, and what does not."""

import tomllib

import pytest

from luisito.importing.writing import write


@pytest.fixture
def become(bring, tmp_path):
    """The site files that some files become, parsed, and what is said."""

    def become(*options, **files):
        folder = tmp_path / "all"
        folder.mkdir()
        for name, text in files.items():
            (folder / name.replace("_", ".")).write_text(text)
        said = bring(folder, "--to", "sites", *options)
        found = {path.stem: tomllib.loads(path.read_text()) for path in tmp_path.glob("sites/*")}
        return found, said

    return become


def server(name, passes, more=""):
    return f"server {{ server_name {name}; {more} location / {{ proxy_pass http://{passes}; }} }}\n"


def unit(start, more=""):
    return f"[Service]\nUser=a\nWorkingDirectory=/srv/a\nExecStart={start}\n{more}"


A = server("a.example", "unix:/run/a.sock")
START = "gunicorn -b unix:/run/a.sock a:app"


def test_the_last_start_counts_where_a_line_takes_back_the_first(become):
    text = unit("gunicorn -b unix:/run/old.sock a:old", f"ExecStart=\nExecStart={START}\n")
    found, said = become(a_conf=A, a_service=text)
    assert found["a.example"]["command"] == "gunicorn --bind unix:%SOCKET a:app"
    assert said.status == 0


def test_a_second_start_is_told(become):
    _, said = become(a_conf=A, a_service=unit("gunicorn b:c", f"ExecStart={START}\n"))
    assert "a site has one command, the last of these" in said.part("not translated")[0]


def test_sockets_that_are_taken_back(become):
    socket = "[Socket]\nListenStream=/run/b.sock\nListenStream=\nListenStream=/run/a.sock\n"
    files = {"a_conf": A + server("b.example", "unix:/run/b.sock"), "a_socket": socket}
    found, said = become(a_service=unit("gunicorn a:app"), **files)
    assert list(found) == ["a.example"]
    assert "nothing that was read listens at /run/b.sock" in said.part("not translated")[0]


def test_a_socket_of_a_service_of_another_name(become):
    socket = "[Socket]\nListenStream=/run/a.sock\nService=b.service\n"
    found, _ = become(a_conf=A, a_socket=socket, b_service=unit("/usr/bin/anything"))
    assert found["a.example"]["command"] == "/usr/bin/anything"


def test_two_blocks_of_one_program_are_one_site(become):
    files = {"a_conf": A + server("b.example www.a.example", "unix:/run/a.sock")}
    found, _ = become(a_service=unit(START), **files)
    assert found["a.example"]["aliases"] == ["b.example", "www.a.example"]


def test_the_location_of_the_whole_site_is_its_server(become):
    text = (
        "server { server_name a.example; location /api/ { proxy_pass http://localhost:99; }"
        " location / { try_files $uri @app; }"
        " location @app { proxy_pass http://unix:/run/a.sock; } }"
    )
    found, said = become(a_conf=text, a_service=unit(START))
    assert list(found) == ["a.example"]
    assert "/api/: proxy_pass http://localhost:99" in said.part("not translated")[0]


@pytest.mark.parametrize(
    ("names", "to", "redirects"),
    [
        ("old.example", "https://a.example$request_uri", ["old.example"]),
        ("old.example *.old.example", "https://a.example$request_uri", None),
        ("old.example", "https://a.example/", None),
        ("old.example", "https://other.example$request_uri", None),
        ("a.example", "https://a.example$request_uri", None),
    ],
)
def test_redirects(become, names, to, redirects):
    files = {"a_conf": f"{A}server {{ server_name {names}; return 301 {to}; }}"}
    found, said = become(a_service=unit(START), **files)
    assert found["a.example"].get("redirects") == redirects
    assert said.status == 0


def test_a_name_that_two_sites_would_have_is_told(become):
    files = {"a_conf": A + server("a.example", "unix:/run/b.sock")}
    other = unit("gunicorn -b unix:/run/b.sock b:app")
    found, said = become(a_service=unit(START), b_service=other, **files)
    assert len(found) == 1
    assert "is the host of another site, too" in said.part("not translated")[0]


def test_a_uwsgi_file_that_is_not_there(become):
    found, said = become(a_conf=A, a_service=unit("uwsgi --socket /run/a.sock --ini none.ini"))
    assert found == {}
    (line,) = said.part("not translated")
    assert "/srv/a/none.ini: cannot be read" in line


def test_uwsgi_told_by_its_command_line(become):
    start = "/v/uwsgi -s /run/a.sock --module a --master --uid a --threads 2"
    found, _ = become(a_conf=A, a_service=unit(start))
    assert found["a.example"]["command"] == (
        "/v/uwsgi --http-socket %SOCKET --die-on-term --module a --master --threads 2"
    )


def test_a_unit_that_is_masked_is_none(bring, tmp_path):
    (tmp_path / "units").mkdir()
    (tmp_path / "units" / "a.service").write_text(unit(START))
    (tmp_path / "units" / "b.service").symlink_to("/dev/null")
    said = bring("units", "--host", "a.example")
    assert said.status == 0
    assert "b.service" not in said.out


@pytest.mark.parametrize("user", ["a", "b"])
def test_a_worker_belongs_to_the_site_of_its_folder_and_user(become, user):
    worker = unit("celery -A a worker").replace("User=a", f"User={user}")
    found, said = become(a_conf=A, a_service=unit(START), w_service=worker)
    assert ("process" in found["a.example"]) == (user == "a") == (said.status == 0)


def test_what_a_worker_has_otherwise_than_its_site_is_told(become):
    worker = unit(
        "celery -A a worker",
        "Type=notify\nMemoryMax=1G\nEnvironmentFile=/etc/w\nTimeoutStopSec=9\n",
    )
    found, said = become(a_conf=A, a_service=unit(START), w_service=worker)
    (process,) = found["a.example"]["process"]
    assert process["stop_timeout"] == 9
    assert [line.split(": ", 1)[1] for line in said.part("not translated")] == [
        "w.service: memory_max of a worker is that of its site; see that it may be so",
        "/etc/w: env_file of a worker is that of its site; put both together",
    ]


def test_a_host_for_the_one_site_without(become):
    found, _ = become("--host", "b.example", a_service=unit(START))
    assert list(found) == ["b.example"]


def test_no_name_but_a_pattern(become):
    files = {"a_conf": server("*.a.example", "unix:/run/a.sock")}
    found, _ = become(a_service=unit(START), **files)
    assert list(found) == ["www.a.example"]
    assert found["www.a.example"]["hosts"] == ["*.a.example"]


def test_a_file_that_somebody_else_has_just_written_is_left(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text("theirs")
    assert not write(str(path), "ours", hidden=False, force=False)
    assert path.read_text() == "theirs"
    assert write(str(path), "ours", hidden=False, force=True)
    assert [each.name for each in tmp_path.iterdir()] == ["a.toml"]
    assert path.read_text() == "ours"


@pytest.mark.parametrize(
    ("stops", "keys", "listed"),
    [
        ("/bin/kill -s TERM $MAINPID", {"stop_signal": "TERM"}, ""),
        ("-/usr/bin/kill -QUIT ${MAINPID}", {"stop_signal": "QUIT"}, ""),
        ("/srv/a/end $MAINPID 50%%", {"stop_command": "/srv/a/end $MAINPID 50%"}, ""),
        ("+/srv/a/end", {}, "ExecStop=+/srv/a/end"),
        ("/srv/a/one\nExecStop=/srv/a/two", {"stop_command": "/srv/a/one"}, "/srv/a/two"),
    ],
)
def test_what_stops_a_service(become, stops, keys, listed):
    found, said = become(a_conf=A, a_service=unit(START, f"ExecStop={stops}\n"))
    about = {key: value for key, value in found["a.example"].items() if key.startswith("stop")}
    assert about == keys
    assert listed in said.out


@pytest.mark.parametrize(
    ("types", "ready"),
    [
        ("Type=notify", "notify"),
        ("Type=notify-reload", "notify"),
        ("Type=simple", None),
        ("Type=notify\nType=exec", None),
    ],
)
def test_a_service_that_says_when_it_is_ready(become, types, ready):
    found, said = become(a_conf=A, a_service=unit(START, f"{types}\n"))
    assert found["a.example"].get("ready") == ready
    assert "Type" not in said.out

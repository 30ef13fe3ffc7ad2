"""A folder of nginx's and systemd's files, imported, and its sites served by a real Luisito."""

import getpass
import os
import subprocess
import sys

from tests.harness.recipes import output
from tests.harness.server import PYTHON, ordinary_user

APP = """\
import os

def app(environ, start_response):
    said = " ".join([os.environ["GREETING"], environ["HTTP_HOST"], os.getcwd().rpartition("/")[2]])
    start_response("200 OK", [("Content-Length", str(len(said)))])
    return [said.encode()]
"""
FILES = {
    "nginx/sites-enabled/all": """\
server {
    listen 443 ssl default_server;
    server_name shop.example www.shop.example;
    location /static/ { alias /srv/shop/static; }
    location / { include proxy_params; proxy_pass http://unix:<folder>/shop.sock; }
}
server { server_name old.example; return 301 https://shop.example$request_uri; }
server { server_name blog.example *.blog.example; location / { proxy_pass http://blog; } }
upstream blog { server unix:/run/blog.sock fail_timeout=0; }
server { server_name files.example; location / { proxy_pass http://localhost:8123; } }
""",
    "nginx/proxy_params": "proxy_set_header Host $http_host;\n",
    "units/shop.service": """\
[Service]
User=<user>
WorkingDirectory=<folder>/srv/shop
Environment="GREETING=hello 100%%" LISTEN=1
ExecStart=<folder>/venv/bin/gunicorn --workers 1 --no-control-socket -m 007 \\
    --bind unix:<folder>/shop.sock app:app
LimitNOFILE=512
KillSignal=SIGINT
TimeoutStopSec=20
""",
    "units/blog.socket": "[Socket]\nListenStream=/run/blog.sock\n",
    "units/blog.service": """\
[Service]
User=<user>
WorkingDirectory=<folder>/srv/blog
EnvironmentFile=<folder>/srv/blog/env
ExecStart=<folder>/venv/bin/gunicorn --no-control-socket app:app
""",
    "units/files.service": """\
[Service]
User=<user>
WorkingDirectory=<folder>/srv/blog
ExecStart=<python> -m http.server --bind 127.0.0.1 8123
""",
    "srv/shop/app.py": APP,
    "srv/blog/app.py": APP,
    "srv/blog/env": "GREETING=good day\n",
}


def imported(serve, files, *sources):
    """A server whose site files `luisito import` has written; with what that said."""
    owner = ordinary_user()
    user = getpass.getuser() if owner is None else owner.pw_name
    said = []

    def prepare(folder):
        (folder / "venv").symlink_to(sys.prefix)
        (folder / "output").mkdir()
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            text = text.replace("<folder>", str(folder)).replace("<user>", user)
            path.write_text(text.replace("<python>", PYTHON))
            path.chmod(0o644)
        if owner is not None:
            who = f"{owner.pw_uid}:{owner.pw_gid}"
            subprocess.run(["chown", "-Rh", who, folder / "srv", folder / "output"], check=True)
        words = [str(folder / one) if "/" in one else one for one in sources]
        done = subprocess.run(
            [sys.executable, "-m", "luisito.cli", "import", *words, "--to", folder / "sites"],
            capture_output=True, text=True, check=False, env={**os.environ, "LUISITO_SETTINGS": ""},
        )  # fmt: skip
        said.append(done.stdout + done.stderr)
        assert done.returncode == 0, said

    settings = {"CMD_TPL": None, "SITES_DIR": "<folder>/sites", "OUTPUT_LOG_DIR": "<folder>/output"}
    return serve(settings, prepare=prepare), said[0]


def test_an_imported_folder_is_served(serve):
    server, said = imported(serve, FILES, "nginx/sites-enabled", "units/")
    assert "3 files written, 0 not translated" in said
    for host, body in {
        "shop.example": "hello 100% shop.example shop",
        "www.shop.example": "hello 100% www.shop.example shop",
        "other.example": "hello 100% other.example shop",
        "blog.example": "good day blog.example blog",
        "a.blog.example": "good day a.blog.example blog",
    }.items():
        response = server.request(host=host)
        assert (response.status, response.body) == (200, body.encode()), output(server, host)
    redirect = server.request("/a?b", host="old.example")
    assert redirect.status == 308
    assert redirect.get("location") == "http://shop.example/a?b"
    assert server.request("/app.py", host="files.example").body == APP.encode()
    assert server.stop() == 0
    assert "Shutting down: Master" in (server.folder / "output/shop.example.log").read_text()


OTHERS = {
    "nginx/all.conf": """\
server { server_name u.example; location / { proxy_pass http://127.0.0.1:8124; } }
server { server_name w.example; location / { proxy_pass http://127.0.0.1:8125; } }
""",
    "supervisor/all.conf": """\
[program:u]
command=<folder>/venv/bin/uvicorn --host 0.0.0.0 --port 8124 asgi:app
directory=<folder>/srv/u
user=<user>

[program:w]
command=<folder>/venv/bin/waitress-serve --listen=127.0.0.1:8125 app:app
directory=<folder>/srv/w
user=<user>
environment=GREETING='a b'
""",
    "srv/u/asgi.py": """\
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body = f"{scope['scheme']} {scope['client'][0]}".encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
""",
    "srv/w/app.py": APP,
    "srv/p/app.py": APP,
    "srv/p/.env": "GREETING=hi\nWORKERS=1\n",
    "srv/p/Procfile": (
        "web: DEBUG=1 <folder>/venv/bin/gunicorn --no-control-socket -w ${WORKERS:-2}"
        " -b 0.0.0.0:$PORT app:app\n"
    ),
}


def test_other_servers_and_a_procfile_are_served(serve):
    sources = ("nginx/all.conf", "supervisor/", "srv/p/Procfile", "--host", "p.example")
    server, said = imported(serve, OTHERS, *sources)
    assert "3 files written, 0 not translated" in said
    proto = [("X-Forwarded-Proto", "https")]
    assert server.request(host="u.example", fields=proto).body == b"https 127.0.0.1"
    assert server.request(host="w.example").body == b"a b w.example w"
    assert server.request(host="p.example").body == b"hi p.example p"

"""The Django helper under Luisito, with a real project."""

import copy
import json
import os
import signal
import socket

import pytest

from tests.harness import processes
from tests.harness.recipes import HOSTS, RECIPES, cook, ended, output, request

DJANGO = "Django by the helper"
WHO = """
import json
import os


def who(request):
    return HttpResponse(json.dumps([*os.getresuid(), *os.getresgid(), *os.getgroups()]))


urlpatterns.append(path("who", who))
"""


@pytest.fixture
def project():
    """The recipe, with a view that tells who serves it."""
    urls, _added = RECIPES[DJANGO].files["project/urls.py"]
    recipe = copy.deepcopy(RECIPES[DJANGO])
    recipe.files["project/urls.py"] = (urls + WHO, False)
    return recipe


@pytest.mark.parametrize("how", ["as a module", "by its path", "as in 2012"])
def test_serves_as_the_owner(serve, project, as_whom, how):
    settings = {}
    if how == "as a module":
        command = "venv/bin/python -m luisito.utils.django_http_server %PATH --host 127.0.0.1"
        settings["CMD_TPL"] = (
            f"{command} --port %PORT --settings project.settings --uid %UID --gid %GID"
        )
        settings["ENV"] = {"PYTHONPATH": "<folder>/installed"}
    elif how == "as in 2012":
        program = "<folder>/installed/luisito/utils/django_http_server.py"
        options = ["--host", "127.0.0.1", "--port", "%PORT", "--uid", "%UID", "--gid", "%GID"]
        settings["CMD_TPL"] = [program, *options, "%PATH/"]
        settings["ENV"] = {"PATH": "%PATH/venv/bin"}
    server = cook(serve, project, ordinary=as_whom, **settings)
    owner = (server.folder / "srv" / HOSTS[0]).stat()
    assert os.getuid() or owner.st_uid != 0
    found = json.loads(request(server, "/who").body)
    assert found[:6] == [owner.st_uid] * 3 + [owner.st_gid] * 3
    assert os.getuid() or 0 not in found
    body = os.urandom(100_000)
    assert request(server, method="POST", body=body).body == body
    assert request(server, "/static/admin/css/base.css").status == 200
    assert server.log().count(f"{HOSTS[0]}: started as pid") == 1
    assert ended(server) == "exited with code 0"
    assert output(server) == ""


def test_finishes_what_is_in_flight(serve, project):
    """Though somebody else ends it: Luisito stops no server that has a request."""
    urls, _added = project.files["project/urls.py"]
    view = """
import time


def slow(request):
    open("began", "x").close()
    while not os.path.exists("go"):
        time.sleep(0.01)
    return HttpResponse("done")


urlpatterns.append(path("slow", slow))
"""
    project.files["project/urls.py"] = (urls + view, False)
    server = cook(serve, project)
    site = server.folder / "srv" / HOSTS[0]
    with server.client() as busy:
        busy.ask("/slow", HOSTS[0])
        processes.until((site / "began").exists, 10, "the request")
        pid = server.pid(HOSTS[0])
        os.kill(pid, signal.SIGTERM)
        port = int(server.wait_for_log(r"started as pid .*, port (\d+)")[1])
        processes.until(lambda: not listens(port), 10, "the end of listening")
        (site / "go").touch()
        assert busy.response().body == b"done"
    server.wait_for_log(rf"{HOSTS[0]}: pid {pid} exited with code 0")
    assert request(server).status == 200


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_what_it_says_reaches_the_operator(serve, project):
    """By the page and the log, in one line."""
    del project.files["project/urls.py"], project.files["project/settings.py"]
    project.files["manage.py"] = ("", False)
    project.files["other/settings.py"] = ("", False)
    server = cook(serve, project)
    server.expect("exited with code 2 before it was ready", "502 for GET /")
    response = request(server)
    assert response.status == 502
    assert b"write --settings MODULE" in response.body
    assert "Traceback" not in output(server)

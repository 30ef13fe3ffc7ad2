"""The Django helper's options: what it serves, as whom, and what it says where it cannot."""

import json
import os
import pwd
import socket
import sys

import pytest

from tests.harness.server import ordinary_user

PORT = ("--port", "8000")  # where nothing gets so far as to listen
OTHER_UID = 54321  # of nobody


def refused(result, *words):
    """It has ended with 2 after one line that has these words."""
    status, said = result
    assert status == 2, said
    assert said.startswith("django_http_server: ")
    assert said.count("\n") == 1, said
    for word in words:
        assert str(word) in said


# -- options -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (PORT, ["PATH"]),
        (["/"], ["--port"]),
        (["/", "--port", "http"], ["--port", "'http'", "from 1 to 65535"]),
        (["/", "--port", "0"], ["--port", "'0'", "from 1 to 65535"]),
        (["/", "--port", "٣"], ["--port", "from 1 to 65535"]),
        (["/", *PORT, "--uid", "-1"], ["--uid"]),
        (["/", *PORT, "--uid", "root"], ["--uid", "'root'", "a whole number"]),
        (["/", *PORT, "--gid", "4294967295"], ["--gid", "'4294967295'"]),
        (["/", *PORT, "--settings", "a/b.py"], ["--settings", "'a/b.py'", "project.settings"]),
        (["/", *PORT, "--setting", "a"], ["--setting"]),
        (["/nowhere", *PORT], ["PATH '/nowhere'", "No such file", "manage.py"]),
        (["/etc/passwd", *PORT], ["PATH '/etc/passwd'", "Not a directory", "manage.py"]),
    ],
)
def test_a_wrong_option_is_named(fails, arguments, words):
    refused(fails(*arguments), *words)


@pytest.mark.root
def test_a_folder_that_the_user_may_not_read(fails, folder):
    user = ordinary_user()
    folder.chmod(0o700)
    result = fails(folder, *PORT, "--uid", user.pw_uid)
    refused(result, f"PATH '{folder}'", "Permission denied", f"uid {user.pw_uid}")


def test_a_port_in_use(fails, folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused(fails(folder, "--port", port), f"--port {port}", "already in use", "a free port")


def test_an_address_that_is_not_ours(fails, folder):
    result = fails(folder, *PORT, "--host", "192.0.2.1")
    refused(result, "--host 192.0.2.1", "annot assign requested address")


# -- the project ---------------------------------------------------------------------------------


def settings_of(helper):
    return helper.request("/headers").body


def test_the_settings_that_manage_py_names(start, folder):
    (folder / "other").mkdir()
    (folder / "other" / "settings.py").touch()
    assert b'"project.settings"' in settings_of(start())


def test_settings_that_are_assigned(start, folder):
    (folder / "manage.py").write_text("os.environ['DJANGO_SETTINGS_MODULE'] = 'project.settings'")
    assert b'"project.settings"' in settings_of(start())


@pytest.mark.parametrize("manage", [None, "print 'Python 2'", "\0", "import os"])
def test_settings_that_lie_there_alone(start, folder, manage):
    (folder / "manage.py").unlink()
    if manage is not None:
        (folder / "manage.py").write_text(manage)
    (folder / "not-a-package").mkdir()
    (folder / "not-a-package" / "settings.py").touch()
    assert b'"project.settings"' in settings_of(start())


def test_settings_beside_manage_py_as_in_2012(start, folder):
    (folder / "project" / "settings.py").rename(folder / "settings.py")
    (folder / "manage.py").write_text("import settings\nexecute_manager(settings)\n")
    assert b'"settings"' in settings_of(start())


def test_settings_of_the_environment(start, folder):
    (folder / "manage.py").unlink()
    (folder / "project" / "settings.py").rename(folder / "project" / "hidden.py")
    environ = {"DJANGO_SETTINGS_MODULE": "project.hidden"}
    assert b'"project.hidden"' in settings_of(start(environ=environ))


def test_settings_that_are_given_count_first(start, folder):
    (folder / "project" / "given.py").write_text("from project.settings import *\n")
    environ = {"DJANGO_SETTINGS_MODULE": "project.settings"}
    helper = start("--settings", "project.given", environ=environ)
    assert b'"project.given"' in settings_of(helper)


def test_no_settings(fails, folder):
    (folder / "manage.py").unlink()
    (folder / "project" / "settings.py").unlink()
    refused(fails(folder, *PORT), f"PATH '{folder}'", "no settings module", "--settings MODULE")


def test_several_settings_lie_there(fails, folder):
    (folder / "manage.py").unlink()
    (folder / "other" / "settings").mkdir(parents=True)
    (folder / "other" / "settings" / "__init__.py").touch()
    refused(fails(folder, *PORT), "other.settings, project.settings", "--settings MODULE")


def test_manage_py_names_several_settings(fails, folder):
    with open(folder / "manage.py", "a") as file:
        file.write('os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.live")\n')
    refused(fails(folder, *PORT), "project.live, project.settings", "--settings MODULE")


@pytest.mark.parametrize("module", ["nowhere", "project.nowhere", "project.settings.nowhere"])
def test_settings_that_are_missing(fails, folder, module):
    refused(fails(folder, *PORT, "--settings", module), f"--settings {module}", "no module")


def test_what_django_objects_to(fails, folder):
    with open(folder / "project" / "settings.py", "a") as file:
        file.write("INSTALLED_APPS *= 2\n")
    refused(fails(folder, *PORT), "--settings project.settings", "labels aren't unique")


def test_an_application_that_is_missing(fails, folder):
    with open(folder / "project" / "settings.py", "a") as file:
        file.write("WSGI_APPLICATION = 'project.nowhere.application'\n")
    refused(fails(folder, *PORT), "project.nowhere.application", "No module named")


def test_an_error_in_the_project_has_its_traceback(fails, folder):
    with open(folder / "project" / "settings.py", "a") as file:
        file.write("import a_package_that_is_missing\n")
    status, said = fails(folder, *PORT)
    assert status == 1
    assert f'File "{folder}/project/settings.py", line ' in said
    assert "No module named 'a_package_that_is_missing'" in said


def test_an_interpreter_without_django(fails, folder):
    result = fails(folder, *PORT, python=(sys.executable, "-E", "-S"))
    refused(result, f"{sys.executable} has no Django", "venv/bin/python")


@pytest.mark.parametrize("python", [(), ("-I",)])
def test_it_is_run_by_its_path(start, python):
    assert start(python=(sys.executable, *python)).request("/echo").body == b"hello"


@pytest.mark.parametrize("debug", ["1", "0"])
def test_static_files_are_served_while_debug_is_on(start, debug):
    response = start(environ={"DEBUG": debug}).request("/static/style.css")
    if debug == "1":
        assert (response.status, response.body) == (200, b"body { color: green }\n")
    else:
        assert response.status == 404


def test_no_static_files_without_their_application(start, folder):
    with open(folder / "project" / "settings.py", "a") as file:
        file.write("INSTALLED_APPS = []\n")
    assert start(environ={"DEBUG": "1"}).request("/static/style.css").status == 404


# -- who it is -----------------------------------------------------------------------------------


def as_user(user):
    if user is None:
        return {}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def is_user(helper, uid, gid, groups):
    """It was that user and nobody else when it imported the project."""
    response = helper.request("/who")
    expected = {"imported": [uid] * 3 + [gid] * 3, "groups": groups}
    found = json.loads(response.body)
    assert found | {"groups": sorted(found["groups"])} == expected


def test_the_present_ids_change_nothing(start):
    user = ordinary_user() or pwd.getpwuid(os.getuid())
    ids = ("--uid", user.pw_uid, "--gid", user.pw_gid)
    helper = start(*ids, **as_user(ordinary_user()))
    groups = [] if ordinary_user() else sorted(os.getgroups())
    is_user(helper, user.pw_uid, user.pw_gid, groups)


@pytest.mark.parametrize("option", ["--uid", "--gid"])
def test_only_root_changes_them(fails, folder, option):
    user = ordinary_user() or pwd.getpwuid(os.getuid())
    present = user.pw_uid if option == "--uid" else user.pw_gid
    result = fails(folder, *PORT, option, OTHER_UID, **as_user(ordinary_user()))
    refused(result, f"{option} {OTHER_UID}", f"has {present}", "only root", "remove it")


@pytest.mark.root
def test_root_becomes_that_user_before_the_project_is_imported(start):
    user = pwd.getpwnam("games")
    groups = sorted(set(os.getgrouplist(user.pw_name, OTHER_UID)))
    is_user(start("--uid", user.pw_uid, "--gid", OTHER_UID), user.pw_uid, OTHER_UID, groups)


@pytest.mark.root
def test_the_group_is_that_of_the_user(start):
    user = pwd.getpwnam("games")
    groups = sorted(set(os.getgrouplist(user.pw_name, user.pw_gid)))
    is_user(start("--uid", user.pw_uid), user.pw_uid, user.pw_gid, groups)


@pytest.mark.root
def test_a_user_who_is_not_in_passwd(start, fails, folder):
    refused(fails(folder, *PORT, "--uid", OTHER_UID), f"--uid {OTHER_UID}", "passwd", "add --gid")
    is_user(start("--uid", OTHER_UID, "--gid", 54322), OTHER_UID, 54322, [54322])


@pytest.mark.root
@pytest.mark.needs("setpriv")
@pytest.mark.parametrize("missing", ["setuid", "setgid"])
def test_a_root_who_may_not(fails, folder, missing):
    prefix = ("setpriv", f"--bounding-set=-{missing}", f"--inh-caps=-{missing}")
    result = fails(folder, *PORT, "--uid", OTHER_UID, "--gid", OTHER_UID, prefix=prefix)
    refused(result, f"--uid {OTHER_UID} --gid {OTHER_UID}", "not permitted", "CAP_SETUID")

"""luisito check-settings: each problem is provoked for real, mended as it says, and then gone."""

import json
import os
import pwd
import re
import shutil
from pathlib import Path

import pytest

from tests.harness import processes
from tests.harness.server import PYTHON

SAMPLE_2012 = """\
HOST='0.0.0.0'
PORT=8888
MAX_SERVERS=10
CMD_TPL='/usr/bin/env python manage.py runserver --uid %UID --gid %GID %HOST:%PORT'
ENV={'PATH': '<folder>/bin'}
PROJECT_PATH='<folder>/srv/%HOST'
OUTPUT_LOG_DIR='<folder>/log'
MULTIHOST_CONFIG={'host_header':'Host','sleep':0.2,'wait_up_to':10}
"""

root = pytest.mark.root


def told(found, pattern):
    """The one problem whose line has a match."""
    lines = [
        (problem, f"{problem['where']}: {problem['what']}; {problem['mend']}")
        for problem in found["problems"]
    ]
    matching = [problem for problem, line in lines if re.search(pattern, line)]
    assert len(matching) == 1, (pattern, [line for _, line in lines])
    return matching[0]


def mended(machine, pattern, *options, **how):
    """Finds a problem, does what it says, and finds it gone; returns what is found then."""
    problem = told(machine.check(*options, **how), pattern)
    machine.mend(problem)
    after = machine.check(*options, **how)
    assert problem not in after["problems"], problem
    return after


def all_is_well(found):
    assert found["problems"] == []
    assert found["summary"] == "no problem found"


# ------------------------------------------------------------------------------- what it says


def test_settings_without_a_problem(good):
    done = good.luisito("check-settings", good.path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[-1] == "no problem found"
    found = good.check()
    all_is_well(found)
    assert found["host"] == "a.example (the first one with a folder)"
    assert found["folder"] == str(good.site)
    assert found["command"] == [PYTHON, "-m", "http.server", "20000"]
    assert found["way_in"].startswith("%PORT: a port of 20000 to 29999")
    assert found["environment"]["PORT"] == "20000"
    assert found["program"][0] == PYTHON
    assert found["access"] == "tried as each user"
    assert any(line.startswith("command ") and "http.server 20000" in line for line in lines)


@pytest.mark.parametrize(
    ("path", "where"),
    [("<folder>/sv/%HOST", "/sv, which is not there"), ("<folder>/empty/www.%HOST", "/empty"),
     ("<folder>/srv/%HOST/htdocs", "/srv")],
)  # fmt: skip
def test_a_project_path_where_no_host_has_a_folder(good, path, where):
    good.make("empty")
    good.write(**{**good.names, "PROJECT_PATH": path})
    found = good.check()
    (problem,) = found["problems"]
    assert problem == {
        "where": "PROJECT_PATH",
        "what": f"no host has a folder in {good.folder}{where}",
        "mend": {"do": f"is PROJECT_PATH right? If it is, make {found['folder']} for a first site"},
    }
    # who names a host is told how to make its folder
    told(good.check("--host", "b.example"), "b.example.* is not there, so that its host is no site")


@root
def test_who_is_who(good):
    found = good.check()
    assert found["started_by"] == "root (uid 0, gid 0)"
    own = next(
        name for name in ("luisito", "nobody") if name in {u.pw_name for u in pwd.getpwall()}
    )
    assert found["network_user"].startswith(f"{own} (")
    assert found["user"].startswith(f"{good.owner} (uid {good.user.pw_uid}, ")
    assert found["user"].endswith(": the owner of PROJECT_PATH")
    assert good.check("--user", "daemon")["network_user"].startswith("daemon (")
    good.write(**good.names, RUN_AS="daemon")
    assert good.check()["user"].endswith(": RUN_AS")


def test_the_present_user(good):
    name = good.owner or pwd.getpwuid(os.getuid()).pw_name
    for place in ("log", "run"):
        if good.owner:
            shutil.chown(good.folder / place, good.owner)
    found = good.check(user=good.owner)
    all_is_well(found)
    assert found["user"].startswith(f"{name} (")
    assert found["user"].endswith(": who starts Luisito")


@pytest.mark.parametrize(
    ("command", "way_in", "variable"),
    [("serve %SOCKET", "%SOCKET: ", None), ("serve %FD", "%FD: a unix socket", None),
     ("serve", "%FD: ", "LISTEN_FDS")],
)  # fmt: skip
def test_the_ways_in(good, command, way_in, variable):
    good.make("bin/serve", "#!/bin/sh\n")
    good.write(**{**good.names, "CMD_TPL": command, "ENV": {"PATH": "<folder>/bin"}})
    found = good.check()
    assert found["way_in"].startswith(way_in)
    assert variable is None or found["environment"][variable] == "1"
    all_is_well(found)


@pytest.mark.parametrize(
    ("setting", "value", "meant"),
    [("CMD_TPL", "serve --bind [::]:%PROT", "PORT"), ("CMD_TPL", ["serve", "%SOCKT"], "SOCKET"),
     ("CMD_TPL", "serve %PORT %HOTS %%HOTS %(message)s %Y%MD", "HOST"),
     ("ENV", {"PATH": "<folder>/bin", "TO": "%PROT"}, "PORT")],
)  # fmt: skip
def test_a_word_that_is_misspelt(good, setting, value, meant):
    good.make("bin/serve", "#!/bin/sh\n")
    names = {**good.names, "CMD_TPL": "serve", "ENV": {"PATH": "<folder>/bin"}}
    good.write(**{**names, setting: value})
    (problem,) = good.check()["problems"]
    assert problem["where"] == ("CMD_TPL" if setting == "CMD_TPL" else "ENV['TO']")
    (word,) = re.findall("^%([A-Z]+) is passed on as it is$", problem["what"])
    assert problem["mend"] == {"do": f"did you mean %{meant}? If not, write %%{word}"}
    for instead in (meant, f"%{word}"):
        text = good.path.read_text()
        good.path.write_text(text.replace(f"%%{word}", "").replace(f"%{word}", f"%{instead}"))
        all_is_well(good.check())
        good.path.write_text(text)


def test_a_command_that_does_not_say_where(good):
    words = " (as no %PORT, %SOCKET or %FD is used)"
    assert not good.check()["way_in"].endswith(words)
    good.write(**{**good.names, "CMD_TPL": "sleep 1"})
    assert good.check()["way_in"] == f"%FD: a unix socket that listens, as descriptor 3{words}"
    good.write(**{**good.names, "CMD_TPL": "sleep 1", "ENV": {"TO": "%PORT"}})
    assert not good.check()["way_in"].endswith(words)


def test_the_sample_host(good):
    def host(**names):
        good.write(**{**good.names, **names})
        return good.check()["host"].split()[0]

    good.make("srv/c.example", owner=good.owner)
    good.make("srv/Not-a-host!")
    assert host() == "a.example"
    assert host(ALLOWED_HOSTS=["c.example", "a.example"]) == "c.example"
    assert host(ALLOWED_HOSTS=["*", "!a.example"]) == "c.example"
    assert host(ALLOWED_HOSTS=["*.site.example"]) == "a.site.example"
    assert host(PROJECT_PATH=None) == "a.localhost"
    good.make("srv/www.d.example/htdocs", owner=good.owner)
    assert host(PROJECT_PATH="<folder>/srv/www.%HOST/htdocs") == "d.example"
    assert good.check("--host", "C.example:80")["host"] == "c.example (as given)"


def test_exit_statuses(machine):
    def status(*argv):
        done = machine.luisito("check-settings", *argv)
        return done.returncode, done.stderr.strip()

    machine.write(MAX_SERVERS="10", CMD_TPL="true")
    code, said = status(machine.path)
    assert code == 2
    assert said.startswith(f'luisito: {machine.path}:1: MAX_SERVERS = "10": must be')
    assert status("/no/such/file")[0] == 2
    machine.write(CMD_TPL="true", LISTEN="nonsense:1")
    assert status(machine.path)[0] == 2
    machine.write(CMD_TPL="true")
    assert status(machine.path, "--host", "a b")[0] == 2
    assert status(machine.path, "--user", "no-such")[0] == 2
    assert status()[0] == 2
    helped = machine.luisito("check-settings", "--help")
    assert helped.returncode == 0
    assert re.search(r"exit status:\n  0  .*\n  1  .*\n  2  ", helped.stdout)


def test_nothing_live_is_touched(serve, machine):
    """Beside a Luisito that runs by the same settings, which goes on as if nothing had been."""
    server = serve({"OUTPUT_LOG_DIR": "<folder>"})
    server.warm("a.localhost")
    # Luisito's own doing, after the first start
    for late in (server.runtime / "2/notify", server.folder / "a.localhost.log"):
        processes.until(late.exists, 10, f"{late}")
    before = seen(server.folder)
    done = machine.luisito("check-settings", server.folder / "settings.py", "--json")
    assert done.returncode in (0, 1), done.stderr
    wrong = [problem["where"] for problem in json.loads(done.stdout)["problems"]]
    assert wrong in ([], ["RUN_AS"])  # where there is no user `luisito`
    assert seen(server.folder) == before
    assert server.request().status == 200
    assert server.log().count("started as pid") == 1


def seen(folder):
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        changed = 0 if path.suffix == ".log" else status.st_mtime_ns
        found[str(path)] = (status.st_mode, status.st_uid, changed)
    return found


# ------------------------------------------------------------------------------- the site


@root
def test_the_sample_of_2012(machine):
    machine.path.write_text(SAMPLE_2012.replace("<folder>", str(machine.folder)))
    machine.make("bin")
    (machine.folder / "bin/python3").symlink_to(PYTHON)
    after = mended(machine, "is not there, so that its host is no site", "--host", "a.example")
    assert "site-a-example" in after["user"]
    problem = told(after, "CMD_TPL: no such program: 'python'")
    assert problem["mend"]["write"].startswith("CMD_TPL = ['/usr/bin/env', 'python3', 'manage.py'")
    machine.mend(problem)
    found = machine.check()
    all_is_well(found)
    assert found["host"].startswith("a.example")
    assert found["program"] == ["/usr/bin/env", f"{machine.folder}/bin/python3"]
    uid, gid = re.search(r"uid (\d+), gid (\d+)", found["user"]).groups()
    assert found["command"][-5:] == ["--uid", uid, "--gid", gid, "a.example:20000"]


@root
@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        ("chown root:root srv/a.example", "has the group root|has uid 0"),
        ("chown root srv/a.example", "'root' has uid 0"),
        ("chown root:root srv/a.example; touch srv/a.example/x; chown {owner} srv/a.example/x",
         "has the group root"),
        ("chgrp root srv/a.example", "has the group root"),
        ("chown 54321:54321 srv/a.example", "user 54321 is not in passwd"),
    ],
)  # fmt: skip
def test_a_folder_whose_owner_is_refused(good, change, pattern):
    good.run("sh", "-ec", change.format(owner=good.owner))
    found = good.check()
    assert "user" not in found
    after = mended(good, pattern)
    while after["problems"]:  # the group comes after the owner
        after = mended(good, re.escape(after["problems"][0]["what"]))
    all_is_well(after)
    if "touch" in change:
        assert after["user"].startswith(good.owner)


@root
def test_users_that_are_refused(good):
    good.write(**good.names, MIN_UID=50000)
    all_is_well(mended(good, "below MIN_UID = 50000"))
    good.write(**good.names, RUN_AS="luisito-tenant")
    problem = told(good.check(), "'luisito-tenant' is not in passwd")
    assert problem["where"] == "RUN_AS"
    good.mend(problem)
    assert "luisito-tenant" in good.check()["user"]
    good.run("sh", "-ec", "useradd luisito-other; usermod -aG root luisito-other")
    good.write(**good.names, RUN_AS="luisito-other")
    mended(good, "'luisito-other' is in the group root")


@root
def test_only_root_can_change_users(good):
    good.write(**good.names, RUN_AS="daemon")
    told(good.check(user=good.owner), "only root can change users")


@root
def test_one_user_for_luisito_and_its_servers(good):
    good.write(**good.names, RUN_AS="nobody")
    if good.check()["network_user"].startswith("nobody"):
        after = mended(good, "RUN_AS: nobody would be Luisito's own user")
        assert after["network_user"].startswith("luisito (")
    else:
        told(good.check("--user", "nobody"), "RUN_AS: nobody would be Luisito's own user")


@root
@pytest.mark.parametrize("mode", [0o700, 0o750, 0o000])
def test_folders_on_the_way(good, mode):
    (good.folder / "srv").chmod(mode)
    problem = told(good.check(), f"srv: user {good.owner} .* may not enter it")
    assert problem["mend"]["run"] == f"chmod o+x {good.folder}/srv"
    all_is_well(mended(good, "may not enter it"))


@root
def test_the_folder_itself(good):
    good.site.chmod(0o077)
    assert told(good.check(), "may not")["mend"]["run"] == f"chmod u+rx {good.site}"
    all_is_well(mended(good, "may not read and enter it"))


def test_a_link_of_the_sites(good):
    shutil.rmtree(good.site)
    target = good.make("elsewhere", owner=good.owner)
    good.site.symlink_to(target)
    assert "symbolic link" in told(good.check("--host", "a.example"), "PROJECT_PATH")["what"]


@root
@pytest.mark.needs("setfacl")
def test_access_control_lists_count(good):
    good.run("setfacl", "-m", f"u:{good.owner}:---", good.folder / "srv")
    assert good.folder.joinpath("srv").stat().st_mode & 0o007 == 0o005
    problem = told(good.check(), "srv: .*may not enter it")
    assert problem["mend"]["run"] == f"setfacl -m u:{good.owner}:x {good.folder}/srv"
    all_is_well(mended(good, "srv: .*may not enter it"))


@root
def test_who_is_not_root_goes_by_mode_bits(good):
    (good.folder / "srv").chmod(0o711)
    good.site.chmod(0o700)
    options = ("--host", "a.example", "--user", "nobody")
    found = good.check(*options, user="daemon")
    assert found["access"].startswith("told by mode bits")
    assert found["started_by"].startswith("root (")
    all_is_well(found)
    srv = good.folder / "srv"
    os.chown(srv, 0, good.user.pw_gid)
    srv.chmod(0o705)
    problem = told(good.check(*options, user="daemon"), "srv: .*may not enter it")
    assert problem["mend"]["run"] == f"chmod g+x {srv}"
    all_is_well(mended(good, "srv: .*may not enter it", *options, user="daemon"))
    srv.chmod(0o710)
    told(good.check(*options, user="daemon"), "you may not look at it; .*run this as root")


def test_hosts_that_are_kept_out(good):
    good.write(**good.names, ALLOWED_HOSTS=["*", "!a.example"])
    all_is_well(mended(good, "'!a.example' keeps a.example out", "--host", "a.example"))
    good.write(**good.names, ALLOWED_HOSTS=["b.example"])
    all_is_well(mended(good, "a.example fits none", "--host", "a.example"))
    good.write(**good.names)
    with good.path.open("a") as settings:
        settings.write("def ALLOWED_HOSTS(host):\n    return 1 / 0\n")
    told(good.check(), "its function raised ZeroDivisionError")


# ------------------------------------------------------------------------------- the program


def with_command(machine, command, **more):
    machine.write(**{**machine.names, "CMD_TPL": command, **more})


def test_no_such_program(good):
    with_command(good, ["gunicornn", "%PORT"], ENV={"PATH": "<folder>/bin"})
    problem = told(good.check(), "no such program: 'gunicornn'")
    assert f"PATH={good.folder}/bin" in problem["what"]
    with_command(good, ["/no/such/gunicorn", "%PORT"])
    told(good.check(), "no such program: '/no/such/gunicorn'$|install it")


def test_no_such_program_of_a_hook(good):
    webhook = "https://hooks.example/"
    good.write(**good.names, HOOKS={"ready": "none-such-hook %HOST", "exit": webhook})
    problem = told(good.check(), "no such program: 'none-such-hook'")
    assert problem["where"] == 'HOOKS["ready"]'
    good.write(**good.names, HOOKS={"ready": ["sh", "-c", "true"], "exit": webhook})
    all_is_well(good.check())


def test_a_virtual_environment_is_found(good):
    good.make("srv/a.example/venv/bin/serve", "#!/bin/sh\n", owner=good.owner)
    with_command(good, ["serve", "%PORT"])
    after = mended(good, "no such program: 'serve'")
    all_is_well(after)
    assert after["program"][0] == f"{good.site}/venv/bin/serve"
    assert after["command"] == [f"{good.site}/venv/bin/serve", "20000"]


def test_a_program_that_is_not_executable(good):
    good.make("bin/serve", "#!/bin/sh\n", mode=0o644)
    with_command(good, ["<folder>/bin/serve", "%PORT"])
    after = mended(good, "bin/serve: .*may not execute it")
    all_is_well(after)


def test_the_first_that_can_be_executed_counts(good):
    good.make("one/serve", "#!/bin/sh\n", mode=0o644)
    good.make("two/serve", "#!/bin/sh\n")
    with_command(good, ["serve", "%PORT"], ENV={"PATH": "<folder>/one:<folder>/two"})
    found = good.check()
    all_is_well(found)
    assert found["program"][0] == f"{good.folder}/two/serve"


@root
@pytest.mark.parametrize("mode", [0o711, 0o700])
@pytest.mark.needs("setfacl")
def test_a_script_must_be_read_too(good, mode):
    script = good.make("bin/serve", "#!/bin/sh\n", mode=mode)
    with_command(good, [str(script), "%PORT"])
    problem = told(good.check(), "bin/serve: .*may not read (and execute )?it")
    assert problem["mend"]["run"] == f"setfacl -m u:{good.owner}:rx {script}"
    all_is_well(mended(good, "bin/serve: .*may not read (and execute )?it"))
    good.run(script, user=good.owner)


@root
@pytest.mark.needs("setfacl")
def test_an_interpreter_in_a_home(good):
    """As of a virtual environment whose Python is in /root."""
    home = good.make("home", mode=0o700)
    python = good.make("home/python", "#!/bin/sh\n", mode=0o755)
    (good.folder / "venv").mkdir()
    (good.folder / "venv/python").symlink_to(python)
    good.make("bin/serve", f"#!{good.folder}/venv/python\n")
    with_command(good, ["serve", "%PORT"], ENV={"PATH": "<folder>/bin"})
    problem = told(good.check(), "home: .*may not enter it")
    assert problem["mend"]["run"] == f"chmod o+x {home}"
    after = mended(good, "may not enter it")
    all_is_well(after)
    assert after["program"] == [
        f"{good.folder}/bin/serve", f"{good.folder}/venv/python", "/bin/sh"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("echo\n", "has no first line"),
        ("#!/bin/sh\r\necho\r\n", "lines that end in CR LF"),
    ],
)
def test_a_script_that_cannot_be_executed(good, text, pattern):
    script = good.make("bin/serve")
    script.rmdir()
    script.write_bytes(text.encode())
    script.chmod(0o755)
    with_command(good, [str(script), "%PORT"])
    after = mended(good, pattern)
    all_is_well(after)
    assert after["program"][:2] == [str(script), "/bin/sh"]
    good.run(script)


@pytest.mark.parametrize(
    ("line", "name"),
    [("/no/such/python", "/no/such/python"), ("/usr/bin/env no-such-python", "no-such-python"),
     ("/usr/bin/env python3 -u", "python3 -u")],
)  # fmt: skip
def test_an_interpreter_that_is_not_there(good, line, name):
    good.make("bin/serve", f"#!{line}\n")
    with_command(good, ["<folder>/bin/serve", "%PORT"])
    told(good.check(), f"bin/serve: its first line names the interpreter '{name}', which is not")


@root
def test_a_mount_without_exec(good):
    good.make("mounted")
    good.run("mount", "-t", "tmpfs", "-o", "noexec,mode=755", "tmpfs", good.folder / "mounted")
    script = good.folder / "mounted/serve"
    good.run("sh", "-ec", f"printf '#!/bin/sh\\n' >{script}; chmod 755 {script}")
    with_command(good, [str(script), "%PORT"])
    problem = told(good.check(), "mounted/serve: .*may not .*execute it")
    assert problem["mend"]["run"] == f"mount -o remount,exec {good.folder}/mounted"
    all_is_well(mended(good, "mounted/serve"))


@pytest.fixture
def rbenv(good):
    """A real rbenv, with a Ruby of one version that is a script."""
    real = good.make("rbenv/versions/9.9/bin/ruby", "#!/bin/sh\n")
    environ = {"RBENV_ROOT": f"{good.folder}/rbenv", "PATH": os.environ["PATH"]}
    good.run("rbenv", "global", "9.9", environ=environ)
    good.run("rbenv", "rehash", environ=environ)
    good.shims = f"{good.folder}/rbenv/shims"
    good.real = str(real)
    return good


@pytest.mark.needs("rbenv")
def test_a_shim(rbenv):
    path = {"PATH": f"{rbenv.shims}:/usr/bin:/bin"}
    with_command(rbenv, "ruby app.rb '%PORT'", ENV=path)
    problem = told(rbenv.check(), "shims/ruby: is a shim: rbenv looks for the program at each")
    assert problem["mend"]["write"] == f"CMD_TPL = {[rbenv.real, 'app.rb', '%PORT']!r}"
    after = mended(rbenv, "is a shim")
    all_is_well(after)
    assert after["program"][0] == rbenv.real


@pytest.mark.needs("rbenv")
@pytest.mark.parametrize("line", ["/usr/bin/env ruby", "{}/ruby -w"])
def test_a_shim_that_interprets(rbenv, line):
    rbenv.make("bin/serve", f"#!{line.format(rbenv.shims)}\n")
    path = {"PATH": f"{rbenv.folder}/bin:{rbenv.shims}:/usr/bin:/bin"}
    with_command(rbenv, "/usr/bin/env serve %PORT", ENV=path)
    after = mended(rbenv, "is a shim")
    all_is_well(after)
    between = ["-w"] if "-w" in line else []
    assert after["command"] == [
        "/usr/bin/env", rbenv.real, *between, f"{rbenv.folder}/bin/serve", "20000"
    ]  # fmt: skip


@pytest.mark.needs("rbenv")
def test_a_shim_of_what_is_not_installed(rbenv):
    shutil.rmtree(f"{rbenv.folder}/rbenv/versions")
    with_command(rbenv, "ruby %PORT", ENV={"PATH": f"{rbenv.shims}:/usr/bin:/bin"})
    assert "rbenv which ruby" in told(rbenv.check(), "is a shim")["mend"]["do"]


# What a shim calls in the place of a manager; "{}" stands for the folder.
MANAGER = """#!/bin/sh
cat /proc/$$/stat >{0}/ran/it
{1}
echo {0}/real
"""


def with_manager(good, does="", owner=None):
    """Settings whose program is a shim of a manager of our own."""
    good.make("ran").chmod(0o777)
    good.make("real", "#!/bin/sh\n")
    good.make("bin/rbenv", MANAGER.format(good.folder, does), owner=owner)
    good.make("shims/ruby", f'#!/bin/sh\nexec "{good.folder}/bin/rbenv" exec "ruby" "$@"\n')
    with_command(good, ["<folder>/shims/ruby", "%PORT"])


def test_a_manager_is_asked_in_a_session_of_its_own(good):
    """It could type into a terminal that it has in common with root."""
    with_manager(good)
    told(good.check(), "is a shim: .* and finds .*/real")
    pid, _comm, _state, _parent, _group, session, *_ = (good.folder / "ran/it").read_text().split()
    assert session == pid


@root
def test_a_manager_of_a_tenant_is_not_run(good):
    with_manager(good, owner=good.owner)
    assert "rbenv which ruby" in told(good.check(), "is a shim")["mend"]["do"]
    assert not (good.folder / "ran/it").exists()


def test_what_a_manager_starts_ends_with_it(good):
    with_manager(good, does=f"sleep 1000 >&- & echo $! >{good.folder}/ran/child")
    told(good.check(), "is a shim: .* and finds .*/real")
    child = (good.folder / "ran/child").read_text().strip()
    processes.until(lambda: not alive(child), 5, "the end of the manager's child")


def test_a_manager_that_says_too_much(good):
    with_manager(good, does="yes")
    assert "rbenv which ruby" in told(good.check(), "is a shim")["mend"]["do"]


def alive(pid):
    """Whether a process runs: it has gone, or waits to be reaped."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


# ------------------------------------------------------------------------------- Luisito's files


@pytest.mark.parametrize("mode", [0o666, 0o646, pytest.param(0o664, marks=root)])
def test_settings_that_others_may_write(good, mode):
    good.path.chmod(mode)
    if good.owner:  # in root's own group, or its user's, the second digit is nobody else's
        os.chown(good.path, 0, pwd.getpwnam("daemon").pw_gid)
    problem = told(good.check(), "settings.py: others than its owner may write it")
    assert problem["mend"]["run"].startswith("chmod ")
    all_is_well(mended(good, "others than its owner"))


def test_a_private_group_is_no_others(good):
    good.path.chmod(0o664)
    all_is_well(good.check())


@root
def test_settings_of_somebody_else(good):
    shutil.chown(good.path, "daemon")
    all_is_well(mended(good, "settings.py: it belongs to daemon, and .* run as root"))


@root
def test_settings_that_another_may_have_written_are_not_run_as_root(good):
    with good.path.open("a") as settings:
        settings.write(f"open('{good.folder}/it-was-run', 'w')\n")
    good.folder.chmod(0o1777)
    told(good.check(), "anybody may put files beside the settings there")
    assert not (good.folder / "it-was-run").exists()
    good.folder.chmod(0o755)
    all_is_well(good.check())
    assert (good.folder / "it-was-run").exists()


@root
def test_settings_in_a_folder_of_somebody_else(good):
    shutil.chown(good.folder, "daemon")
    told(good.check(), "the folder of the settings belongs to daemon")
    shutil.chown(good.folder, "root")
    good.folder.chmod(0o777)
    all_is_well(mended(good, "others than its owner may write it"))


@root
def test_settings_that_cannot_be_read(good):
    good.path.chmod(0o600)
    done = good.luisito("check-settings", good.path, user="daemon")
    assert done.returncode == 2
    assert re.search(r"settings.py: user daemon .* may not read it; run setfacl -m u:daemon:r ",
                     done.stderr)  # fmt: skip


def test_folders_that_luisito_makes(good):
    (good.folder / "log").rmdir()
    (good.folder / "run").rmdir()
    good.write(
        **{**good.names, "ACCESS_LOG": None, "LISTEN": "tcp:8080", "STATE_DIR": "<folder>/state"}
    )
    all_is_well(good.check())


@root
def test_folders_that_luisito_cannot_make(good):
    good.write(
        CMD_TPL="true", OUTPUT_LOG_DIR="<folder>/log/sites", LISTEN="unix:<folder>/deep/http"
    )
    how = {"user": good.owner}
    found = good.check(**how)
    assert {problem["where"] for problem in found["problems"]} == {
        f"{good.folder}/log/sites", f"{good.folder}/deep"
    }  # fmt: skip
    for problem in found["problems"]:
        good.mend(problem)
    all_is_well(good.check(**how))


def test_folders_of_other_files(good):
    good.write(**{**good.names, "ACCESS_LOG": "<folder>/logs/a", "LISTEN": "unix:<folder>/x/http",
                  "RUNTIME_DIR": "<folder>/y/run", "STATE_DIR": "<folder>/z/state"})  # fmt: skip
    found = good.check()
    missing = [f"{good.folder}/{name}" for name in ("logs", "z", "y", "x")]
    assert [problem["where"] for problem in found["problems"]] == missing
    for problem in found["problems"]:
        good.mend(problem)
    all_is_well(good.check())


@root
def test_a_state_dir_that_is_not_luisitos(good):
    good.make("state")
    good.write(**good.names, STATE_DIR="<folder>/state")
    all_is_well(mended(good, "state: STATE_DIR must belong to"))
    (good.folder / "state").chmod(0o770)
    all_is_well(mended(good, "state: STATE_DIR must belong to"))
    (good.folder / "state").rmdir()
    (good.folder / "state").touch()
    all_is_well(mended(good, "STATE_DIR needs a folder"))


@root
def test_a_function_that_says_who_runs_servers(good):
    def run_as(body):
        good.write(**good.names)
        with good.path.open("a") as settings:
            settings.write(f"def RUN_AS(host):\n    {body}\n")

    run_as("return 'daemon' if host == 'a.example' else None")
    found = good.check()
    all_is_well(found)
    assert found["user"].startswith("daemon (")
    assert found["user"].endswith(": the function RUN_AS")
    run_as("return None")
    assert good.check()["user"].startswith(f"{good.owner} (")
    run_as("return 1 / 0")
    told(good.check(), r"RUN_AS: RUN_AS\('a.example'\) has raised .*ZeroDivisionError")
    run_as("return 'luisito-nobody-knows'")
    told(good.check(), "RUN_AS: user 'luisito-nobody-knows' is not in passwd")


def test_what_is_no_folder(good):
    for name in ("log", "run"):
        (good.folder / name).rmdir()
        (good.folder / name).touch()
    found = good.check()
    assert len(found["problems"]) >= 2
    for _ in range(4):
        if found["problems"]:
            good.mend(found["problems"][0])
            found = good.check()
    all_is_well(found)


@root
def test_logs_that_an_ordinary_user_cannot_write(good):
    good.run("chown", good.owner, good.folder / "run")
    how = {"user": good.owner}
    problem = told(good.check(**how), "log: .*may not write it")
    assert problem["mend"]["run"] == f"setfacl -m u:{good.owner}:rwx {good.folder}/log"
    all_is_well(mended(good, "log: .*may not write", **how))
    (good.folder / "log/access.log").touch(0o644)
    all_is_well(mended(good, "access.log: .*may not write it", **how))


def test_an_access_log_that_is_none(good):
    (good.folder / "log/access.log").symlink_to("elsewhere")
    all_is_well(mended(good, "ACCESS_LOG must be a plain file"))


@root
@pytest.mark.parametrize("change", ["chown daemon run", "chmod 777 run"])
def test_a_runtime_dir_that_is_not_safe(good, change):
    good.run("sh", "-ec", change)
    all_is_well(mended(good, "RUNTIME_DIR must belong to root"))


@root
@pytest.mark.parametrize("mode", [0o700, 0o2750])
def test_a_runtime_dir_for_some_only(good, mode):
    """Even if this site's server may pass through it."""
    good.run("chgrp", good.user.pw_gid, good.folder / "run")
    (good.folder / "run").chmod(mode)
    all_is_well(mended(good, "run: RUNTIME_DIR must let the users of all servers pass through"))


@root
def test_the_default_runtime_dir_is_looked_at(good):
    name, there = good.owner, good.make("xdg", owner=good.owner)
    how = {"user": name, "environ": {"XDG_RUNTIME_DIR": str(there)}}
    for folder in ("log", "run"):
        shutil.chown(good.folder / folder, name)
    good.write(**{**good.names, "RUNTIME_DIR": None})
    all_is_well(good.check(**how))
    good.make("xdg/luisito", owner=name).chmod(0o777)
    all_is_well(mended(good, f"luisito: RUNTIME_DIR must belong to {name}", **how))


@root
def test_a_runtime_dir_that_cannot_be_passed_through(good):
    good.make("deep/run", mode=0o711)
    (good.folder / "deep").chmod(0o700)
    good.write(**{**good.names, "RUNTIME_DIR": "<folder>/deep/run"})
    found = good.check()
    users = {problem["what"].split()[1] for problem in found["problems"]}
    assert users == {good.owner, good.check()["network_user"].split()[0]}
    good.mend(found["problems"][0])
    all_is_well(good.check())


def test_a_name_does_nothing_to_a_terminal(good):
    good.make("bin/ser\x1b[2Jve", "echo\n")
    with_command(good, ["<folder>/bin/ser\x1b[2Jve", "%PORT"])
    done = good.luisito("check-settings", good.path)
    assert "\x1b" not in done.stdout
    assert r"bin/ser\x1b[2Jve: has no first line" in done.stdout


# ------------------------------------------------------------------------------- the machine


@root
def test_a_port_that_needs_root(good):
    limit = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    good.write(**{**good.names, "LISTEN": ["tcp:8080", f"tcp:{limit - 1}:interface=127.0.0.1"]})
    all_is_well(good.check())
    for name in ("log", "run"):
        shutil.chown(good.folder / name, good.owner)
    pattern = f"LISTEN: .*needs root, as all ports below {limit} do"
    after = mended(good, pattern, user=good.owner)
    all_is_well(after)
    assert after["listen"] == f"tcp:8080 tcp:{8000 + limit - 1}:interface=127.0.0.1"
    good.write(**good.names, ADMIN_LISTEN="tcp:81:interface=127.0.0.1")
    pattern = f"ADMIN_LISTEN: .*needs root, as all ports below {limit} do"
    all_is_well(mended(good, pattern, user=good.owner))


def test_ports_that_the_kernel_takes(good):
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    good.write(**good.names, PORT_RANGE=(low, low + 99))
    after = mended(good, "PORT_RANGE: holds ports of outgoing connections")
    all_is_well(after)
    good.write(**{**good.names, "CMD_TPL": [PYTHON, "%FD"]}, PORT_RANGE=(low, high))
    all_is_well(good.check())  # where they are not used


def test_ports_that_are_listened_on(good):
    good.write(**{**good.names, "LISTEN": "tcp:20050"}, PORT_RANGE=(20000, 20099))
    all_is_well(mended(good, "PORT_RANGE: holds port 20050 of LISTEN"))
    admin = {"LISTEN": "tcp:8080", "ADMIN_LISTEN": "tcp:20050:interface=127.0.0.1"}
    good.write(**{**good.names, **admin}, PORT_RANGE=(20000, 20099))
    all_is_well(mended(good, "PORT_RANGE: holds port 20050 of ADMIN_LISTEN"))


def test_a_token_that_everybody_reads(good):
    good.write(**good.names, ADMIN_TOKEN="a-token-of-many-letters")
    os.chmod(good.path, 0o644)
    all_is_well(mended(good, "ADMIN_TOKEN: every user of this machine can read it"))


def test_a_port_twice(good):
    names = {"LISTEN": "tcp:8080", "ADMIN_LISTEN": "tcp:8080:interface=127.0.0.1"}
    good.write(**{**good.names, **names})
    all_is_well(mended(good, "ADMIN_LISTEN: port 8080 is one of LISTEN"))


def test_more_servers_than_open_files(good):
    good.write(**good.names, MAX_SERVERS=500)
    limit = {"limit": 1024}
    after = mended(good, "MAX_SERVERS: its servers need 3166 open files, and .* is 1024", **limit)
    all_is_well(after)
    good.write(**good.names, MAX_SERVERS=500)
    told(good.check(limit=100), "raise that limit to 3166")


def test_more_clients_than_open_files(good):
    good.write(**good.names, MAX_CLIENTS=5000)
    what = "MAX_CLIENTS: so many clients need 20288 open files, and .* is 1024"
    all_is_well(mended(good, what, limit=1024))


def test_an_error_is_one_line_that_no_terminal_obeys(good):
    done = good.luisito("check-settings", "/no\nsuch\x1b]0;title\x07\udcff")
    assert done.returncode == 2
    assert r"/no\nsuch\x1b]0;title\x07\udcff: is not there" in done.stderr
    assert done.stderr.count("\n") == 1


@root
def test_limits_above_those_that_may_be_given(good):
    names = {**good.names, "RLIMITS": {"core": 0, "nofile": (10, 5000)}}
    good.write(**names)
    how = {"user": good.user.pw_name, "limit": 1024}
    problem = told(good.check(**how), r"RLIMITS: 'nofile' is \(10, 5000\), .* no more than 1024")
    assert problem["mend"] == {"write": "RLIMITS = {'core': 0, 'nofile': (10, 1024)}"}
    good.mend(problem)
    assert not [one for one in good.check(**how)["problems"] if one["where"] == "RLIMITS"]
    good.write(**{**names, "RLIMITS": {"nofile": "unlimited"}})
    problem = told(good.check(), r"RLIMITS: 'nofile' is \"unlimited\", and root can give no more")
    good.mend(problem)
    all_is_well(good.check())


@root
def test_limits_that_take_cgroups_where_there_are_none(good):
    good.write(**good.names, MEMORY_MAX=1 << 26, PIDS_MAX=50)
    good.run("sh", "-c", "umount -a -l -t cgroup2; ! grep -w cgroup2 /proc/self/mountinfo")
    found = good.check()
    told(found, "MEMORY_MAX: no cgroup v2 tree is mounted here; .*boot with")
    told(found, "PIDS_MAX: no cgroup v2 tree is mounted here; .*boot with")
    assert "limits" not in found


@pytest.mark.kernel
def test_limits_that_take_cgroups(good):
    good.write(**good.names, MEMORY_MAX=1 << 26, CPU_MAX=0.5, PIDS_MAX=50)
    found = good.check(fork=False)
    assert found["limits"] == "kept by a cgroup for each server in /sys/fs/cgroup"
    all_is_well(found)
    cgroup = Path("/sys/fs/cgroup/luisito.service")
    cgroup.mkdir()
    (cgroup / "cgroup.procs").write_text(str(os.getpid()))
    found = good.check(fork=False)  # in a cgroup that is ours
    assert found["limits"].startswith("not kept where this command runs: systemd has not handed")
    all_is_well(found)
    assert "limits" not in (good.write(**good.names) or good.check(fork=False))

"""SITES_DIR on a disk: what is a site file, whose it is, what is read again, and who was first."""

import json
import os
import shlex
import time

import pytest
from hypothesis import HealthCheck, assume, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from luisito.errors import SettingsError, SiteFileError
from luisito.settings.sites.folder import Folder
from luisito.settings.sites.look import Seen, look
from luisito.settings.sites.tenants import Grant, Tenant
from luisito.settings.sites.trust import Trust
from tests.sites.made import settings

ME = os.geteuid()
ALICE, BOB = 54321, 54322  # uids that nobody has


class Sites:
    """A SITES_DIR, and what is known of it."""

    def __init__(self, path):
        self.path = path
        self.known = {}
        self.settings = settings()
        self.trust = Trust(ME, {})
        self.runs = {}
        path.mkdir(mode=0o755)

    def write(self, **files):
        """Writes files; `_` in their names is a dot."""
        for name, text in files.items():
            path = self.path / f"{name.replace('_', '.')}.toml"
            path.write_text(text)
            self.age(path)
        return path

    def age(self, path):
        """Sees to it that its stamp is old enough to be believed: ctime cannot be set."""
        while time.time_ns() - os.stat(path).st_ctime_ns < 25_000_000:
            time.sleep(0.005)

    def look(self):
        """What was read and is good."""
        found = look(str(self.path), self.known, self.settings, self.trust)
        self.known = {
            name: Seen(*seen) for name, seen in json.loads(json.dumps(found.seen)).items()
        }
        assert all(seen.error.isprintable() for seen in found.seen.values())
        self.runs = json.loads(json.dumps(found.runs))
        assert found.workers.keys() == self.runs.keys()
        return sorted(self.runs)

    def error(self, name):
        """What is wrong with a file, without the name of the folder."""
        return self.known[name.replace("_", ".")].error.replace(f"{self.path}/", "")


@pytest.fixture
def sites(tmp_path):
    return Sites(tmp_path / "sites")


def test_names_of_site_files(sites):
    sites.write(a_example="", b_example="", django_base="")
    for name in (".c.toml", "d.toml~", "e.toml.dpkg-dist", ".f.base.toml", "README", "g.TOML"):
        (sites.path / name).write_text("x")
    assert sites.look() == ["a.example", "b.example"]
    assert list(sites.known) == ["a.example", "b.example"]


def test_what_has_not_changed_is_not_read(sites, monkeypatch):
    read = []
    real = Folder.read
    monkeypatch.setattr(Folder, "read", lambda self, name: read.append(name) or real(self, name))
    sites.write(django_base="idle_timeout = 5", all_base="", a="extends = 'django'", b="", c="x")
    assert sites.look() == ["a", "b"]
    assert read == ["a.toml", "django.base.toml", "b.toml", "c.toml"]
    wrong = sites.error("c")
    read.clear()

    assert sites.look() == []
    assert read == []
    assert sites.error("c") == wrong != ""

    sites.write(b="idle_timeout = 6")
    assert sites.look() == ["b"]
    assert read == ["b.toml"]
    read.clear()

    sites.write(django_base="extends = 'all'")
    assert sites.look() == ["a"]
    assert read == ["a.toml", "django.base.toml", "all.base.toml"]
    read.clear()

    sites.write(all_base="idle_timeout = 7")
    assert sites.look() == ["a"]
    assert sites.known["a"].public["limits"] == {"idle_timeout": 7}
    read.clear()

    (sites.path / "c.toml").unlink()
    assert sites.look() == []
    assert list(sites.known) == ["a", "b"]
    assert read == []


def test_a_stamp_of_this_moment_is_not_believed(sites):
    """Within a tick of the kernel's clock a file may change twice with one stamp."""
    path = sites.write(a="")
    now = time.time_ns() + 10**9
    os.utime(path, ns=(now, now))
    assert sites.look() == ["a"]
    assert sites.look() == ["a"]


def test_a_broken_file_keeps_its_last_good_version(sites):
    sites.write(a="min_alive = 3")
    sites.look()
    sites.write(a="min_alive = -3")
    assert sites.look() == []
    assert sites.known["a"].public["limits"] == {"min_alive": 3}
    assert sites.error("a") == (
        "a.toml:1: min_alive = -3: must be a number of seconds, 0 or more; write min_alive = 0"
    )
    sites.write(a="min_alive = 4")
    assert sites.look() == ["a"]
    assert sites.error("a") == ""


def test_a_base_that_is_missing_may_come(sites):
    sites.write(a='\nextends = "django"')
    assert sites.look() == []
    assert sites.known["a"].public is None
    assert sites.error("a") == (
        'a.toml:2: extends = "django": must name a base, and django.base.toml is not there; '
        "write that file, or remove extends"
    )
    assert sites.look() == []
    sites.write(django_base="")
    assert sites.look() == ["a"]
    (sites.path / "django.base.toml").unlink()
    assert sites.look() == []
    assert sites.error("a").startswith("a.toml:2: extends")


def test_a_broken_base_breaks_all_that_extend_it(sites):
    sites.write(django_base="\nmin_alive = -1", a='extends = "django"', b='extends = "django"')
    assert sites.look() == []
    assert sites.error("a") == sites.error("b")
    assert sites.error("a").startswith("django.base.toml:2: min_alive = -1: ")
    sites.write(loop_base='extends = "loop"', a='extends = "loop"')
    sites.look()
    assert sites.error("a") == (
        'loop.base.toml:1: extends = "loop": must not come back to loop.base.toml; remove extends'
    )


# What is no site file


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda path: path.symlink_to("/etc/passwd"),
            "is a symbolic link; put the file itself there",
        ),
        (lambda path: path.mkdir(), "is no regular file; remove it"),
        (os.mkfifo, "is no regular file; remove it"),
        (
            lambda path: (
                (path.parent / "other").write_text("") or path.hardlink_to(path.parent / "other")
            ),
            (
                "has other names (hard links), by which others may write it; copy it, and put the "
                "copy in its place"
            ),
        ),
        (
            lambda path: path.write_text("#" * 65537),
            "is larger than 65536 bytes; make it smaller, or `extends` a base",
        ),
        (
            lambda path: (path.write_text(""), path.chmod(0o666)),
            "others than its owner may write it; run chmod go-w {path}",
        ),
    ],
)
def test_what_is_no_site_file(sites, make, said):
    path = sites.path / "[::1].toml"
    make(path)
    assert sites.look() == []
    assert sites.known["[::1]"].error == f"{path}: {said.format(path=shlex.quote(str(path)))}"


def test_a_file_that_may_not_be_read(sites):
    sites.write(a="").chmod(0)
    with Folder(str(sites.path), sites.trust) as folder:
        if ME == 0:
            os.seteuid(BOB)
        try:
            with pytest.raises(SiteFileError) as caught:
                folder.read("a.toml")
        finally:
            os.seteuid(ME)
    assert str(caught.value) == (
        f"{sites.path}/a.toml: cannot be read: Permission denied; "
        "let whoever starts Luisito read it"
    )


def test_the_folder(sites):
    sites.path.chmod(0o1777)
    what = f'SITES_DIR = "{sites.path}"'
    with pytest.raises(SettingsError) as caught:
        sites.look()
    assert str(caught.value) == (
        f"{what}: others than its owner may write it; run chmod go-w {sites.path}"
    )
    sites.path.rmdir()
    with pytest.raises(SettingsError) as caught:
        sites.look()
    assert str(caught.value) == (f"{what}: No such file or directory; write the path of a folder")


# Hosts that two files claim


def test_the_first_file_keeps_a_host(sites):
    sites.write(
        a='aliases = ["x.example"]\nhosts = ["*.y.example", "!no.y.example"]\ndefault = true',
        b='redirects = [\n"z.example",\n"x.example"]',
        c='hosts = ["!q.example", "*.y.example"]',
        d='aliases = ["a"]',
        e="default = true",
        f='hosts = ["no.y.example", "*.example"]\naliases = ["www.x.example"]',
        x_example="",
    )
    assert sites.look() == ["a", "f"]
    assert [sites.error(name) for name in ("b", "c", "d", "e", "x_example")] == [
        (
            'b.toml:3: redirects[1] = "x.example": is one of the aliases in a.toml, too; '
            "remove one of them"
        ),
        (
            'c.toml:1: hosts[1] = "*.y.example": is one of the hosts in a.toml, too; '
            "remove one of them"
        ),
        'd.toml:1: aliases[0] = "a": is the name of a.toml, too; remove one of them',
        "e.toml:1: default = true: is set in a.toml, too; remove one of them",
        (
            "x.example.toml: its name is one of the aliases in a.toml, too; remove it there, or "
            "remove this file"
        ),
    ]


def test_a_clash_ends_when_the_other_file_is_mended(sites):
    sites.write(b='aliases = ["x"]')
    assert sites.look() == ["b"]
    sites.write(a='aliases = ["x"]', c='redirects = ["x"]')
    assert sites.look() == ["a"]
    assert sites.error("b").startswith(
        'b.toml:1: aliases[0] = "x": is one of the aliases in a.toml'
    )
    assert sites.error("c").startswith('c.toml:1: redirects[0] = "x": is one of the aliases in a')
    assert sites.known["b"].public["aliases"] == ["x"]  # the last good version
    assert sites.known["c"].public is None
    sites.write(a="")
    assert sites.look() == ["a", "b"]
    assert sites.error("c").startswith('c.toml:1: redirects[0] = "x": is one of the aliases in b')
    (sites.path / "b.toml").unlink()
    assert sites.look() == ["c"]


def test_a_claim_of_a_base_has_no_line(sites):
    sites.write(all_base="default = true", a='extends = "all"', b='extends = "all"')
    assert sites.look() == ["a"]
    assert sites.error("b") == "b.toml: default = true: is set in a.toml, too; remove one of them"


# Whose files


@pytest.fixture
def shared(sites):
    """A folder of root's with tenants."""
    grant = Grant(("*.alice",), {"pids_max": 9})
    sites.trust = Trust(0, {ALICE: Tenant("alice", ALICE, "alice", ALICE, grant)})
    return sites


@pytest.mark.root
def test_a_tenants_file(shared):
    path = shared.write(shop_alice="")
    os.chown(path, ALICE, ALICE)
    assert shared.look() == ["shop.alice"]
    assert shared.known["shop.alice"].public["tenant"] == "alice"
    run = shared.runs["shop.alice"]
    assert (run["user"], run["owner"], run["tenant"]) == (ALICE, ALICE, "alice")
    assert (run["pids_max"], run["fixed"]) == (9, "")


@pytest.mark.root
def test_files_of_nobody_in_particular(shared):
    os.chown(shared.write(shop_alice=""), BOB, BOB)
    assert shared.look() == []
    path = f"{shared.path}/shop.alice.toml"
    assert shared.known["shop.alice"].error == (
        f"{path}: it belongs to uid {BOB}, whom TENANTS does not name; run chown root {path}, or "
        "add that user to TENANTS"
    )
    shared.trust = Trust(ALICE, shared.trust.tenants)  # not root: there are no tenants
    shared.known = {}
    os.chown(shared.path, ALICE, ALICE)
    shared.look()
    assert shared.error("shop_alice") == (
        f"shop.alice.toml: it belongs to uid {BOB}, and Luisito runs as uid {ALICE}; "
        "give it to that user"
    )
    os.chown(shared.path, BOB, BOB)
    with pytest.raises(SettingsError) as caught:
        shared.look()
    assert str(caught.value) == (
        f'SITES_DIR = "{shared.path}": it belongs to uid {BOB}, who could put any file there; '
        f"run chown uid {ALICE} {shared.path}"
    )


@pytest.mark.root
def test_a_tenant_extends_what_it_could_read(shared):
    """What stands in a base is in the environment of the server."""
    base = shared.write(secret_base='env = { KEY = "1" }')
    above = shared.write(all_base='extends = "secret"')
    site = shared.write(shop_alice='extends = "all"')
    os.chown(site, ALICE, ALICE)
    base.chmod(0o600)
    assert shared.look() == []
    assert shared.error("shop_alice") == (
        'all.base.toml:1: extends = "secret": must be a base that everybody may read, and '
        "secret.base.toml is not; run chmod o+r secret.base.toml"
    )
    base.write_text('env = "secret"')  # what is wrong with it is no tenant's to see, too
    shared.age(base)
    shared.look()
    assert "must be a base that everybody may read" in shared.error("shop_alice")
    shared.write(secret_base='env = { KEY = "1" }').chmod(0o644)
    shared.age(base)
    assert shared.look() == ["shop.alice"]
    os.chown(base, ALICE, ALICE)
    shared.age(base)
    assert shared.look() == []
    assert shared.error("shop_alice") == (
        f'all.base.toml:1: extends = "secret": must not be a base of uid {ALICE}\'s; '
        "run chown root secret.base.toml"
    )
    os.chown(above, ALICE, ALICE)
    shared.age(above)
    assert shared.look() == ["shop.alice"]


@pytest.mark.root
def test_the_folder_of_a_site_and_who_wrote_it(shared):
    """Symlinks are followed in what the operator wrote."""
    shared.settings = settings(PROJECT_PATH="/srv/www/%HOST")
    shared.write(
        srv_base='folder = "/home/%HOST/app"', a_alice="", b_alice='folder = "/home/alice/x"',
        c_alice='extends = "srv"', d="", e='folder = "/data/%HOST"', f='extends = "srv"',
    )  # fmt: skip
    for name in "abc":
        os.chown(shared.path / f"{name}.alice.toml", ALICE, ALICE)
    shared.look()
    assert {name: (run["folder"], run["fixed"]) for name, run in shared.runs.items()} == {
        "a.alice": ("/srv/www/a.alice", "/srv/www/"),
        "b.alice": ("/home/alice/x", "/"),
        "c.alice": ("/home/c.alice/app", "/home/"),
        "d": ("/srv/www/d", "/srv/www/"),
        "e": ("/data/e", "/data/e/"),
        "f": ("/home/f/app", "/home/f/app/"),
    }


NAMES = st.sampled_from(["a", "b", "c", "x.base", "y.base", "-"])
TEXTS = st.sampled_from(
    [
        "",
        'extends = "x"',
        'extends = "y"',
        'aliases = ["b"]',
        "default = true",
        "x",
        "min_alive = 3",
    ]
)


@given(st.lists(st.dictionaries(NAMES, st.none() | TEXTS), min_size=1, max_size=4))
@hypothesis(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50
)
def test_looking_twice_is_looking_once(sites, steps):
    """What is known after many changes is what a first look at the end would find."""
    for path in sites.path.iterdir():
        path.unlink()
    sites.known = {}
    for step in steps:
        for name, text in step.items():
            path = sites.path / f"{name}.toml"
            if text is None:
                path.unlink(missing_ok=True)
            else:
                path.write_text(text)
        sites.look()
    known, sites.known = sites.known, {}
    # A broken file whose last good version goes on keeps what that claims.
    assume(not any(seen.error and seen.public for seen in known.values()))
    sites.look()
    assert {name: seen.error for name, seen in known.items()} == {
        name: seen.error for name, seen in sites.known.items()
    }
    for name, seen in sites.known.items():
        if not seen.error:
            assert seen.public == known[name].public

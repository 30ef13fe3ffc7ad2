"""The recipes of docs, read: their settings, files and commands, and sites made from them."""

import re
import shutil
import subprocess
import sys

from tests.harness import processes
from tests.harness.server import ROOT, ordinary_user

PAGES = [ROOT / "docs" / "recipes.md", *sorted((ROOT / "docs" / "howto").glob("*.md"))]
HOSTS = ("a.localhost", "b.localhost")
PATIENCE = {"START_TIMEOUT": 60, "STOP_TIMEOUT": 10, "QUEUE_TIMEOUT": 45}  # the defaults
# Where the document has Luisito's helper: a copy that shows that it needs nothing else of ours.
INSTALLED = "/opt/luisito/lib/python3.11/site-packages"


class Recipe:
    """A section of the document.

    Attributes:
        name: its heading.
        settings: what its blocks of `settings.py` set.
        files: {path: (text, whether it is added to what is there)}.
        commands: the lines of its shell blocks.
    """

    _block = re.compile(
        r"(?:^`([^`\n]+)`(, at its end)?:\n\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL
    )

    def __init__(self, name, text):
        self.name, self.settings, self.files, self.commands = name, {}, {}, []
        for path, added, language, code in self._block.findall(text):
            if path == "settings.py":
                exec(code, {}, self.settings)
            elif language == "sh":
                self.commands += code.splitlines()
            else:
                assert path, f"{name}: which file is this?\n{code}"
                self.files[path] = (code, bool(added))

    def make_site(self, folder):
        """Makes a site as the document says, of the user who runs it."""
        folder.mkdir(parents=True)
        (folder / "venv").symlink_to(sys.prefix)
        for command in self.commands:
            subprocess.run(["sh", "-ec", command], cwd=folder, check=True)
        for name, (code, added) in self.files.items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text((path.read_text() if added else "") + code)
        if self.name == "A static binary":
            source = ROOT / "tests" / "apps" / "static.c"
            build = ["gcc", "-static", "-D_GNU_SOURCE", "-o", folder / "server", source]
            subprocess.run(build, check=True)


def read_recipes():
    texts = [page.read_text() for page in PAGES]
    shared = Recipe("", re.split(r"^## ", texts[0], flags=re.MULTILINE)[0]).settings
    found = {}
    for text in texts:
        for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
            if "CMD_TPL =" in section:  # else it is no recipe
                name, _, rest = section.partition("\n")
                found[name] = recipe = Recipe(name, rest)
                recipe.settings = {**shared, **recipe.settings}
    return found


RECIPES = read_recipes()


def cook(serve, recipe, *, ordinary=False, **more):
    """Starts Luisito with a recipe's settings and two sites, of which one may be awake.

    Args:
        serve: the fixture.
        recipe: whose sites they are.
        ordinary: as of `Server`.
        more: other settings.
    """
    settings = {
        **recipe.settings,
        **PATIENCE,
        "MAX_SERVERS": 1,
        "OUTPUT_LOG_DIR": "<folder>/output",
        **more,
    }
    assert settings["PROJECT_PATH"] == "/srv/%HOST"
    settings["PROJECT_PATH"] = "<folder>/srv/%HOST"
    command = settings["CMD_TPL"]
    if isinstance(command, str):
        settings["CMD_TPL"] = command.replace(INSTALLED, "<folder>/installed")

    def prepare(folder):
        shutil.copytree(ROOT / "luisito" / "utils", folder / "installed" / "luisito" / "utils")
        (folder / "output").mkdir()
        for host in HOSTS:
            recipe.make_site(folder / "srv" / host)
        owner = ordinary_user()
        if owner is not None:
            who = f"{owner.pw_uid}:{owner.pw_gid}"
            # without -L: the virtual environments stay whose they are
            subprocess.run(["chown", "-Rh", who, folder / "srv", folder / "output"], check=True)

    return serve(settings, prepare=prepare, ordinary=ordinary)


def request(server, target="/", host=HOSTS[0], method="GET", **how):
    """One request on a connection of its own; some of these programs take long to start."""
    with server.client(PATIENCE["START_TIMEOUT"]) as connection:
        return connection.request(target, host, method, **how)


def output(server, host=HOSTS[0]):
    """What a site's server has written, once all that Luisito has said of it stands there too."""
    path = server.folder / "output" / f"{host}.log"
    said = re.findall(rf"Journal#\w+\] {re.escape(host)}: (.*)", server.log())
    said = [re.split("; its last output|, without any output", words)[0] for words in said]
    # its user is not told which other site that is
    said = [re.sub(r"(room was needed for) \S+", r"\1 another site", words) for words in said]

    def content():
        text = path.read_text(errors="replace") if path.exists() else ""
        return text if all(f" luisito: {words}" in text for words in said) else ""

    text = processes.until(content, 5, f"output of {host}, and {said} beside it")
    return re.sub(r"^\S+ luisito: .*\n", "", text, flags=re.MULTILINE)


def ended(server):
    """Waits until the first site has made room for the second one, and nothing is left of it."""
    before = set(server.servers())
    assert before
    assert request(server, host=HOSTS[1]).status == 200
    limit = PATIENCE["STOP_TIMEOUT"] + 5
    processes.until(lambda: not before & server.servers().keys(), limit, "the end of all of it")
    how = server.wait_for_log(rf"{HOSTS[0]}: pid \d+ ((?:exited|was killed) .*) after")[1]
    assert "SIGKILL" not in how
    return how

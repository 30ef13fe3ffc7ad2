"""docs/tutorial.md and docs/howto: what they have typed and written is taken by Luisito."""

import re
import tomllib

import pytest

from luisito.settings import load
from luisito.settings.sites.table import KEYS
from tests.harness.server import ROOT

DOCS = ROOT / "docs"
TUTORIAL = (DOCS / "tutorial.md").read_text(encoding="utf-8")
# What a page shows as a file, by its name.
WRITTEN = dict(re.findall(r"(?ms)^cat > (\S+) <<'END'\n(.*?)^END$", TUTORIAL))
HOWTO = {page.name: page.read_text(encoding="utf-8") for page in (DOCS / "howto").glob("*.md")}


def blocks(text, language):
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", text)


def test_its_settings_are_taken(tmp_path):
    (tmp_path / "settings.py").write_text(WRITTEN["/etc/luisito/settings.py"])
    assert load(str(tmp_path / "settings.py")).sites_dir == "/etc/luisito/sites"


def test_its_site_files_have_keys_that_there_are():
    files = [text for name, text in WRITTEN.items() if name.endswith(".toml")]
    assert len(files) == 2
    for text in files:
        assert tomllib.loads(text).keys() <= KEYS.keys()


def test_what_it_copies_is_there_and_has_as_many_lines_to_change_as_it_says():
    copied = re.findall(r"(?m)^cp (contrib/\S+)", TUTORIAL)
    assert len(copied) == 2
    assert all((ROOT / path).is_file() for path in copied)
    nginx = (ROOT / "contrib/nginx/luisito.conf").read_text(encoding="utf-8")
    assert len(re.findall(r"; +# CHANGE$", nginx, re.MULTILINE)) == 3
    assert "the three lines marked CHANGE" in TUTORIAL


@pytest.mark.parametrize("page", sorted(HOWTO))
def test_site_files_and_settings_of_a_how_to(page, tmp_path):
    for text in blocks(HOWTO[page], "toml"):
        assert tomllib.loads(text).keys() <= KEYS.keys()
    for text in blocks(HOWTO[page], "python"):
        if re.search(r"(?m)^(LISTEN|CMD_TPL) = ", text):
            (tmp_path / "settings.py").write_text(text)
            assert load(str(tmp_path / "settings.py"))
    for path in re.findall(r"(?m)^(?:cp|cat) (contrib/\S+)", HOWTO[page]):
        assert (ROOT / path).is_file()

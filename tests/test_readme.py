"""What README and docs say of the project is there: tests, files, settings, targets."""

import ast
import re
from pathlib import Path

import pytest

from luisito.settings import load

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_promises_are_tests():
    promises = README.partition("## What it promises")[2].partition("\n## ")[0]
    named = re.findall(r"`(test_\w+)`", promises)
    there = {
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    assert len(named) >= 10
    assert set(named) <= there


def test_claims_about_security_are_tests_where_they_say():
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    links = re.findall(r"\[`(test_\w+)`\]\(\.\./([^)]*)\)", text)
    rows = [row for row in text.splitlines() if row.startswith("| ") and "| test |" not in row]
    assert len(rows) >= 20
    assert all("[`test_" in row for row in rows)
    for name, path in links:
        assert re.search(rf"(?m)^def {name}\(", (ROOT / path).read_text(encoding="utf-8")), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target, _, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(#([^)]*))?\)", text):
        there = page.parent / target if target else page
        assert there.exists(), target
        if anchor:
            headings = re.findall(r"(?m)^#+ (.*)", there.read_text(encoding="utf-8"))
            slugs = [re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in headings]
            assert anchor in slugs, anchor


def test_its_settings_are_taken(tmp_path):
    (tmp_path / "settings.py").write_text(re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0])
    assert load(str(tmp_path / "settings.py")).max_servers == 60


def test_its_targets_are_in_the_makefile():
    targets = set(re.findall(r"(?m)^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8")))
    assert set(re.findall(r"`make ([a-z]+)`", README)) <= targets

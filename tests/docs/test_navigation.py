"""docs/index.md lists every page once, and README.md leads to each part of it."""

import importlib.util
import itertools
import re

import pytest

from tests.harness.server import ROOT

DOCS = ROOT / "docs"
INDEX = (DOCS / "index.md").read_text(encoding="utf-8")
PAGES = {
    page.relative_to(DOCS).with_suffix("").as_posix(): page.read_text(encoding="utf-8")
    for page in DOCS.rglob("*.md")
}


def navigation(text):
    spec = importlib.util.spec_from_file_location("luisito_docs_conf", DOCS / "conf.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.navigation(text)


LISTED = [page for pages in navigation(INDEX).values() for page in pages]


def missing(page):
    return (
        f"docs/{page}.md stands in no list of docs/index.md, which is the navigation: add\n"
        f"- [TITLE]({page}.md): what it tells\n"
        f"below one of its headings ({', '.join(navigation(INDEX))})"
    )


@pytest.mark.parametrize("page", sorted(PAGES.keys() - {"index"}))
def test_each_page_is_in_the_navigation(page):
    assert page in LISTED, missing(page)


def test_the_navigation_has_no_other_pages_and_none_twice():
    assert sorted(LISTED) == sorted(set(LISTED) & PAGES.keys())


def test_each_line_of_a_list_is_an_entry():
    """A list that is written in another way would be left out of the navigation unseen."""
    assert len(re.findall(r"(?m)^\s*[-*+] ", INDEX)) == len(LISTED)


def test_navigation():
    assert navigation("# T\n- [a](a.md)\n## One\n\n- [b](b.md): c\n- [d](e/d-f.md)\n## Two\n") == {
        "One": ["b", "e/d-f"],
        "Two": [],
    }


@pytest.mark.parametrize("page", sorted(PAGES))
def test_each_page_has_one_title_and_skips_no_level(page):
    text = re.sub(r"(?ms)^```.*?^```$", "", PAGES[page])
    levels = [len(marks) for marks in re.findall(r"(?m)^(#+) ", text)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_readme_leads_to_each_part():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for part in navigation(INDEX):
        slug = re.sub(r"[^\w -]", "", part.lower()).replace(" ", "-")
        assert f"(docs/index.md#{slug})" in readme, part

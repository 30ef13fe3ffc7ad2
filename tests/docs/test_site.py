"""The pages that `make site` makes: whole, without warnings, with nothing from elsewhere."""

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.harness.server import ROOT


class Page(HTMLParser):
    """What an HTML page has: ids, links, and what a browser loads with it."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.links, self.loaded = set(), [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        has = dict(attrs)
        self.ids |= {has[name] for name in ("id", "name") if has.get(name)}
        if tag == "a" and has.get("href"):
            self.links.append(has["href"])
        elif tag in ("link", "script", "img", "iframe", "source", "object", "embed"):
            self.loaded += [has[name] for name in ("href", "src", "data", "srcset") if name in has]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the pages, made as `make site` makes them."""
    folder = tmp_path_factory.mktemp("site")
    # -o: what it needs is there, where the tests run
    command = ["make", "-s", "-o", ".venv/.has-docs", "site"]
    command += [f"SITE={folder}/site", f"BIN={Path(sys.executable).parent}"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"


@pytest.fixture(scope="module")
def pages(site):
    return {path: Page(path) for path in site.rglob("*.html")}


def inside(path, link):
    """The file and the anchor that a link of a page leads to; None where it leads elsewhere."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    return target, unquote(parts.fragment)


def test_no_link_and_no_anchor_is_dead(pages):
    dead = [
        f"{path.name}: {link}"
        for path, page in pages.items()
        for link in page.links
        if (found := inside(path, link))
        and not (
            found[0].exists()
            and (not found[1] or found[0] not in pages or found[1] in pages[found[0]].ids)
        )
    ]
    assert dead == []


def test_every_page_is_reached_from_the_first_one(site, pages):
    reached, open_ends = set(), [site / "index.html"]
    while open_ends:
        path = open_ends.pop()
        if path in reached or path not in pages:
            continue
        reached.add(path)
        open_ends += [found[0] for link in pages[path].links if (found := inside(path, link))]
    made = {path.relative_to(site) for path in pages}
    assert made == {path.relative_to(site) for path in reached} | {Path("search.html")}
    sources = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")}
    assert {path.with_suffix(".html") for path in sources} <= made


def test_nothing_comes_from_elsewhere(site, pages):
    loaded = {(path, each) for path, page in pages.items() for each in page.loaded}
    assert len(loaded) > len(pages)
    assert [each for path, each in loaded if inside(path, each) is None] == []
    assert [each for path, each in loaded if not inside(path, each)[0].exists()] == []
    styles = [path.read_text(encoding="utf-8") for path in site.rglob("*.css")]
    assert styles
    assert [text for text in styles if "url(http" in text or "url(//" in text] == []


def test_it_can_be_searched_and_read_in_the_dark(site):
    assert "hibern" in (site / "searchindex.js").read_text(encoding="utf-8")
    first = (site / "index.html").read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in first

"""How Sphinx makes pages of this folder: `make site`.

The pages are Markdown that a forge shows as it is. What stands in the lists of index.md is the
navigation, so that there is one list of pages and not two.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "Luisito"
root_doc = "index"
extensions = ["myst_parser"]
exclude_patterns = ["site.schema.json"]
# As a forge has them: each heading can be linked to by its words.
myst_heading_anchors = 6
# What an indented block holds is not told.
highlight_language = "none"

html_theme = "furo"
html_title = "Luisito"
html_use_index = False
html_copy_source = False
html_show_copyright = False
html_theme_options = {"navigation_with_keys": True}
pygments_style = "friendly"
pygments_dark_style = "monokai"

# What examples name is nowhere.
linkcheck_timeout = 20
linkcheck_retries = 2
linkcheck_ignore = [r"https?://(localhost|127\.0\.0\.1|[^/]*\.example(\.\w+)?)(:\d+)?(/.*)?$"]

_PART = re.compile(r"^## (.+)\n((?:(?!^## ).*\n?)*)", re.MULTILINE)
_ENTRY = re.compile(r"^- \[[^\]]+\]\(([\w./-]+)\.md\)", re.MULTILINE)


def navigation(text: str) -> dict[str, list[str]]:
    """The parts of index.md and the pages that each lists, without `.md`."""
    return {part: _ENTRY.findall(entries) for part, entries in _PART.findall(text)}


def _add_trees(_app: Sphinx, page: str, source: list[str]) -> None:
    """Make of the lists of index.md what Sphinx takes for its navigation."""
    if page != root_doc:
        return
    for part, pages in navigation(source[0]).items():
        words = "\n".join([f":caption: {part}", ":hidden:", "", *pages])
        source[0] += f"\n\n```{{toctree}}\n{words}\n```\n"


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx, which is told that pages may be read in parallel."""
    app.connect("source-read", _add_trees)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

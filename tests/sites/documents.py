"""docs/site.schema.json, and the tables of docs/sites.md, from the table of keys.

python -m tests.sites.documents    # writes them
"""

import json
import re
from pathlib import Path

from luisito.settings.sites.schema import schema, tables

DOCS = Path(__file__).parent.parent.parent / "docs"
PAGE = DOCS / "sites.md"
SCHEMA = DOCS / "site.schema.json"


def page() -> str:
    """The text of docs/sites.md, with its tables as they have to be."""
    text = PAGE.read_text(encoding="utf-8")
    between = re.compile(r"(?<=<!-- keys -->\n).*(?=<!-- /keys -->)", re.DOTALL)
    return between.sub(lambda _: f"\n{tables()}\n\n", text)


def schema_text() -> str:
    """The text of docs/site.schema.json."""
    return json.dumps(schema(), indent=2) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    SCHEMA.write_text(schema_text(), encoding="utf-8")

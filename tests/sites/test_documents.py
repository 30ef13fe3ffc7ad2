"""The schema and the page say what the table of keys says, and the readers do."""

import json
import re
import tomllib

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luisito.errors import SiteFileError
from luisito.settings.sites import parts
from luisito.settings.sites.schema import schema
from luisito.settings.sites.table import KEYS
from luisito.settings.table import SETTINGS
from tests.sites import documents
from tests.sites.made import refusal, site
from tests.sites.test_keys import EVERY

SCHEMA = jsonschema.Draft202012Validator(schema())
PAGE = documents.PAGE.read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


def test_they_are_what_the_generator_makes():
    assert documents.page() == PAGE, "run `make docs`"
    text = documents.SCHEMA.read_text(encoding="utf-8")
    assert text == documents.schema_text(), "run `make docs`"


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(schema())
    assert json.loads(documents.schema_text()) == schema()


def test_every_key_is_explained():
    for name in KEYS:
        assert len(re.findall(rf"^\| `{name}` \| ", PAGE, re.MULTILINE)) == 1


@pytest.mark.parametrize("text", [*EXAMPLES, EVERY, ""])
def test_examples_are_taken_by_both(text):
    SCHEMA.validate(tomllib.loads(text))
    site(text)


def test_the_message_on_the_page_is_the_real_one():
    broken = EXAMPLES[0].replace("536870912", '"512M"')
    assert f"/etc/luisito/sites/{refusal(broken)}" in PAGE


def test_the_grant_on_the_page_is_taken():
    names = {}
    exec(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0], names)
    assert SETTINGS["TENANTS"].read(names["TENANTS"]).keys() == {"alice"}


NUMBERS = st.sampled_from([-1, 0, 1, 2, 1048575, 1048576, 2**32 - 2, 2**32, 0.005, 0.5, 2.5])
WORDS = st.sampled_from(
    ["", "none", "x", "a b", "/srv", "TERM", "KILL", "unix", "udp", "www.a.example", "A.example",
     "*.a.example", "!a.example", "!*.a", "[::1]", "-a.b", "a..b", "root", "owner", "0a", "a/b"]
)  # fmt: skip
SCALARS = NUMBERS | WORDS | st.booleans()
LIMIT = SCALARS | st.just("unlimited") | st.lists(st.just("unlimited") | NUMBERS, max_size=3)
VALUES = (
    SCALARS
    | st.lists(SCALARS, max_size=2)
    | st.dictionaries(st.sampled_from(["A", "B=", "nofile", "core", "rss", ""]), LIMIT, max_size=2)
)

# What the readers know and a schema can hardly say.
_BEYOND = re.compile(
    r"no word but|above the hard one|is no host|must name a program|no closing quotation"
    r"|must be a command"
)


@given(st.sampled_from(sorted(KEYS)), VALUES)
def test_the_schema_takes_what_the_readers_take(key, value):
    text = f"{key} = {words(value)}"
    try:
        parts.read("a.toml", text.encode(), 0)
        said = ""
    except SiteFileError as error:
        said = str(error)
    valid = SCHEMA.is_valid({key: value})
    assert valid == (not said) or (valid and _BEYOND.search(said)), said


def words(value):
    """As TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{name}" = {words(item)}' for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(words, value)) + "]"
    return json.dumps(value)

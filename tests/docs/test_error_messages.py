"""docs/errors has an entry for every message in the code, and none for others."""

import ast

import pytest

from tests.docs import messages
from tests.docs.messages import PAGES, Texts, entries, squeezed

TEXTS = {page.name: page.read_text(encoding="utf-8") for page in PAGES}
WRITTEN = [message for text in TEXTS.values() for message in entries(text)]


@pytest.fixture(scope="module")
def found():
    return messages.messages()


def test_each_message_has_an_entry(found):
    missing = [f"{place}: {said}" for said, place in found.items() if said not in set(WRITTEN)]
    assert not missing, (
        "\n".join(missing)
        + "\nhave no entry in docs/errors: add each, as it stands here behind its place, to the"
        " list of the page and heading that it belongs to, with what it means and what to do"
    )
    assert len(found) > 400


def test_no_entry_is_of_a_message_that_is_gone(found):
    gone = [message for message in WRITTEN if message not in found]
    assert not gone, "no code says so any more: " + "; ".join(gone)


def test_no_message_stands_twice():
    assert sorted(WRITTEN) == sorted(set(WRITTEN))


@pytest.mark.parametrize("page", TEXTS)
def test_each_entry_says_what_to_make_of_it(page):
    found = entries(TEXTS[page])
    assert found
    assert TEXTS[page].count("\n- `") == len(set(found.values()))
    assert [said for said in found.values() if len(said.split()) < 6] == []


def texts(code, of):
    tree = ast.parse(code)
    found = Texts(tree)
    function = next((node for node in tree.body if isinstance(node, ast.FunctionDef)), None)
    if function is not None:
        found.enter(function)
    return [squeezed(text) for text in found.of(ast.parse(of, mode="eval").body)]


def test_texts():
    assert texts("", "f'{name}: is {what!r} no more' ' at all'") == ["…: is … no more at all"]
    assert texts("", "'a' if x else 'b'") == ["a", "b"]
    assert texts("WHY = 'too long a value'", "WHY + f', {x}'") == ["too long a value, …"]
    assert texts("def f():\n  what = 'one of them'\n  if x:\n    what = y()", "what") == [
        "one of them",
        "…",
    ]
    assert texts("def f():\n  why = 'it is too long'", "f'{p}: {why}; cut it'") == [
        "…: it is too long; cut it"
    ]
    assert texts("", "unknown") == ["…"]


def test_entries():
    text = "# T\n\n- `a … b`\\\n  `` c `d` ``\n\n  It means this.\n  `x` is that.\n- `e`\n  More.\n"
    assert entries(text) == {
        "a … b": "It means this.\n  `x` is that.",
        "c `d`": "It means this.\n  `x` is that.",
        "e": "More.",
    }


def test_what_is_found_in_code(tmp_path, monkeypatch):
    folder = tmp_path / "luisito"
    folder.mkdir()
    (folder / "one.py").write_text(
        "class OwnError(LuisitoError): ...\n"
        "def f(self, error):\n"
        "    raise OwnError(f'{x}: is no such thing; write it')\n"
        "    self._log.warn('It cannot be {what}', what=1)\n"
        "    self._log.info('It can be {what} after all')\n"
        "    raise KeyError('not for a person to read')\n"
    )
    monkeypatch.setattr(messages, "ROOT", tmp_path)
    assert messages.messages() == {
        "…: is no such thing; write it": "luisito/one.py:3",
        "It cannot be …": "luisito/one.py:4",
    }

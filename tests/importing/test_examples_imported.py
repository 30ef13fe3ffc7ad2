"""Ten folders as they are found on machines, each with the site files that it becomes."""

import os

import pytest

from luisito.settings import from_mapping
from luisito.settings.sites.look import look
from luisito.settings.sites.trust import Trust
from tests.importing.examples import NAMES, Example

REWRITE = os.environ.get("REWRITE_EXAMPLES")  # after which their differences are read


def test_there_are_ten():
    assert len(NAMES) >= 10


@pytest.mark.parametrize("name", NAMES)
def test_example(name, bring, tmp_path):
    example = Example(name, tmp_path)
    to = tmp_path / "sites"
    shown = bring(*example.argv[1:], "--root", tmp_path)
    assert not to.exists()
    said = bring(*example.argv[1:], "--root", tmp_path, "--to", "sites")
    files = {path.name: path.read_text() for path in sorted(to.glob("*"))}
    found = {name: example.said(text) for name, text in files.items()}
    kept, lost = said.part("stays as it is"), said.part("not translated")
    passes = said.part("in nginx, instead of these lines")
    found["list"] = example.said(
        "".join(
            f"{line}\n" for line in [*passes, "", *kept, "", *lost, "", f"status {said.status}"]
        )
    )
    if REWRITE:
        text = example.path.read_text()
        head = text[: text.index(" ==\n", text.index("== import ")) + 4]
        parts = (f"== {what} ==\n{text}" for what, text in found.items())
        example.path.write_text(head + "".join(parts))
        return
    assert found == example.expected
    assert said.status == (1 if lost else 0)
    for text in files.values():
        assert text in shown.out
    read = look(str(to), {}, from_mapping({"SITES_DIR": str(to)}), Trust(os.geteuid(), {}))
    assert not [of.error for of in read.seen.values() if of.error]
    assert len(read.runs) == len(files)

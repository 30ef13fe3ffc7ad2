"""docs/faults.md is complete, true, and what its generator makes."""

import ast
import re

import pytest

from tests.faults import catalogue
from tests.harness import invariants

ROOT = catalogue.TESTS.parent
DATA = catalogue.data()
ROWS = {row["row"]: row for group in DATA["group"] for row in group["rows"]}
TESTS = catalogue.tests()


def test_the_page_is_what_the_generator_makes():
    text = catalogue.PAGE.read_text(encoding="utf-8")
    assert text == catalogue.page(), "run `make docs`"


def test_every_row_is_there():
    assert set(ROWS) == {*map(str, range(1, 81)), "30b", "34b"}
    assert [one["number"] for one in DATA["invariant"]] == [*map(str, range(1, 14))]


def test_every_row_is_tested_or_comes_with_a_feature():
    """By a test of more than the pure core: nothing can be provoked there."""
    real = [test for test in TESTS if not test.file.startswith("core/")]
    tested = {row for test in real for row in test.rows}
    later = {row for row, of in ROWS.items() if "feature" in of}
    assert set(ROWS) - tested == later


def test_every_invariant_is_looked_at():
    there = {*invariants.CHECKS, *invariants.WHILE_IT_RUNS}
    for one in DATA["invariant"]:
        checked = one.get("checked", [])
        assert set(checked) <= there
        assert checked or any(one["number"] in test.invariants for test in TESTS), one


def test_no_test_of_a_row_is_skipped_everywhere():
    """Where a program or root is missing, it is; and .ci/run takes that for a failure."""
    assert [test.name for test in TESTS if test.skipped] == []
    assert "LUISITO_NO_SKIPS=1 make check" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "docstring", "rows", "invariants_"),
    [
        ("test_30b_it_is_killed", "", {"30b"}, set()),
        ("test_row_7_a_client_leaves", "", {"7"}, set()),
        ("test_rows_3_21_back_pressure", "", {"3", "21"}, set()),
        ("test_row_5_row_4_exactly", "", {"4", "5"}, set()),
        ("test_a_site_49_55", "", {"49", "55"}, set()),
        ("test_http_1_0", "", set(), set()),
        ("test_a_47_in_the_middle", "The row of FAULT 1.", set(), set()),
        ("test_x", "FAULTS 4 and 5: words.", {"4", "5"}, set()),
        ("test_x", "FAULTS 15 to 17, invariant 3.", {"15", "16", "17"}, {"3"}),
        ("test_x", "FAULTS 46, 44: words of 12.", {"46", "44"}, set()),
        ("test_invariant_8_lru", "FAULTS 45, invariants 2 and 4.", {"45"}, {"8", "2", "4"}),
    ],
)
def test_what_a_test_names(name, docstring, rows, invariants_):
    assert catalogue.named(name, docstring) == (rows, invariants_)


@pytest.mark.parametrize(
    ("code", "skipped"),
    [
        ("@pytest.mark.skip\ndef test_x(): pass", True),
        ("@pytest.mark.xfail(reason='no')\ndef test_x(): pass", True),
        ("def test_x():\n    'Words.'\n    pytest.skip('never')", True),
        ("pytestmark = [pytest.mark.skip]\ndef test_x(): pass", True),
        ("@pytest.mark.root\ndef test_x():\n    if os.getuid(): pytest.skip('root')", False),
    ],
)
def test_what_is_skipped(code, skipped):
    module = ast.parse(code)
    assert catalogue.skipped(module, module.body[-1]) == skipped


def test_links_of_the_page_lead_to_tests():
    for file, names in re.findall(r"\(\.\./tests/([^)]*)\): ([^|<]*)", catalogue.page()):
        text = (catalogue.TESTS / file).read_text(encoding="utf-8")
        for name in re.findall(r"`(\w+)`", names):
            assert f"def {name}(" in text

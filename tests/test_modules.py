"""The names of the test modules."""

from collections import defaultdict
from pathlib import Path

TESTS = Path(__file__).parent


def test_one_run_can_collect_all_of_them():
    """Outside of packages pytest knows modules by their name alone."""
    found = defaultdict(list)
    for path in TESTS.rglob("test_*.py"):
        if not (path.parent / "__init__.py").exists():
            found[path.stem].append(str(path.relative_to(TESTS)))
    assert len(found) > 100
    assert [paths for paths in found.values() if len(paths) > 1] == []

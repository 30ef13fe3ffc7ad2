"""The order in which a preloaded interpreter imports what was learned."""

import json
import subprocess
import sys

from luisito.app.learning import learned

TRY = """
import asyncio
async def main():
    assert asyncio.current_task() is not None
asyncio.run(main())
"""


def test_parts_come_after_what_they_are_parts_of(tmp_path):
    """Where _asyncio comes first, asyncio.current_task() is None for good (CPython 3.11)."""
    names = ["_asyncio", "asyncio", "asyncio.tasks", "json"]
    (tmp_path / "a.modules").write_text(json.dumps(names))
    order = learned(str(tmp_path))
    assert sorted(order) == names
    imports = "".join(f"import {name}\n" for name in order)
    subprocess.run([sys.executable, "-I", "-S", "-c", imports + TRY], check=True)


def test_at_least_half_must_have_it(tmp_path):
    for site, names in enumerate(([], ["common", "own"], ["common"])):
        (tmp_path / f"{site}.more").write_text(json.dumps(names))
    assert learned(str(tmp_path)) == ["common"]
    (tmp_path / "0.more").write_text("[" * 100_000)  # which is nobody's word
    assert learned(str(tmp_path)) == ["common", "own"]

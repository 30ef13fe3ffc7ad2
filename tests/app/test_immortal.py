"""Objects that are counted no more: who they are, and that nothing is written to count them."""

from __future__ import annotations

import subprocess
import sys

from luisito.app.immortal import Immortal
from tests.app.preloading import BOOT

# Python 3.11 has no such objects, and conftest.py leaves this file out there.
assert Immortal().works


def run(script: str) -> str:
    """What a script prints, as what it does to objects cannot be taken back."""
    begin = (
        f"import gc, sys, types; sys.path.insert(0, {str(BOOT.parents[2])!r})\n"
        "from luisito.app.immortal import Immortal\n"
        "module = types.ModuleType('shared'); immortal = Immortal()\n"
        "EVER = sys.getrefcount(None)\n"
        "def count(one):\n    return sys.getrefcount(one) == EVER\n"
    )
    argv = [sys.executable, "-c", begin + script]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


def test_what_a_module_leads_to_is_counted_no_more() -> None:
    script = (
        "exec('''class A:\\n"
        "    def inner(self, x=1.5):\\n"
        "        return [y + 'a text of its own' for y in x], (x, 2.5)\\n"
        "some = {\"a key\" * 2: [object()]}\\n''', module.__dict__)\n"
        "code = module.A.inner.__code__\n"
        "those = [module, module.A, module.A.inner, code, code.co_names, code.co_linetable,\n"
        "    code.co_consts, module.some, *module.some, *module.some.values(),\n"
        "    *[one[0] for one in module.some.values()]]\n"
        "before = any(map(count, those[:4])); made = immortal.make([module])\n"
        "print(before, all(map(count, those)), made > 12, immortal.make([module]))"
    )
    assert run(script) == "False True True 0"


def test_what_must_be_closed_or_still_runs_is_left_alone() -> None:
    script = (
        "import io\n"
        "def runs(): yield\n"
        "class Closed:\n    def __del__(self): print('closed', end=' ')\n"
        "class Proxy:\n"
        "    def __getattribute__(self, name): raise RuntimeError(name)\n"
        "module.one, module.file, module.runs = Closed(), io.StringIO(), runs()\n"
        "module.proxy = Proxy(); immortal.make([module])\n"
        "print(count(module.proxy), count(module.file), count(module.runs), count(module.one))\n"
        "del module.one; print(end='.')"
    )
    assert run(script).split() == ["True", "False", "False", "False", "closed", "."]


def test_an_interpreter_ends_in_order_when_all_it_has_lives_for_ever() -> None:
    script = (
        "import json, logging, re, socket\nimmortal.make(list(sys.modules.values()))\ngc.freeze()\n"
    )
    script += "gc.unfreeze(); gc.collect(); print(json.loads('[1]'), re.sub('a', 'b', 'aa'))"
    assert run(script) == "[1] bb"

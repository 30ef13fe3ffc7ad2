"""Fuzzes one target in this process: `python -m tests.fuzz.engine TARGET FINDS [libFuzzer's]`.

atheris has libFuzzer call the target again and again. libFuzzer would stop at the first find; here
each new one is written to a file of its own and the search goes on.
"""

import hashlib
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import atheris

from tests.fuzz import mutator, planted, targets

LONGEST = 4096  # bytes of an input


class Finds:
    """Writes finds into a folder: the input, and beside it (.txt) what it led to."""

    def __init__(self, target: str, folder: Path) -> None:
        self._target, self._folder = target, folder
        self._seen: set[str] = set()

    def add(self, data: bytes, error: Exception) -> None:
        """Writes a find, unless one like it was written before."""
        kind = _signature(error)
        if kind in self._seen:
            return
        self._seen.add(kind)
        data = getattr(error, "data", data)  # aside.Misread may be about an earlier one
        path = self._folder / f"{self._target}-{hashlib.sha256(data).hexdigest()[:12]}"
        path.write_bytes(data)
        text = "".join(traceback.format_exception(error))
        path.with_suffix(".txt").write_text(f"{kind}\n\n{data!r}\n\n{text}", "utf-8", "replace")
        print(f"FIND {path}: {kind}", file=sys.stderr, flush=True)


def _signature(error: Exception) -> str:
    """What two finds have in common that are the same: where they were raised, and as what."""
    frames = traceback.extract_tb(error.__traceback__)
    last = [f for f in frames if "/luisito/" in f.filename or "/targets/" in f.filename][-1]
    return f"{type(error).__name__} at {os.path.basename(last.filename)}:{last.lineno}"


def _one(target: ModuleType, finds: Finds, options: list[str]) -> Callable[[bytes], None]:
    """What libFuzzer calls, which calls nobody when it is done: it exits."""
    limits = dict(option.lstrip("-").split("=", 1) for option in options if "=" in option)
    runs = int(limits.get("runs", sys.maxsize))
    end = time.monotonic() + int(limits.get("max_total_time", sys.maxsize)) - 1
    aside = getattr(target, "aside", None)
    count = 0

    def one(data: bytes) -> None:
        nonlocal count
        count += 1
        try:
            target.run(data)
            if aside is not None and (count >= runs or time.monotonic() >= end):
                aside.flush()
        except Exception as error:
            finds.add(data, error)
            if planted.CHOSEN:
                os._exit(0)  # it was there to be found

    return one


def main(name: str, folder: str, *options: str) -> None:
    with atheris.instrument_imports(include=["luisito"]):
        target = targets.load(name)
    planted.plant()
    warnings.simplefilter("error")
    words = target.WORDS

    def mutate(data: bytes, longest: int, seed: int) -> bytes:
        if seed % 2:
            return mutator.mutated(data, longest, seed, words)
        return atheris.Mutate(data, longest)

    atheris.Setup(
        [sys.argv[0], f"-max_len={LONGEST}", f"-artifact_prefix={folder}/{name}-", *options],
        _one(target, Finds(name, Path(folder)), list(options)),
        custom_mutator=mutate,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])

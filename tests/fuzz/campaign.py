"""Fuzzes several targets, each in a process of its own, and tells what came of it."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
SEEDS = Path(__file__).parent / "seeds"
KEPT = ROOT / ".fuzz"
"""Where the corpora grow from one run to the next, and finds are written."""

_HANGS = 20  # seconds that one input may take
_MEMORY = 1024  # MB that a target may have

_progress = re.compile(r"#(\d+)\t.* cov: (\d+) ft: (\d+) corp: (\d+)/")
_found = re.compile(r"FIND (\S+): (.*)")
_artifact = re.compile(r"Test unit written to (\S+)")


class Outcome(NamedTuple):
    """What came of a target.

    Attributes:
        executions: inputs that were tried.
        seconds: of wall time.
        edges: branches of luisito that were reached.
        features: edges with how often they were reached, and comparisons.
        corpus: inputs that reached something new.
        finds: (file, what it is).
        failure: what it said where it could not run at all.
    """

    target: str
    executions: int
    seconds: float
    edges: int
    features: int
    corpus: int
    finds: list[tuple[str, str]]
    failure: str = ""


class Run:
    """A target that is being fuzzed.

    Args:
        target: its name.
        kept: the folder for its corpus and its finds; further seeds may lie there in `others`.
        limits: of libFuzzer: -max_total_time=SECONDS or -runs=COUNT, and -seed.
        environment: on top of this process's.
    """

    def __init__(
        self, target: str, kept: Path, limits: Sequence[str], environment: dict[str, str]
    ) -> None:
        self._target = target
        corpus, finds, others = (kept / name / target for name in ("corpus", "finds", "others"))
        for folder in (corpus, finds, others):
            folder.mkdir(parents=True, exist_ok=True)
        self._output = kept / f"{target}.log"
        command = [
            sys.executable, "-m", "tests.fuzz.engine", target, str(finds), *limits,
            f"-timeout={_HANGS}", f"-rss_limit_mb={_MEMORY}",
            # new inputs go into the first
            str(corpus), str(SEEDS / target), str(others),
        ]  # fmt: skip
        self._began = time.monotonic()
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONHASHSEED": "0", **environment},
            )

    @property
    def over(self) -> bool:
        return self._process.poll() is not None

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def outcome(self) -> Outcome:
        """Waits for the end."""
        code = self._process.wait()
        text = self._output.read_text("utf-8", "replace")
        steps = _progress.findall(text)
        numbers = [int(number) for number in steps[-1]] if steps else [0, 0, 0, 0]
        finds = _found.findall(text)
        # libFuzzer's own: too slow, too much memory, or the interpreter crashed
        finds += [(path, f"see the end of {self._output}") for path in _artifact.findall(text)]
        failure = "" if finds or (steps and not code) else f"exited with {code}: {text[-2000:]}"
        executions, edges, features, corpus = numbers
        seconds = time.monotonic() - self._began
        return Outcome(self._target, executions, seconds, edges, features, corpus, finds, failure)


def campaign(
    names: Sequence[str],
    kept: Path,
    limits: Sequence[str],
    at_once: int,
    environment: dict[str, str] | None = None,
) -> Iterator[Outcome]:
    """Fuzzes targets, so many at a time, and tells of each when it is over; see Run."""
    waiting = list(names)
    running: list[Run] = []
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                running.append(Run(waiting.pop(0), kept, limits, environment or {}))
            time.sleep(0.1)
            for run in [run for run in running if run.over]:
                running.remove(run)
                yield run.outcome()
    finally:
        for run in running:
            run.stop()


def table(outcomes: Sequence[Outcome]) -> str:
    """A line for each target, and one for all."""
    lines = [
        "| target | executions | a second | edges | features | corpus | finds |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for o in outcomes:
        rate = o.executions / o.seconds if o.seconds else 0
        lines.append(
            f"| {o.target} | {o.executions:,} | {rate:,.0f} | {o.edges:,} | {o.features:,} |"
            f" {o.corpus:,} | {len(o.finds)} |"
        )
    executions = sum(o.executions for o in outcomes)
    finds = sum(len(o.finds) for o in outcomes)
    lines.append(f"| all | {executions:,} | | | | | {finds} |")
    return "\n".join(lines)

"""A short run of each target, always the same; and that each finds what it is there for."""

import importlib.util
from pathlib import Path

import pytest

from tests.fuzz import conformance, targets
from tests.fuzz.__main__ import replay
from tests.fuzz.campaign import SEEDS, campaign, table
from tests.fuzz.planted import PLANTS
from tests.fuzz.targets import wire

# Executions: some seconds' worth of each.
RUNS = {"proxy": 1500, "response": 3000, "access": 2000}

guided = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="atheris has no wheel for this Python"
)


@pytest.mark.parametrize("name", targets.NAMES)
def test_seeds(name, tmp_path):
    target = targets.load(name)
    conformance.write(name, tmp_path)  # where they lie beside the project
    for path in [*(SEEDS / name).iterdir(), *tmp_path.iterdir()]:
        try:
            target.run(path.read_bytes())
        except Exception as error:
            raise AssertionError(f"{path}: {path.read_bytes()!r}") from error
    if hasattr(target, "aside"):
        target.aside.flush()


@pytest.mark.parametrize("path", sorted((SEEDS / "wire").iterdir()), ids=lambda path: path.name)
def test_seeds_are_messages_of_today(path):
    """From what is refused as a whole, little can be reached."""
    assert wire.understood(path.read_bytes())


@guided
@pytest.mark.parametrize("name", targets.NAMES)
def test_nothing_is_found_in_a_short_run(name, tmp_path):
    runs = RUNS.get(name, 5000)
    (outcome,) = campaign([name], tmp_path, [f"-runs={runs}", "-seed=1"], 1)
    found = "".join(Path(path).with_suffix(".txt").read_text() for path, _ in outcome.finds)
    assert not outcome.failure
    assert not outcome.finds, found
    # libFuzzer ends there, or a few inputs after it
    assert runs <= outcome.executions < runs + 100
    # what it reaches guides it: it has kept more than it was given
    assert outcome.corpus > 10
    assert outcome.edges > 20


@guided
@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_bug_is_found(name, tmp_path):
    (outcome,) = campaign(
        [name], tmp_path, ["-runs=500000", "-seed=1"], 1, {"LUISITO_FUZZ_PLANTED": name}
    )
    assert not outcome.failure
    assert len(outcome.finds) == 1, table([outcome])
    # by changing inputs: none of those that were given shows it
    found = Path(outcome.finds[0][0]).read_bytes()
    assert found not in [path.read_bytes() for path in (SEEDS / name).iterdir()]
    # and without the plant nothing is wrong about it
    assert replay(name, Path(outcome.finds[0][0])) == 0

"""Guards that are themselves tested, and every crash point of every kind of effect; see tests/simulator.

One test for each guard: the program without it must be objected to.
Longer: `python -m tests.simulator.crashes --pairs`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.simulator.crashes import singles, some_pairs
from tests.simulator.mutants import MUTANTS, REDUNDANT
from tests.simulator.scenes import SCENES, Scene, play, wrong


@pytest.fixture(scope="module")
def nursery() -> Iterator[subprocess.Popen[str]]:
    """A process that forks for each mutant."""
    command = [sys.executable, "-m", "tests.simulator.mutants", "--serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as found:
        yield found
        assert found.stdin
        found.stdin.close()


@pytest.mark.parametrize("name", [mutant.name for mutant in MUTANTS])
def test_the_program_without_this_guard_is_objected_to(nursery: subprocess.Popen[str], name: str) -> None:
    assert nursery.stdin
    assert nursery.stdout
    nursery.stdin.write(f"{name}\n")
    nursery.stdin.flush()

    said = nursery.stdout.readline()

    assert said.strip()
    assert not said.startswith(("survives", "cannot be made")), said


def test_a_guard_is_listed_once() -> None:
    names = [mutant.name for mutant in (*MUTANTS, *REDUNDANT)]

    assert len(names) == len(set(names))


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_wherever_a_run_ends_or_stands_still_the_effect_happens_once(scene: Scene) -> None:
    quiet = play(scene, {})

    plans = [*singles(quiet.names), *some_pairs(scene, quiet.names, 2)]
    assert [line for plan in plans for line in wrong(scene, plan, quiet.happened)] == quiet.violations == []

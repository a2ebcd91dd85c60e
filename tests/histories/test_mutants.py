"""Control: with a known bug patched in, histories find it within a minute."""

from __future__ import annotations

from time import process_time

import pytest

from tests.histories.mutants import FOCUS, MUTANTS, patched_in
from tests.histories.simulation import simulate

FIRST = 100_000
LONGEST_S = 60.0


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_found(name: str) -> None:
    """Each bug breaks a rule in some history within a minute of computing."""
    began_s, seed = process_time(), FIRST
    focus = FOCUS.get(name, lambda plan: plan)
    with patched_in(name):
        while process_time() - began_s < LONGEST_S:
            violations = simulate(seed, change_plan=focus).violations
            seed += 1
            if violations:
                print(f"{name}: {seed - FIRST} histories, {process_time() - began_s:.1f} s")  # noqa: T201
                return
    pytest.fail(f"{name} was not found in {seed - FIRST} histories")

"""Histories of the whole dispatcher: nothing is lost, told too early, given twice or stranded.

HISTORIES says how many, HISTORY_SEED which one comes first: ``HISTORIES=1 HISTORY_SEED=4711`` runs
the history of one seed again. ``make check`` runs the same ones each time, so that it judges the
change and not the dice; ``make torture`` throws them.
"""

from __future__ import annotations

import os
import random

import pytest

from tests.histories.simulation import Run, simulate

TORTURE = os.environ.get("TORTURE") == "1"
HISTORIES = int(os.environ.get("HISTORIES", "200000" if TORTURE else "1500"))
FIRST = int(
    os.environ.get("HISTORY_SEED", random.SystemRandom().randrange(10**9) if TORTURE else 1)
)
PARTS = 50 if TORTURE else 5


def described(run: Run) -> str:
    """Say what is wrong, and how to see it again."""
    wrong = "\n".join(f"{rule}: {text}" for rule, text in run.violations)
    last = "\n".join(run.text.splitlines()[-60:])
    return (
        f"HISTORIES=1 HISTORY_SEED={run.seed} python -m pytest tests/histories/test_histories.py\n"
        f"{run.plan}\n{wrong}\n... the end of the history:\n{last}"
    )


@pytest.mark.timeout(3600 if TORTURE else 600)
@pytest.mark.parametrize("part", range(min(PARTS, HISTORIES)))
def test_histories(part: int) -> None:
    """Whatever fails, crashes or comes late: the rules C1 to C6 hold, and all drains."""
    print(f"HISTORY_SEED={FIRST}, part {part}")  # noqa: T201
    for seed in range(FIRST + part, FIRST + HISTORIES, min(PARTS, HISTORIES)):
        run = simulate(seed)
        assert not run.violations, described(run)


@pytest.mark.parametrize("seed", [11, 4711, 815])
def test_a_seed_replays_exactly(seed: int) -> None:
    """The same seed writes the same history, byte by byte."""
    assert simulate(seed).text == simulate(seed).text

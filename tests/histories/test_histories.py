"""Histories of the whole dispatcher: nothing is lost, published too early, given twice or
forgotten.

HISTORIES says how many, HISTORY_SEED which one is the first: ``HISTORIES=1 HISTORY_SEED=4711``
repeats the history of one seed. ``make check`` runs the same ones each time, so that it judges the
change; ``make torture`` runs random ones.
"""

from __future__ import annotations

import os
import random
from dataclasses import replace

import pytest

from tests.histories.simulation import Run, simulate

TORTURE = os.environ.get("TORTURE") == "1"
HISTORIES = int(os.environ.get("HISTORIES", "200000" if TORTURE else "1000"))
FIRST = int(
    os.environ.get("HISTORY_SEED", random.SystemRandom().randrange(10**9) if TORTURE else 1)
)
PARTS = 50 if TORTURE else 5


def described(run: Run) -> str:
    """Return the violations, and how to repeat the history."""
    wrong = "\n".join(f"{rule}: {text}" for rule, text in run.violations)
    last = "\n".join(run.text.splitlines()[-60:])
    return (
        f"HISTORIES=1 HISTORY_SEED={run.seed} python -m pytest tests/histories/test_histories.py\n"
        f"{run.plan}\n{wrong}\n... the end of the history:\n{last}"
    )


@pytest.mark.timeout(3600 if TORTURE else 600)
@pytest.mark.parametrize("part", range(min(PARTS, HISTORIES)))
def test_histories(part: int) -> None:
    """With any failures, crashes and delays C1 to C6 hold, and all drains."""
    print(f"HISTORY_SEED={FIRST}, part {part}")  # noqa: T201
    for seed in range(FIRST + part, FIRST + HISTORIES, min(PARTS, HISTORIES)):
        run = simulate(seed)
        assert not run.violations, described(run)


@pytest.mark.timeout(3600 if TORTURE else 600)
def test_histories_of_robots_with_skills() -> None:
    """The same where every second robot takes only every second order."""
    print(f"HISTORY_SEED={FIRST}")  # noqa: T201
    for seed in range(FIRST, FIRST + HISTORIES // 10):
        run = simulate(seed, change_plan=lambda plan: replace(plan, has_skills=True))
        assert not run.violations, described(run)


@pytest.mark.parametrize("seed", [11, 4711, 815])
def test_a_seed_replays_exactly(seed: int) -> None:
    """The same seed records the same history, byte by byte."""
    assert simulate(seed).text == simulate(seed).text

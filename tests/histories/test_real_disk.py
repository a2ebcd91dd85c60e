"""Histories on the real CachedJsonFile: acknowledged jobs survive a crash at every write."""

from __future__ import annotations

import os
import random
import tempfile
from pathlib import Path
from time import process_time

import pytest

from tests.histories.real_disk import (
    crashes_between_writes,
    in_folder,
    journal_unlinked_before_its_checkpoint,
)
from tests.histories.simulation import Run, Simulation, simulate
from tests.histories.test_histories import FIRST, TORTURE, described

HISTORIES = int(os.environ.get("HISTORIES", "5000" if TORTURE else "50"))
LONGEST_S = 60.0


def simulate_in_folder(seed: int) -> Run:
    """Run the history of a seed in a folder of its own."""
    runs: list[Simulation] = []
    with tempfile.TemporaryDirectory() as name:
        open_in_folder = in_folder(Path(name).resolve())

        def open_store(run: Simulation):  # type: ignore[no-untyped-def]
            runs.append(run)
            return open_in_folder(run)

        with crashes_between_writes(random.Random(seed), lambda: runs[-1]):
            return simulate(seed, open_store=open_store)


@pytest.mark.timeout(3600 if TORTURE else 600)
def test_histories_in_a_folder() -> None:
    """The same rules, with journals, checkpoints, and a process that dies between two writes."""
    for seed in range(FIRST, FIRST + HISTORIES):
        run = simulate_in_folder(seed)
        assert not run.violations, described(run)


@pytest.mark.timeout(600)
def test_a_journal_that_goes_before_its_checkpoint_is_found() -> None:
    """Control: a crash in between loses acknowledged jobs."""
    began_s, seed = process_time(), 100_000
    with journal_unlinked_before_its_checkpoint():
        while process_time() - began_s < LONGEST_S:
            if simulate_in_folder(seed).violations:
                return
            seed += 1
    pytest.fail(f"not found in {seed - 100_000} histories")

"""What a request costs in instructions, held against the table in benchmarks/."""

from __future__ import annotations

import os
import shutil

import pytest

from benchmarks.measure import instruction_counts
from benchmarks.measure.instruction_counts import COMMAND, grown, grown_since_table


async def test_no_request_costs_more_than_in_the_table() -> None:
    """A submission, a registration and a cycle of each mode: at most 5 % more instructions."""
    if shutil.which("valgrind") is None:
        if os.environ.get("CI"):
            pytest.fail("valgrind is missing")
        pytest.skip("valgrind is not installed")
    found = grown_since_table((await instruction_counts.measure()).data)
    if found:  # on a machine that stands still at times, something else was counted, too
        found = grown_since_table((await instruction_counts.measure()).data)
    assert not found, "\n".join([*found, f"If that is meant: {COMMAND}"])


def test_what_costs_over_5_percent_more_is_named() -> None:
    """What costs less, or a little more, is not."""
    before = {"InMemory": {"submission": 1.0, "registration": 2.0, "cycle": 5.0}}
    now = {"InMemory": {"submission": 0.5, "registration": 2.09, "cycle": 5.3}}
    assert grown(now, before) == [
        "a cycle in InMemory costs 5.30 bare requests instead of 5.00: +6.0%"
    ]

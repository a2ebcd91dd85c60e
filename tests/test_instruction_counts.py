"""What a request costs in instructions; ``make check`` compares it with benchmarks/'s table."""

from __future__ import annotations

from benchmarks.measure.instruction_counts import grown


def test_what_costs_over_5_percent_more_is_named() -> None:
    """What costs less, or a little more, is not."""
    before = {"submission": 1.0, "registration": 2.0, "cycle": 5.0}
    now = {"submission": 0.5, "registration": 2.09, "cycle": 5.3}
    found = grown({"ratios": {"InMemory": now}}, {"ratios": {"InMemory": before}})
    assert found == ["a cycle in InMemory costs 5.30 bare requests instead of 5.00: +6.0%"]

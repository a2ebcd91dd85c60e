"""What has become faster or slower since an earlier commit.

    git worktree add ../earlier COMMIT
    python -m benchmarks.measure.compare_commits ../earlier [--rounds 9] [--mode CachedJsonFile]

runs both trees' services in one mode at the same time, in turns: submissions, registrations that
take a job, and whole cycles. Ratios are to the earlier tree: above 1 is faster.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import uvloop

from benchmarks.drive import machine
from benchmarks.drive.plan import Plan
from benchmarks.drive.servers import Side, ours
from benchmarks.measure import cycles, depth
from benchmarks.measure.history import say
from benchmarks.report.tables import Report
from sanic_dispatch.config.settings import Mode

MODES = [mode for mode in Mode if mode is not Mode.REDIS]
"""Redis would have to be started first."""


def of_tree(tree: Path, mode: Mode) -> Side:
    """Return the service of another tree, run with this tree's Python and its packages."""
    side = ours(mode)

    def command(folder: Path, port: int) -> Sequence[str]:
        return ["env", f"PYTHONPATH={tree.resolve()}", *side.command(folder, port)]

    return replace(side, name="before", command=command)


async def compare(tree: Path, mode: Mode, rounds: int) -> list[Report]:
    """Measure the services of both trees."""
    sides = [of_tree(tree, mode), replace(ours(mode), name="now")]
    plan = Plan(rounds=rounds, depths=(0,))
    return [await depth.measure(plan, sides), await cycles.measure(plan, sides)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.measure.compare_commits")
    parser.add_argument("tree", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--mode", type=Mode, default=Mode.IN_MEMORY, choices=MODES)
    options = parser.parse_args()
    machine.stay_off_the_servers_core()
    for report in uvloop.run(compare(options.tree, options.mode, options.rounds)):
        say(report.show())


if __name__ == "__main__":
    main()

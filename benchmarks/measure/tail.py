"""What the slowest orders wait for: python -m benchmarks.measure.tail

Latency from order to callback as ``latency.py`` measures it, in longer rounds, of the default mode
as it is, without syncing, and with Python's own thresholds of garbage collection.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.drive import machine
from benchmarks.drive.plan import Plan
from benchmarks.drive.servers import Side, bare_sanic, ours
from benchmarks.measure import latency
from sanic_dispatch import app
from sanic_dispatch.cli.main import main as serve
from sanic_dispatch.config.settings import Mode

PLAN = Plan(rounds=7, seconds=4.0)
DEFAULT = Mode.CACHED_JSON_FILE


def collecting_often(side: Side) -> Side:
    """Return the same service with the thresholds that Python has by default."""

    def command(folder: Path, port: int) -> Sequence[str]:
        python, _, _, *rest = side.command(folder, port)
        return [python, "-m", "benchmarks.measure.tail", *rest]

    return replace(side, name=f"{side.name}, Python's garbage collection", command=command)


def leave_thresholds() -> None:
    """Change nothing, in the place of ``collect_seldom``."""


def main() -> None:
    """Measure all sides in turns."""
    machine.stay_off_the_servers_core()
    unsynced = replace(ours(DEFAULT, "--fsync", "off"), name=f"{DEFAULT}, not synced")
    sides = [bare_sanic(), ours(Mode.IN_MEMORY), ours(DEFAULT), unsynced]
    sides.append(collecting_often(ours(DEFAULT)))
    print(uvloop.run(latency.measure(PLAN, sides)).show())  # noqa: T201


if __name__ == "__main__":
    if sys.argv[1:]:  # it is the service of a side
        service: Any = app
        service.collect_seldom = leave_thresholds
        serve()
    else:
        main()

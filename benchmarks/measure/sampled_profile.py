"""Where the CPU time of whole cycles goes: python -m benchmarks.measure.sampled_profile [MODE]...

The server looks at its own stack after each 4 ms of CPU time. A sample counts for the
innermost function of this project in it, and what that calls of libraries counts with it; what the
thread of the storage uses counts for what the main thread does meanwhile.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

import uvloop

import sanic_dispatch
from benchmarks.drive import machine
from benchmarks.drive.plan import Plan
from benchmarks.drive.servers import Side, ours
from benchmarks.measure import cycles
from benchmarks.report.tables import Report, Table
from sanic_dispatch.cli.main import main as serve
from sanic_dispatch.config.settings import Mode

PLAN = Plan(rounds=16)
EVERY_S = 0.004
START, WRITE = 300, 200
"""How many samples are left out at the start, and after how many more they are written."""

FUNCTIONS = 12
"""Rows of the table of functions."""

PACKAGE = f"{Path(sanic_dispatch.__file__).parent}/"
RESULT = "SAMPLES"
"""The environment variable with the path of the file for the samples."""

NOT_OURS = "the event loop, Sanic"


class Sampler:
    """Counts samples by module and function, once the service has started."""

    def __init__(self, result: Path) -> None:
        self._found: Counter[str] = Counter()
        self._result = result
        self._taken = 0
        signal.signal(signal.SIGPROF, self._sample)
        signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)

    def _sample(self, _: int, frame: FrameType | None) -> None:
        self._taken += 1
        if self._taken > START:
            self._found[name_of(frame)] += 1
        if self._taken % WRITE == 0:  # the service will be killed
            self._result.with_suffix(".new").write_text(json.dumps(self._found))
            self._result.with_suffix(".new").replace(self._result)


def name_of(frame: FrameType | None) -> str:
    """Return module and name of the innermost function of this project in a stack."""
    while frame is not None and not frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    if frame is None:
        return NOT_OURS
    return f"{frame.f_code.co_filename.removeprefix(PACKAGE)} {frame.f_code.co_qualname}"


def sampled(side: Side, result: Path) -> Side:
    """Return the same service, which writes its samples when it stops."""

    def command(folder: Path, port: int) -> list[str]:
        python, _, _, *rest = side.command(folder, port)
        program = [python, "-m", "benchmarks.measure.sampled_profile", *rest]
        return ["env", f"{RESULT}={result}", *program]

    return replace(side, command=command)


def profile(mode: Mode) -> Report:
    """Run whole cycles in a mode, and report where the time went."""
    with TemporaryDirectory() as folder:
        result = Path(folder) / "samples.json"
        uvloop.run(cycles.measure(PLAN, [sampled(ours(mode), result)]))
        return report(mode, Counter(json.loads(result.read_text())))


def report(mode: Mode, found: Counter[str]) -> Report:
    """Report the parts of the package, and the functions with the most samples."""
    parts: Counter[str] = Counter()
    for name, count in found.items():
        parts[name if name == NOT_OURS else part_of(name)] += count
    del found[NOT_OURS]
    tables = [
        Table(["part", "of the CPU time"], shares(parts, parts.total(), None)),
        Table(["function", "of the CPU time"], shares(found, parts.total(), FUNCTIONS)),
    ]
    return Report("profile", f"Whole cycles, {mode}", tables, {})


def part_of(name: str) -> str:
    """Return the folder of the package that a function is in."""
    folder, slash, _ = name.partition("/")
    return f"{folder}/" if slash else "the package's root"


def shares(found: Counter[str], total: int, most: int | None) -> list[list[str]]:
    """Return rows of names and percentages, largest first."""
    return [[name, f"{100 * count / total:.1f} %"] for name, count in found.most_common(most)]


def main(modes: list[Mode]) -> None:
    """Print the profile of each mode."""
    machine.stay_off_the_servers_core()
    for mode in modes:
        print(profile(mode).show(), "\n")  # noqa: T201


if __name__ == "__main__":
    if result := os.environ.get(RESULT):
        Sampler(Path(result))
        serve()
    else:
        main([Mode(name) for name in sys.argv[1:]] or [Mode.IN_MEMORY, Mode.CACHED_JSON_FILE])

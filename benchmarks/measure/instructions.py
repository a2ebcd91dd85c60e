"""Instructions counted by valgrind, where times are too noisy.

Each step, and each request over HTTP, runs a few times and many times; the difference is the cost
of the additional runs. The kernel's work and waiting are not included.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.drive import wire
from benchmarks.drive.load import clients
from benchmarks.drive.plan import Plan
from benchmarks.drive.servers import Server, Side, folder_of_its_own, free_port, listening
from benchmarks.drive.valgrind import require_valgrind, under_valgrind
from benchmarks.measure.cycles import cycle_loads
from benchmarks.report.tables import Report, Table

FEW, MANY = 100, 600
CLIENTS = 16
_REFERENCES = re.compile(r"I\s+refs:\s+([\d,]+)")

Load = Callable[[Server], Awaitable[None]]
"""Sends requests to a server, and returns when they are answered."""


async def measure(_: Plan, sides: Sequence[Side]) -> Report:
    """Measure. Raises ClickException without valgrind."""
    require_valgrind()
    steps = await of_the_steps()
    requests = {side.name: await of_requests(side) for side in sides}
    whole_cycles = {side.name: await of_a_cycle(side) for side in sides}
    floor = next(iter(requests.values()))[0]
    tables = [
        of_a_submission(requests, steps),
        of_a_registration(requests, steps),
        Table(["step", "instructions"], [[name, f"{n / 1e3:,.1f} k"] for name, n in steps.items()]),
        Table(
            ["side", "× first", "a submission", "a submission and a registration"],
            [
                [name, f"{one / floor:.2f}", f"{one / 1e3:,.0f} k", f"{both / 1e3:,.0f} k"]
                for name, (one, both) in requests.items()
            ],
        ),
        Table(
            ["side", "a whole cycle, many at a time"],
            [[name, f"{n / 1e3:,.0f} k"] for name, n in whole_cycles.items()],
        ),
    ]
    data = {"steps": steps, "requests": requests, "cycles": whole_cycles}
    return Report("instructions", "Instructions in user space", tables, data)


Requests = Mapping[str, tuple[float, float]]
"""By side: a submission, and a submission with the registration that takes it."""


def of_a_submission(requests: Requests, steps: Mapping[str, float]) -> Table:
    """Break down a submission of the last side."""
    parts = {
        "the job is taken in": steps["submit"],
        "fold": steps["event and fold"] - steps["event"],
        "log": steps["log"],
        "the rest: HTTP, JSON, tokens, limits, batches, the answer": 0.0,
    }
    one, _ = list(requests.values())[-1]
    return where_they_go("a submission", requests, parts, one)


def of_a_registration(requests: Requests, steps: Mapping[str, float]) -> Table:
    """Break down a registration that takes a job, which is done once the answer is written."""
    made = steps["hand-over"]
    parts = {
        "the job is held, and finished": steps["submit and register"] - steps["submit"],
        "fold, of both events": steps["hand-over and fold"] - made,
        "log, two lines": steps["hand-over and log"] - made,
        "the rest: HTTP, tokens, batches, what is known of the worker, the answer": 0.0,
    }
    one, both = list(requests.values())[-1]
    return where_they_go("a registration", requests, parts, both - one)


def where_they_go(what: str, requests: Requests, parts: dict[str, float], whole: float) -> Table:
    """Tabulate the parts of a request; the last part is the remainder.

    Ratios are to a submission of the first side.
    """
    parts[list(parts)[-1]] = whole - sum(parts.values())
    floor, _ = next(iter(requests.values()))
    rows = [[name, f"{n / floor:.2f}", f"{n / 1e3:,.0f} k"] for name, n in parts.items()]
    return Table([f"part of {what}", f"× {next(iter(requests))}", "instructions"], rows)


async def of_the_steps() -> dict[str, float]:
    """Return the instructions of each step by name."""
    with folder_of_its_own() as folder:
        command = [sys.executable, "-m", "benchmarks.measure.core_steps", str(FEW), str(MANY)]
        said, _ = await asyncio.to_thread(_watched(command, folder).communicate)
        lines = [line.split("\t") for line in said.decode().splitlines()]
        return {
            name: (_counted(folder, int(many)) - _counted(folder, int(few))) / (MANY - FEW)
            for name, few, many in lines
        }


async def of_requests(side: Side) -> tuple[float, float]:
    """Return the instructions of a submission, and of one with its registration."""
    register = wire.order() if side.is_floor else wire.registrations()
    few = await _serving(side, FEW, None)
    many = await _serving(side, MANY, None)
    both = await _serving(side, MANY, register)
    one = (many - few) / (MANY - FEW)
    return one, one + (both - many) / MANY


async def of_a_cycle(side: Side) -> float:
    """Return the instructions of a whole cycle, as ``cycles`` runs them; the same within 1 %.

    The first run of a tree compiles it: run it once before.
    """
    few, many = [await _counted_while(side, _cycles(count)) for count in (FEW, MANY)]
    return (many - few) / (MANY - FEW)


def _cycles(count: int) -> Load:
    """Return a load of so many cycles."""

    async def load(server: Server) -> None:
        async with cycle_loads([server]) as (load,):
            await load.run(count)

    return load


async def _serving(side: Side, count: int, after: Callable[[], bytes] | None) -> int:
    async def load(server: Server) -> None:
        async with clients(server, CLIENTS) as crowd:
            await crowd.send(wire.order(), count=count)
            if after:
                await crowd.send(after, count=count)

    return await _counted_while(side, load)


async def _counted_while(side: Side, load: Load) -> int:
    """Return the instructions of a server from its start to its stop, with a load between."""
    with folder_of_its_own() as folder:
        port = free_port()
        process = _watched(side.command(folder, port), folder)
        try:
            server = Server(side, "127.0.0.1", port, folder, process)
            await listening(server)
            await load(server)
            process.terminate()
            await asyncio.to_thread(process.wait)
        finally:
            process.kill()
        return _counted(folder, process.pid)


def _watched(command: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
    options = ["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    return under_valgrind(options, command, folder)


def _counted(folder: Path, process: int) -> int:
    found = _REFERENCES.search((folder / f"{process}.log").read_text())
    assert found
    return int(found[1].replace(",", ""))

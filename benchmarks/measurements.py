"""All measurements by name, and the sides that each of them compares."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from benchmarks.drive.plan import Plan
from benchmarks.drive.servers import ORIGINAL_MODES, Side, bare_sanic, original, ours, running
from benchmarks.measure import (
    connected,
    crowd,
    cycles,
    depth,
    eta,
    evening,
    fanout,
    faults,
    fsync,
    instructions,
    latency,
    memory,
    module_changes,
    replay,
    restart,
    rules,
    sharing,
    storage,
    tuning,
    webhooks,
)
from benchmarks.report.tables import Report
from sanic_dispatch.config.settings import Mode

Measure = Callable[[Plan, Sequence[Side]], Awaitable[Report]]

KEYED_DEPTH = 1_000


class Measurement(NamedTuple):
    """A measurement and its sides; one without modes starts no server."""

    measure: Measure
    modes: Sequence[Mode] = ()
    original_modes: Sequence[str] = ()
    has_floor: bool = False
    flags: Sequence[str] = ()
    """Extra options of our own server."""


async def keyed(plan: Plan, sides: Sequence[Side]) -> Report:
    """Measure registrations of workers with a key, at one depth."""
    at = max((d for d in plan.depths if d <= KEYED_DEPTH), default=KEYED_DEPTH)
    return await depth.measure(replace(plan, depths=(at,)), sides, keyed=True)


_CACHED = Mode.CACHED_JSON_FILE
_ALONE = tuple(mode for mode in Mode if not mode.is_shared)
"""The modes that need no server beside them; Redis has a measurement of its own."""
_DURABLE = [mode for mode in _ALONE if mode.is_durable]
_USUAL = (Mode.IN_MEMORY, _CACHED, Mode.SQLITE)
_BOTH = ("InMemory", "CachedJsonFile")

MEASUREMENTS: dict[str, Measurement] = {
    "fsync": Measurement(fsync.measure),
    "depth": Measurement(depth.measure, _ALONE, ORIGINAL_MODES, has_floor=True),
    "keyed": Measurement(keyed, _USUAL, _BOTH, has_floor=True),
    "rules": Measurement(rules.measure, (Mode.IN_MEMORY,)),
    "latency": Measurement(latency.measure, _USUAL, _BOTH, has_floor=True),
    "cycles": Measurement(cycles.measure, _USUAL, _BOTH, has_floor=True),
    "faults": Measurement(
        faults.measure,
        (Mode.IN_MEMORY, _CACHED),
        ("CachedJsonFile",),
        flags=("--callback-timeout", f"{faults.CALLBACK_TIMEOUT_S:.0f}"),
    ),
    "fanout": Measurement(fanout.measure),
    "crowd": Measurement(crowd.measure, (Mode.IN_MEMORY,)),
    "webhooks": Measurement(webhooks.measure, (_CACHED,), flags=("--allow-webhook", "127.0.0.0/8")),
    "connected": Measurement(connected.measure, (Mode.IN_MEMORY,)),
    "memory": Measurement(memory.measure, _USUAL, _BOTH),
    "restart": Measurement(restart.measure, _DURABLE, ("CachedJsonFile",)),
    "evening": Measurement(evening.measure, (_CACHED,)),
    "storage": Measurement(storage.measure),
    "sharing": Measurement(sharing.measure),
    "eta": Measurement(eta.measure),
    "tuning": Measurement(tuning.measure),
    "replay": Measurement(replay.measure),
    "modules": Measurement(module_changes.measure),
    "instructions": Measurement(instructions.measure, (Mode.IN_MEMORY,), has_floor=True),
}


def runner(
    name: str, plan: Plan, program: str | None, urls: Sequence[str], *, only_urls: bool = False
) -> partial[Awaitable[Report]]:
    """Return the measurement of this name with its arguments bound."""
    measurement = MEASUREMENTS[name]
    sides = [] if only_urls else sides_of(measurement, program)
    if measurement.modes:
        sides += map(running, urls)
    return partial(measurement.measure, plan, sides)


def sides_of(measurement: Measurement, program: str | None) -> list[Side]:
    """Return the sides to start: the floor, then ours, then the original."""
    sides = [bare_sanic()] if measurement.has_floor else []
    sides += [ours(mode, *measurement.flags) for mode in measurement.modes]
    if program:
        sides += [original(program, mode) for mode in measurement.original_modes]
    return sides

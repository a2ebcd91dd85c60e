"""Orders and workers at a queue that is so deep: submissions/s with nobody waiting, and
registrations/s that take as many out again.

All sides run at the same time and take turns, one short round each, so that they see the same
machine. A round of submissions is followed by as many registrations: the depth stays what it is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from benchmarks.drive import wire
from benchmarks.drive.load import Clients, Round, clients
from benchmarks.drive.plan import Plan
from benchmarks.drive.servers import Server, Side, all_started
from benchmarks.report.figures import Figure, ratio, share
from benchmarks.report.tables import Report, Table

CLIENTS = 64
ROBOTS = 64
"""How many process instances register in turn, where workers have a key."""

Rounds = dict[str, list[Round]]
"""By side."""


@dataclass
class Seat:
    """A side that runs, with its clients and the workers that ask it."""

    server: Server
    clients: Clients
    register: Callable[[], bytes]

    @property
    def is_floor(self) -> bool:
        """A floor has one handler for everything."""
        return self.server.side.is_floor


async def measure(plan: Plan, sides: Sequence[Side], *, keyed: bool = False) -> Report:
    """The tables at all depths; the floor, if there is one, is the first side."""
    submitted: dict[int, Rounds] = {}
    registered: dict[int, Rounds] = {}
    for depth in plan.depths:
        there = [side for side in sides if depth <= plan.deepest(side)]
        async with all_started(there, depth) as servers, seated(servers, keyed) as seats:
            for seat in seats:
                await fill(seat, depth)
            submitted[depth], registered[depth] = await take_turns(plan, seats)
    return report(submitted, registered, keyed=keyed)


@asynccontextmanager
async def seated(servers: Sequence[Server], keyed: bool) -> AsyncIterator[list[Seat]]:
    """Clients for all."""
    async with AsyncExitStack() as stack:
        seats = []
        for server in servers:
            register = wire.keyed_registrations(ROBOTS) if keyed else wire.registrations()
            if server.side.is_floor:
                register = wire.order()
            crowd = await stack.enter_async_context(clients(server, CLIENTS))
            seats.append(Seat(server, crowd, register))
        yield seats


async def fill(seat: Seat, depth: int) -> None:
    """What has no files gets its queue over HTTP."""
    if depth and not seat.is_floor and not seat.server.side.is_kept:
        await seat.clients.send(wire.order(), count=depth)


async def take_turns(plan: Plan, seats: Sequence[Seat]) -> tuple[Rounds, Rounds]:
    """Submissions, and the registrations after them; the first round warms up."""
    submitted: Rounds = defaultdict(list)
    registered: Rounds = defaultdict(list)
    for number in range(plan.rounds + 1):
        for seat in seats:
            came = await seat.clients.send(wire.order(), seconds=plan.seconds)
            went = await seat.clients.send(seat.register, count=came.done)
            if number:
                submitted[seat.server.name].append(came)
                registered[seat.server.name].append(went)
    return submitted, registered


def report(submitted: dict[int, Rounds], registered: dict[int, Rounds], *, keyed: bool) -> Report:
    """Two tables for each depth."""
    who = "workers with a key" if keyed else "workers without a key"
    tables = []
    for depth in submitted:
        tables.append(table(f"Submissions, nobody waits, {depth:,} deep", submitted[depth]))
        if depth or not keyed:
            tables.append(table(f"Registrations, {who}, {depth:,} deep", registered[depth]))
    data = {
        "submissions": {str(depth): numbers(rounds) for depth, rounds in submitted.items()},
        "registrations": {str(depth): numbers(rounds) for depth, rounds in registered.items()},
    }
    title = f"{CLIENTS} clients at a time, {who}"
    return Report("depth-keyed" if keyed else "depth", title, tables, data)


def table(title: str, rounds: Rounds) -> Table:
    """One row a side; ratios to the first."""
    first = next(iter(rounds))
    heads = [
        "side", f"× {first}", "CPU each", f"× {first}", "per second", "p50", "p99", "load's core",
    ]  # fmt: skip
    return Table(heads, [row(taken, rounds[first], name) for name, taken in rounds.items()], title)


def row(taken: Sequence[Round], first: Sequence[Round], name: str) -> list[str]:
    """A side's medians over its rounds."""
    latencies_ms = [s * 1e3 for each in taken for s in each.latencies_s]
    return [
        name,
        ratio([r.per_s for r in taken], [r.per_s for r in first]).show(2),
        *costs([r.server_us for r in taken], [r.server_us for r in first]),
        Figure.of([r.per_s for r in taken]).show(),
        f"{share(latencies_ms, 0.5):.1f} ms",
        f"{share(latencies_ms, 0.99):.1f} ms",
        f"{100 * max(r.load_share for r in taken):.0f} %",
    ]


def costs(mine: Sequence[float], first: Sequence[float]) -> list[str]:
    """Processor time, and its ratio; of a server that somebody else started neither is known."""
    each = f"{Figure.of(mine).median:.0f} µs" if all(mine) else "unknown"
    return [each, ratio(mine, first).show(2) if all((*mine, *first)) else "unknown"]


def numbers(rounds: Rounds) -> dict[str, dict[str, list[float] | dict[int, int]]]:
    """For programs."""
    return {
        name: {
            "per_s": [r.per_s for r in taken],
            "server_us": [r.server_us for r in taken],
            "p50_ms": [share(r.latencies_s, 0.5) * 1e3 for r in taken],
            "p99_ms": [share(r.latencies_s, 0.99) * 1e3 for r in taken],
            "statuses": dict(sum((r.statuses for r in taken[1:]), taken[0].statuses)),
        }
        for name, taken in rounds.items()
    }

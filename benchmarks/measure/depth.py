"""Throughput at a given depth of the queue: submissions/s with no worker waiting, and
registrations/s that take as many jobs out again.

All sides run at the same time and take turns, one short round each, so that they see the same
machine. Each round of submissions is followed by as many registrations, so the depth stays.
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
from benchmarks.report.figures import Figure, quantile, ratio
from benchmarks.report.tables import Report, Table

CLIENTS = 64
ROBOTS = 64
"""Number of process instances that register in turn if workers have a key."""

Rounds = dict[str, list[Round]]
"""Rounds by side."""


@dataclass
class LoadedServer:
    """A running side with its clients and the requests to send."""

    server: Server
    clients: Clients
    submit: Callable[[], bytes]
    register: Callable[[], bytes]

    @property
    def is_floor(self) -> bool:
        """Whether it is a floor, which handles every request the same way."""
        return self.server.side.is_floor


async def measure(plan: Plan, sides: Sequence[Side], *, keyed: bool = False) -> Report:
    """Measure at all depths; the floor, if any, is the first side."""
    submitted: dict[int, Rounds] = {}
    registered: dict[int, Rounds] = {}
    for depth in plan.depths:
        deep_enough = [side for side in sides if depth <= plan.deepest(side)]
        async with (
            all_started(deep_enough, depth) as servers,
            with_clients(servers, keyed) as loaded,
        ):
            for one in loaded:
                await fill(one, depth)
            submitted[depth], registered[depth] = await take_turns(plan, loaded)
    return report(submitted, registered, keyed=keyed)


@asynccontextmanager
async def with_clients(servers: Sequence[Server], keyed: bool) -> AsyncIterator[list[LoadedServer]]:
    """Connect clients to each server."""
    async with AsyncExitStack() as stack:
        loaded = []
        for server in servers:
            register = wire.keyed_registrations(ROBOTS) if keyed else wire.registrations()
            if server.side.is_floor:
                register = wire.order()
            crowd = await stack.enter_async_context(clients(server, CLIENTS))
            loaded.append(LoadedServer(server, crowd, wire.order(), register))
        yield loaded


async def fill(one: LoadedServer, depth: int) -> None:
    """Submit ``depth`` jobs over HTTP; ``all_started`` has filled sides that are kept in files."""
    if depth and not one.is_floor and not one.server.side.is_kept:
        await one.clients.send(one.submit, count=depth)


async def take_turns(plan: Plan, loaded: Sequence[LoadedServer]) -> tuple[Rounds, Rounds]:
    """Run rounds of submissions and then registrations; the first round warms up."""
    submitted: Rounds = defaultdict(list)
    registered: Rounds = defaultdict(list)
    for number in range(plan.rounds + 1):
        for one in loaded:
            submissions = await one.clients.send(one.submit, seconds=plan.seconds)
            registrations = await one.clients.send(one.register, count=submissions.done)
            if number:
                submitted[one.server.name].append(submissions)
                registered[one.server.name].append(registrations)
    return submitted, registered


def report(submitted: dict[int, Rounds], registered: dict[int, Rounds], *, keyed: bool) -> Report:
    """Report two tables per depth."""
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
    """Return one row per side, with ratios to the first."""
    first = next(iter(rounds))
    heads = [
        "side", f"× {first}", "CPU each", f"× {first}", "per second", "p50", "p99", "load's core",
    ]  # fmt: skip
    return Table(heads, [row(taken, rounds[first], name) for name, taken in rounds.items()], title)


def row(taken: Sequence[Round], first: Sequence[Round], name: str) -> list[str]:
    """Return a side's medians over its rounds."""
    latencies_ms = [s * 1e3 for each in taken for s in each.latencies_s]
    return [
        name,
        ratio([r.per_s for r in taken], [r.per_s for r in first]).show(2),
        *costs([r.server_us for r in taken], [r.server_us for r in first]),
        Figure.of([r.per_s for r in taken]).show(),
        f"{quantile(latencies_ms, 0.5):.1f} ms",
        f"{quantile(latencies_ms, 0.99):.1f} ms",
        f"{100 * max(r.load_share for r in taken):.0f} %",
    ]


def costs(mine: Sequence[float], first: Sequence[float]) -> list[str]:
    """Return CPU time and its ratio, "unknown" for a server that was started elsewhere."""
    each = f"{Figure.of(mine).median:.0f} µs" if all(mine) else "unknown"
    return [each, ratio(mine, first).show(2) if all((*mine, *first)) else "unknown"]


def numbers(rounds: Rounds) -> dict[str, dict[str, list[float] | dict[int, int]]]:
    """Return the numbers as JSON."""
    return {
        name: {
            "per_s": [r.per_s for r in taken],
            "server_us": [r.server_us for r in taken],
            "p50_ms": [quantile(r.latencies_s, 0.5) * 1e3 for r in taken],
            "p99_ms": [quantile(r.latencies_s, 0.99) * 1e3 for r in taken],
            "statuses": dict(sum((r.statuses for r in taken[1:]), taken[0].statuses)),
        }
        for name, taken in rounds.items()
    }

"""What rules cost: robots that take anything beside robots of twenty rules, at the same depths.

Both sides get the same orders, for twenty drinks in turn, and registrations of the same robots in
turn, each of which ends the robot's last job and takes the next one. So all robots hold a job, all
rules are present, and nobody waits. Each rule names two drinks, so that an order has two kinds of
robots.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from itertools import chain, cycle

import click

from benchmarks.drive import wire
from benchmarks.drive.load import ask, clients, connect
from benchmarks.drive.plan import Plan
from benchmarks.drive.servers import Server, Side, all_started
from benchmarks.measure.depth import CLIENTS, LoadedServer, Rounds, numbers, table, take_turns
from benchmarks.report.tables import Report

DRINKS = 20
ROBOTS = 6 * DRINKS
"""Enough of them that no robot registers again before its last answer has come."""

LEAST = 10 * DRINKS
"""The least depth: with fewer orders a robot may find none for it. A new rule is matched
against so short a line at once."""

WITHOUT, WITH = "anything", f"{DRINKS} rules"

TAKEN_IN, JOB_GIVEN = 202, 200
"""The statuses of an order that waits, and of a registration that takes one."""


async def measure(plan: Plan, sides: Sequence[Side]) -> Report:
    """Measure submissions and registrations of both sides, at the least and the greatest depth.

    Raises ClickException if not every registration took a job.
    """
    named = [replace(sides[0], name=name, is_kept=False) for name in (WITHOUT, WITH)]
    tables, data = [], {}
    for depth in sorted({max(LEAST, of(plan.depths)) for of in (min, max)}):
        async with all_started(named) as servers, with_robots(servers) as loaded:
            for one in loaded:
                await fill(one, depth)
            submitted, registered = await take_turns(plan, loaded)
            for one in loaded:
                await check(one.server, depth, submitted, registered)
        tables.append(table(f"Submissions, nobody waits, {depth:,} deep", submitted))
        tables.append(table(f"Registrations, {depth:,} deep", registered))
        data[str(depth)] = {"submissions": numbers(submitted), "registrations": numbers(registered)}
    title = f"{CLIENTS} clients at a time, {ROBOTS} robots with a key, {sides[0].name}"
    return Report("rules", title, tables, data)


@asynccontextmanager
async def with_robots(servers: Sequence[Server]) -> AsyncIterator[list[LoadedServer]]:
    """Connect clients to each server; robots have rules where the server's name says so."""
    two_each = [f"match.drink=drink%20{n}|drink%20{(n + 7) % DRINKS}" for n in range(DRINKS)]
    async with AsyncExitStack() as stack:
        loaded = []
        for server in servers:
            rules = two_each if server.name == WITH else [""]
            register = wire.keyed_registrations(ROBOTS, rules=rules)
            crowd = await stack.enter_async_context(clients(server, CLIENTS))
            loaded.append(LoadedServer(server, crowd, orders(), register))
        yield loaded


def orders() -> Callable[[], bytes]:
    """Return a function that returns orders for each drink in turn."""
    drinks = range(DRINKS)
    bodies = (b'{"drink": "drink %d", "name": "Ada Lovelace", "logo": "lion"}' % n for n in drinks)
    requests = cycle([wire.post("submit-job", body) for body in bodies])
    return lambda: next(requests)


async def fill(one: LoadedServer, depth: int) -> None:
    """Let each robot take an order while the line is short, and then fill it up to ``depth``."""
    await one.clients.send(one.submit, count=LEAST)
    await one.clients.send(one.register, count=ROBOTS)
    await one.clients.send(one.submit, count=depth - LEAST + ROBOTS)


async def check(server: Server, depth: int, submitted: Rounds, registered: Rounds) -> None:
    """Check that every order waited and every registration took a job; raise ClickException if not.

    A registration may also be answered because it repeats an earlier one, or with 202 while its
    rule is being matched against the waiting orders. Then more orders wait than before, or not all
    robots hold one.
    """
    rounds = {"submissions": submitted[server.name], "registrations": registered[server.name]}
    found = {
        **{
            what: sorted({*chain(*(each.statuses for each in taken))})
            for what, taken in rounds.items()
        },
        **await gauges(server, 'jobs{state="waiting"}', 'workers{state="assigned"}'),
    }
    wanted = dict(zip(found, ([TAKEN_IN], [JOB_GIVEN], depth, ROBOTS), strict=True))
    if found != wanted:
        raise click.ClickException(f"{server.name}: {found} instead of {wanted}")


async def gauges(server: Server, *names: str) -> dict[str, int]:
    """Return some of the server's metrics by name."""
    connection = await connect(server)
    answer = await ask(connection, wire.get("metrics"))
    connection.close()
    lines = (line.rpartition(" ") for line in answer.decode().splitlines())
    values = {name.removeprefix("dispatch_"): value for name, _, value in lines}
    return {name: int(float(values[name])) for name in names}

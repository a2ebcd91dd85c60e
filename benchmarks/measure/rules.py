"""What rules cost: workers that take anything beside workers of twenty rules, at the same depths.

Both sides get the same orders, for twenty drinks in turn. Each rule names two drinks, so that an
order has two kinds of workers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count, cycle

from benchmarks.drive import wire
from benchmarks.drive.load import Round, clients
from benchmarks.drive.plan import Plan
from benchmarks.drive.servers import Server, Side, all_started
from benchmarks.measure.depth import CLIENTS, Rounds, numbers, table
from benchmarks.report.tables import Report

DRINKS = 20
WITHOUT, WITH = "anything", f"{DRINKS} rules"

Build = Callable[[], bytes]


def orders() -> Build:
    """Return a function that returns orders for each drink in turn."""
    drinks = range(DRINKS)
    bodies = (b'{"drink": "drink %d", "name": "Ada Lovelace", "logo": "lion"}' % n for n in drinks)
    requests = cycle([wire.post("submit-job", body) for body in bodies])
    return lambda: next(requests)


def registrations(*, with_rules: bool) -> Build:
    """Return a function that builds registrations without a key, of each rule in turn."""
    numbers = count()

    def build() -> bytes:
        number = next(numbers)
        drinks = f"drink%20{number % DRINKS}|drink%20{(number + 7) % DRINKS}"
        query = f"?match.drink={drinks}" if with_rules else ""
        callback = f"CPEE-CALLBACK: http://127.0.0.1:9/callbacks/{number:032x}/\r\n"
        return wire.post(f"register-worker{query}", headers=callback)

    return build


async def measure(plan: Plan, sides: Sequence[Side]) -> Report:
    """Measure submissions and registrations of both sides, at the least and the greatest depth."""
    named = [replace(sides[0], name=name, is_kept=False) for name in (WITHOUT, WITH)]
    tables, data = [], {}
    for depth in (min(plan.depths), max(plan.depths)):
        async with all_started(named) as servers:
            submitted, registered = await _take_turns(plan, servers, depth)
        tables.append(table(f"Submissions, nobody waits, {depth:,} deep", submitted))
        tables.append(table(f"Registrations, {depth:,} deep", registered))
        data[str(depth)] = {"submissions": numbers(submitted), "registrations": numbers(registered)}
    return Report("rules", f"{CLIENTS} clients at a time, {sides[0].name}", tables, data)


async def _take_turns(plan: Plan, servers: Sequence[Server], depth: int) -> tuple[Rounds, Rounds]:
    """Run rounds on both sides; the first warms up."""
    submitted: Rounds = defaultdict(list)
    registered: Rounds = defaultdict(list)
    for number in range(plan.rounds + 1):
        for server in servers:
            register = registrations(with_rules=server.name == WITH)
            async with clients(server, CLIENTS) as crowd:
                if not number:
                    await crowd.send(orders(), count=DRINKS)
                    await crowd.send(register, count=DRINKS)  # so that all rules are known
                    await crowd.send(orders(), count=depth)
                out = await crowd.send(orders(), seconds=plan.seconds)
                back: Round = await crowd.send(register, count=out.done)
            if number:
                submitted[server.name].append(out)
                registered[server.name].append(back)
    return submitted, registered

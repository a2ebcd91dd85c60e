"""Latency from order to worker, with thousands that wait: by a PUT to a callback, or a websocket.

The same server runs twice, with as many workers in its line. Orders come at a fixed rate, at one
server and the other in turns; each worker that has taken one stands in the line again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from benchmarks.drive import wire
from benchmarks.drive.load import Pool, clients
from benchmarks.drive.plan import Plan
from benchmarks.drive.robots import Took, robots
from benchmarks.drive.servers import Server, Side, all_started
from benchmarks.drive.tablets import tablets
from benchmarks.measure.depth import CLIENTS
from benchmarks.measure.latency import CONNECTIONS, LatencyLoad, LatencyRound
from benchmarks.report.figures import Figure, quantile, ratio
from benchmarks.report.tables import Report, Table
from sanic_dispatch.server.sockets import allow_open_files

CALLBACK, WEBSOCKET = "callback", "websocket"
SECONDS_MORE = 5
"""Multiplies the seconds of a round."""

Workers = Callable[[Server, int, Took], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def callbacks(server: Server, count: int, took: Took) -> AsyncIterator[None]:
    """Have ``count`` workers with callbacks wait, in one line."""
    pool = Pool(server)
    await pool.open(CONNECTIONS)

    def take(number: int, at_s: float) -> None:
        if number:  # else the service only asks whether the callback waits
            took(number, at_s)
            pool.ask(registration(), lambda _: None)

    async with robots(server, 0, take) as crew, clients(server, CLIENTS) as crowd:
        registration = wire.registrations(crew.host)
        await crowd.send(registration, count=count)
        yield
        pool.close()


LINES: dict[str, Workers] = {CALLBACK: callbacks, WEBSOCKET: tablets}


async def measure(plan: Plan, sides: Sequence[Side]) -> Report:
    """Measure the side that is started here, once for each kind of worker."""
    allow_open_files()
    mine = [side for side in sides if not side.url]
    return report(plan, await measure_both(plan, mine) if mine else {})


async def measure_both(plan: Plan, sides: Sequence[Side]) -> dict[str, list[LatencyRound]]:
    """Run all rounds, at both servers in turns; the first ones warm up."""
    taken: dict[str, list[LatencyRound]] = {name: [] for name in LINES}
    async with all_started([*sides, *sides]) as servers, AsyncExitStack() as stack:
        loads = []
        for server, workers in zip(servers, LINES.values(), strict=True):
            load = LatencyLoad(server, Pool(server))
            await load.pool.open(CONNECTIONS)
            stack.callback(load.pool.close)
            await stack.enter_async_context(workers(server, plan.crowd, load.taken_by_robot))
            loads.append(load)
        for number in range(plan.rounds + 1):
            for rounds, load in zip(taken.values(), loads, strict=True):
                one = await load.round(plan.per_s, plan.seconds * SECONDS_MORE)
                if number:
                    rounds.append(one)
    return taken


def report(plan: Plan, taken: dict[str, list[LatencyRound]]) -> Report:
    """Report the ratios to callbacks by round."""
    rows, data = [], {}
    of_callbacks = [quantile(one.latencies_ms, 0.5) for one in taken.get(CALLBACK, ())]
    for name, rounds in taken.items():
        p50, p99 = ([quantile(one.latencies_ms, share) for one in rounds] for share in (0.5, 0.99))
        missing = [one.missing for one in rounds]
        data[name] = {"p50_ms": p50, "p99_ms": p99, "missing": missing}
        ratios = ratio(p50, of_callbacks).show(2)
        figures = (f"{Figure.of(p50).show(2)} ms", f"{Figure.of(p99).show(1)} ms")
        rows.append([name, ratios, *figures, str(sum(missing))])
    heads = ["workers with a", "p50 × callback's", "p50", "p99", "never came"]
    title = f"{plan.per_s:.0f} orders/s at fixed times, {plan.crowd:,} workers wait"
    return Report("connected", title, [Table(heads, rows)], data)

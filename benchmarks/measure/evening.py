"""A mixed evening: phones that order and follow, a few robots, a wall board and a monitor at once.

A phone orders, follows its order over the live channel until it is ready, and leaves. The lag runs
from the robot's next registration to the frame on the phone that says the order is done.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field

from benchmarks.drive import wire
from benchmarks.drive.load import ask, connect, status_of
from benchmarks.drive.plan import Plan
from benchmarks.drive.robots import robots
from benchmarks.drive.servers import TOKEN, Server, Side, started
from benchmarks.drive.subscribers import Subscriber, subscribers
from benchmarks.report.figures import quantile
from benchmarks.report.tables import Report, Table

ROBOTS = 5
SERVICE_S = 0.2
COME_S = 10.0
"""Time over which 200 phones come: as fast as the robots can serve them."""
EVENING_TIMEOUT_S = 60.0
DONE = b'"state":"done"'


@dataclass
class Seen:
    """The results of an evening."""

    answers_ms: list[float] = field(default_factory=list)
    lags_ms: list[float] = field(default_factory=list)
    done_s: dict[int, float] = field(default_factory=dict)
    took_s: float = 0.0
    server_s: float = 0.0
    rss: int = 0

    def done(self, number: int) -> None:
        """Note that a robot finished an order."""
        self.done_s[number] = time.perf_counter()


class Phone(Subscriber):
    """Notes when it is told that its order is done."""

    def __init__(self) -> None:
        super().__init__()
        self.done: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if DONE in data and not self.done.done():
            self.done.set_result(time.perf_counter())


async def measure(plan: Plan, sides: Sequence[Side]) -> Report:
    """Measure; only this project has a live channel."""
    mine = [side for side in sides if not side.name.startswith("original") and not side.url]
    seen = {side.name: await evening(side, plan.phones) for side in mine}
    rows = [
        [
            name,
            f"{quantile(one.answers_ms, 0.5):.1f} ms",
            f"{quantile(one.answers_ms, 0.99):.1f} ms",
            f"{quantile(one.lags_ms, 0.5):.1f} ms",
            f"{quantile(one.lags_ms, 0.99):.1f} ms",
            f"{100 * one.server_s / one.took_s:.0f} %",
            f"{one.rss / 2**20:.0f} MiB",
            f"{len(one.lags_ms)} of {plan.phones}",
        ]
        for name, one in seen.items()
    ]
    heads = [
        "mode", "answer to an order p50", "p99", "lag of a phone p50", "p99", "server's core",
        "memory", "served",
    ]  # fmt: skip
    title = (
        f"{plan.phones} phones, {ROBOTS} robots of {SERVICE_S} s an order, a wall board, a monitor"
    )
    data = {name: {"answers_ms": s.answers_ms, "lags_ms": s.lags_ms} for name, s in seen.items()}
    return Report("evening", title, [Table(heads, rows)], data)


async def evening(side: Side, phones: int) -> Seen:
    """Run from the first guest to the last drink."""
    seen, dice = Seen(), random.Random(1)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(started(side))
        crew = await stack.enter_async_context(
            robots(server, ROBOTS, lambda *_: None, service_s=SERVICE_S)
        )
        crew.done = seen.done
        await stack.enter_async_context(subscribers(server, 1))
        await stack.enter_async_context(subscribers(server, 1, f"live?view=monitor&token={TOKEN}"))
        began_s, server_s = time.perf_counter(), server.cpu_s()
        comes_s = [dice.uniform(0, COME_S * phones / 200) for _ in range(phones)]
        with suppress(TimeoutError):
            async with asyncio.timeout(EVENING_TIMEOUT_S):
                await asyncio.gather(
                    *(phone(server, seen, number + 1, at) for number, at in enumerate(comes_s))
                )
        seen.took_s = time.perf_counter() - began_s
        seen.server_s, seen.rss = server.cpu_s() - server_s, server.rss()
    return seen


async def phone(server: Server, seen: Seen, number: int, comes_s: float) -> None:
    """Order as one guest, and follow the order."""
    await asyncio.sleep(comes_s)
    connection = await connect(server)
    sent_s = time.perf_counter()
    answer = await ask(connection, _order(number))
    seen.answers_ms.append((time.perf_counter() - sent_s) * 1e3)
    connection.close()
    assert status_of(answer) in (200, 202)
    loop = asyncio.get_running_loop()
    _, follower = await loop.create_connection(Phone, server.host, server.port)
    follower.join(f"live?order={_order_id(answer)}")
    told_s = await follower.done
    follower.leave()
    seen.lags_ms.append(max(told_s - seen.done_s[number], 0.0) * 1e3)


def _order(number: int) -> bytes:
    body = b'{"drink": "mojito", "name": "Ada Lovelace", "logo": "lion", "n": %d}' % number
    return wire.post("submit-job", body, f"Idempotency-Key: evening-{number}\r\n")


def _order_id(answer: bytes) -> str:
    found = re.search(rb"\r\nlocation: *jobs/(\w+)", answer, re.IGNORECASE)
    assert found
    return found[1].decode()

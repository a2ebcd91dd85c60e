"""Webhooks: how soon a thousand endpoints hear of an event, and what that costs orders.

The same server runs twice, without webhooks and with a thousand, of which a fifth never answers,
fails, answers after seconds, or is not there. Every so often an operator pauses or resumes, which
all of them are told, so that there are some 100 messages a second. That is the worst way to have
so many: they come at once. Delays of the others count from the time of the event. Orders come at a
fixed rate, at one server and the other in turns; no endpoint is told of them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime

import aiohttp
import ujson

from benchmarks.drive.plan import Plan
from benchmarks.drive.servers import TOKEN, Server, Side, all_started
from benchmarks.measure.crowd import PAUSE_S, SECONDS_MORE, Customers, compared, connected
from benchmarks.report.figures import Figure, quantile
from benchmarks.report.tables import Report, Table
from sanic_dispatch.server.sockets import allow_open_files

PER_S = 100
"""Messages a second, to all endpoints together."""

SLOW_S = 4.0
"""How long a slow endpoint takes to answer."""

BAD = ("hangs", "fails", "slow", "dead")
"""Each fifth endpoint is one of these, in turns."""

TELL_S = 10.0
"""How long to wait for the last message of a round."""

_ANSWERS = {"fails": b"HTTP/1.1 500 Failed\r\nContent-Length: 0\r\n\r\n"}
_OK = b"HTTP/1.1 204 No Content\r\n\r\n"


class Till:
    """The receiver of all endpoints; seconds after the event, of messages to good ones."""

    def __init__(self) -> None:
        self.delays_s: list[float] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await self._answer_one(reader, writer)

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        body, what = await reader.readexactly(length), head.split()[1].decode().strip("/")
        if what == "hangs":
            await reader.read()
        if what == "slow":
            await asyncio.sleep(SLOW_S)
        if what == "good":
            at = datetime.fromisoformat(ujson.loads(body)["timestamp"])
            self.delays_s.append(time.time() - at.timestamp())
        writer.write(_ANSWERS.get(what, _OK))
        await writer.drain()


@asynccontextmanager
async def open_till() -> AsyncIterator[Till]:
    """Run the receiver on a free port."""
    till = Till()
    server = await asyncio.start_server(till.serve, "127.0.0.1", 0, backlog=4096)
    till.port = server.sockets[0].getsockname()[1]
    yield till
    server.close()


async def measure(plan: Plan, sides: Sequence[Side]) -> Report:
    """Measure one side, which is started twice."""
    allow_open_files()
    good, delays_s = plan.webhooks - plan.webhooks // 5, []
    async with (
        all_started([*sides, *sides]) as (alone, telling),
        open_till() as till,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as operator,
    ):
        await add_all(operator, telling, till, plan.webhooks)
        none = Customers("nobody", await connected(alone))
        both = none, Customers(f"{plan.webhooks:,}", await connected(telling))
        for number in range(plan.rounds + 1):
            await none.order(plan.per_s, plan.seconds * SECONDS_MORE)
            till.delays_s = []
            orders = asyncio.create_task(both[1].order(plan.per_s, plan.seconds * SECONDS_MORE))
            await asyncio.sleep(PAUSE_S)
            act = "resume" if number % 2 else "pause"
            async with operator.post(f"{telling.base_url}operator/{act}", json={}) as answer:
                answer.raise_for_status()
            await asyncio.gather(orders, told(till, good), asyncio.sleep(good / PER_S))
            delays_s.append(till.delays_s)
        for customers in both:
            customers.pool.close()
    return report(plan, delays_s[1:], both)


async def add_all(operator: aiohttp.ClientSession, server: Server, till: Till, count: int) -> None:
    """Add the endpoints."""
    for number in range(count):
        what = "good" if number % 5 else BAD[number // 5 % len(BAD)]
        port = 9 if what == "dead" else till.port
        entry = {"url": f"http://127.0.0.1:{port}/{what}", "events": ["dispatch.*"]}
        url = f"{server.base_url}operator/webhooks"
        async with operator.post(url, json=entry) as answer:
            answer.raise_for_status()


async def told(till: Till, count: int) -> None:
    """Wait until so many messages have come, or for TELL_S."""
    with suppress(TimeoutError):
        async with asyncio.timeout(TELL_S):
            while len(till.delays_s) < count:  # noqa: ASYNC110 - they come from sockets
                await asyncio.sleep(0.01)


def report(plan: Plan, delays_s: Sequence[Sequence[float]], both: Sequence[Customers]) -> Report:
    """Report the delays of messages, and the answers to orders; the first round warms up."""
    p50_s, p99_s = ([quantile(delays, share) for delays in delays_s] for share in (0.5, 0.99))
    good = plan.webhooks - plan.webhooks // 5
    missing = sum(good - len(delays) for delays in delays_s)
    row = [f"{plan.webhooks:,}", *(f"{Figure.of(each).show(2)} s" for each in (p50_s, p99_s))]
    messages = Table(
        ["endpoints", "p50 of the good ones", "p99", "missing"], [[*row, f"{missing}"]]
    )
    rows, data = compared(both)
    answers = Table(["endpoints", "p99 of orders above nobody's", "p50", "p99"], rows)
    title = f"One event for all endpoints, a fifth of them bad; {plan.per_s:.0f} orders/s beside"
    told_s = {"p50_s": p50_s, "p99_s": p99_s, "missing": missing}
    return Report("webhooks", title, [messages, answers], {"messages": told_s, "orders": data})

"""An evening of yesterday, which the real service works through in a moment: its clock is moved.

Times are seconds since the bar opened, at six.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from heapq import heappop, heappush
from math import inf, pi, sin
from typing import Any

from tests.browser.journeys import DRINKS, LOGOS
from tests.browser.served_bar import OPERATOR_TOKEN, Bar, Bartender
from tests.support.server import eventually

NAMES = ("Ada", "Grace", "Alan", "Edsger", "Barbara", "Ken", "Margaret", "Donald", "Radia", "Tim")

EVENING_S = 5 * 3600.0
"""How long the bar is open."""


def opening() -> datetime:
    """Return when the bar opened, in the time zone of this machine, which is also the browser's."""
    today = datetime.now().replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(hours=6)


def yesterday() -> str:
    """Return the day as an address has it."""
    return opening().date().isoformat()


def arrivals_s() -> Iterator[float]:
    """Yield when guests order: with a rush in the middle of the evening."""
    at_s = 700.0
    while at_s < EVENING_S - 900:
        yield at_s
        rush = sin(at_s / EVENING_S * pi) ** 3
        at_s += 310 - 238 * rush + 43 * sin(at_s)


class PastEvening:
    """Robots and guests of yesterday; ``at`` sets the service's clock to that evening."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._robots: list[Bartender] = []
        self._finishes: list[tuple[float, int, Bartender]] = []
        self._holders: dict[int, Bartender] = {}
        self._failed: list[Bartender] = []
        """Those that have reported a failure, and have not registered again."""
        self._open = 0
        self._at_s = 0.0

    def at(self, at_s: float) -> None:
        """Stop the service's clock at a moment, however long what happens then really takes."""
        self._at_s = at_s
        self._bar.clock.stopped_at_s = opening().timestamp() + at_s

    async def begins(self) -> tuple[Bartender, Bartender]:
        """Open with an order that waits, fails and is put back; return the two robots."""
        self.at(0.0)
        first = await self.order("gin-tonic", "Grace", "fox")
        self.at(72.5)
        ada = await self.robot("Robot Ada")
        self.at(126.0)
        await self.fail(1, first, "the glass broke")
        self.at(144.5)
        await self.put_back(first, "it was the last but one")
        self.at(185.0)
        return ada, await self.robot("Robot Bert")

    async def robot(self, label: str) -> Bartender:
        """Start a robot, which takes an order that waits."""
        robot = self._bar.begin(label)
        self._robots.append(robot)
        await self._settled()
        return robot

    async def order(self, drink: str = "mojito", name: str = "Ada", logo: str = "owl") -> str:
        """Submit an order; return its id once a robot has it, or it waits since none is free."""
        (job_id,) = await self._bar.order(name, drink=drink, logo=logo)
        self._open += 1
        await self._settled()
        return job_id

    async def serve(self, arrivals_s: Iterable[float]) -> None:
        """Let guests come at these times, and finish all drinks."""
        for n, at_s in enumerate(arrivals_s):
            await self._finish_until(at_s)
            self.at(at_s)
            await self.order(DRINKS[n * n % 7 % 6], NAMES[n % len(NAMES)], LOGOS[n % len(LOGOS)])
        await self._finish_until(inf)

    async def fail(self, ticket: int, job_id: str, why: str) -> None:
        """Have the order's robot report a failure; it registers again when it has cleaned up."""
        robot = self._holders.pop(ticket)
        self._failed.append(robot)
        self._open -= 1
        await self._bar.fail(job_id, robot, why)
        await self._settled()

    async def put_back(self, job_id: str, why: str) -> None:
        """Put an order back that has failed."""
        self._open += 1
        await self._operator.put_back(job_id, why, "Grace")
        await self._settled()

    async def set_aside(self, robot: Bartender, why: str) -> None:
        """Set a robot aside that waits."""
        await self._operator.set_aside(robot.instance.callback_urls[-1], why, "Grace")

    async def bring_back(self, robot: Bartender, why: str) -> None:
        """Bring back a robot that is set aside."""
        await self._operator.bring_back(robot.instance.callback_urls[-1], why, "Grace")

    async def close(self) -> None:
        """Send all robots home, and return to the present."""
        for robot in self._robots:
            await self._operator.drop(robot.instance.callback_urls[-1], "closing time", "Grace")
        self.end()

    def end(self) -> None:
        """Return to the present."""
        self._bar.clock.stopped_at_s = None

    @property
    def _operator(self) -> Any:
        return self._bar.service.app.ctx.dispatcher.operator

    async def _finish_until(self, end_s: float) -> None:
        while self._finishes and self._finishes[0][0] < end_s:
            at_s, _, robot = heappop(self._finishes)
            self.at(at_s)
            robot.finish()
            if robot in self._failed:
                self._failed.remove(robot)
            else:
                self._open -= 1
            await self._settled()

    async def _settled(self) -> None:
        """Wait until each order has a robot, or each robot an order; note when it will be done."""
        there = len(self._robots) - len(self._failed)
        busy = min(there, self._open)
        held: list[dict[str, Any]] = []

        async def is_so() -> bool:
            held[:] = await self._ask("jobs?state=assigned", "jobs")
            idle = len(await self._ask("workers", "workers"))
            all_confirmed = all(job["stage"] == "confirmed" for job in held)
            return len(held) == busy and all_confirmed and idle == there - busy

        await eventually(is_so)
        for job in held:
            self._note(job["ticket"], job["worker"])

    def _note(self, ticket: int, callback: str) -> None:
        """Note who has an order, and when it will be done."""
        if ticket in self._holders:
            return
        robot = next(one for one in self._robots if callback.startswith(one.instance.url))
        self._holders[ticket] = robot
        heappush(self._finishes, (self._at_s + 125.0 + 35.0 * sin(ticket * 2.3), ticket, robot))

    async def _ask(self, path: str, member: str) -> list[dict[str, Any]]:
        url = f"{self._bar.service.base_url}operator/{path}"
        headers = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
        async with self._bar.service.http.get(url, headers=headers) as answer:
            found: list[dict[str, Any]] = (await answer.json())[member]
            return found

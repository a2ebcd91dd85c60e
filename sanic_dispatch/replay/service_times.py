"""How long robots take for orders, when they are not those that made them.

An order brings its service time with it: the recorded one. So another robot changes nobody's drink,
and two scenarios differ by the scenario only. Another robot takes longer by as much as it was
slower than the order's own; robots count as equally fast unless their services clearly say
otherwise. For orders that nobody made, a recorded service of the same drink is drawn, by the seed
and the order's number.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from math import exp, log, sqrt
from statistics import fmean, median_low, stdev

from sanic_dispatch.live.order import texts_of
from sanic_dispatch.replay.recording import Ending, HandOver, RecordedOrder, Recording

MIN_SERVICES = 10
"""With fewer services a robot is not known to be fast or slow."""

MIN_OF_DRINK = 5
"""With fewer services of a drink one of any drink is drawn."""

SURE_ERRORS = 4.0
"""By how many standard errors a robot's pace has to differ from the others'."""


class ServiceTimes:
    """The durations of a recording, in ticks."""

    def __init__(self, recording: Recording, seed: int) -> None:
        self._seed = seed
        made = [(order, done) for order in recording.orders if (done := _made(order)) is not None]
        self._paces = _paces(made, len(recording.robots))
        self._of_drink: dict[str | None, list[int]] = defaultdict(list)
        for order, done in made:
            size = round(_service(done) / self.pace(done.robot))
            self._of_drink[_drink(order)].append(size)
        self._all = [size for sizes in self._of_drink.values() for size in sizes]
        every = [each for order in recording.orders for each in order.hand_overs]
        self.hand_over = _median([each.taken.tick - each.at.tick for each in every if each.taken])
        """How long it takes until a robot has an order for sure."""
        self.return_ticks = _median(
            [
                each.registered.tick - each.ended.tick
                for each in every
                if each.registered and each.ended
            ]
        )
        """How long a robot takes to register again."""

    def pace(self, robot: int) -> float:
        """Return how slow a robot is, compared with all of them; 1 for one that was added."""
        return self._paces.get(robot, 1.0)

    def service(self, order: RecordedOrder, robot: int) -> int:
        """Return how long a robot takes for an order."""
        done = _made(order)
        if done is None:
            return round(self._drawn(order) * self.pace(robot))
        if self.pace(robot) == self.pace(done.robot):
            return _service(done)
        return round(_service(done) / self.pace(done.robot) * self.pace(robot))

    def _drawn(self, order: RecordedOrder) -> int:
        sizes: Sequence[int] = self._of_drink.get(_drink(order), ())
        if len(sizes) < MIN_OF_DRINK:
            sizes = self._all
        return random.Random(f"{self._seed} {order.ticket}").choice(sizes) if sizes else 0  # noqa: S311 - no secret


def _made(order: RecordedOrder) -> HandOver | None:
    """Return the hand-over that made an order, if it was made."""
    last = order.hand_overs[-1] if order.hand_overs else None
    return last if last is not None and last.ending is Ending.DONE else None


def _service(done: HandOver) -> int:
    assert done.ended
    return done.ended.tick - done.served_from


def _drink(order: RecordedOrder) -> str | None:
    return _drink_in(order.data)


@lru_cache(maxsize=65536)
def _drink_in(data: bytes) -> str | None:
    return texts_of(data).drink


def _median(ticks: list[int]) -> int:
    return median_low(ticks) if ticks else 0


def _paces(made: Sequence[tuple[RecordedOrder, HandOver]], robots: int) -> dict[int, float]:
    """Return the paces of robots that clearly differ from the mean: of logarithms, by drink."""
    by_drink = defaultdict[str | None, list[float]](list)
    for order, done in made:
        by_drink[_drink(order)].append(log(max(_service(done), 1)))
    usual = {drink: fmean(logs) for drink, logs in by_drink.items()}
    by_robot = defaultdict[int, list[float]](list)
    for order, done in made:
        by_robot[done.robot].append(log(max(_service(done), 1)) - usual[_drink(order)])
    paces = {}
    for robot in range(robots):
        logs = by_robot[robot]
        if len(logs) < MIN_SERVICES:
            continue
        if abs(fmean(logs)) > SURE_ERRORS * stdev(logs) / sqrt(len(logs)):
            paces[robot] = exp(fmean(logs))
    return paces

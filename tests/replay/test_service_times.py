"""How long robots take for orders of others."""

from __future__ import annotations

from sanic_dispatch.replay.recording import (
    Ending,
    HandOver,
    Moment,
    RecordedOrder,
    RecordedRobot,
    Recording,
)
from sanic_dispatch.replay.service_times import ServiceTimes


def recording(*services: tuple[int, int], nobodys: int = 0) -> Recording:
    """Return a recording of orders: the robot's number, and the ticks that it took."""
    orders = []
    for ticket, (robot, ticks) in enumerate(services, 1):
        at = Moment(1000 * ticket, 2 * ticket)
        taken, ended = Moment(at.tick + 5, 0), Moment(at.tick + 5 + ticks, 0)
        done = HandOver(robot, at, taken, Ending.DONE, ended, registered=Moment(ended.tick + 7, 0))
        orders.append(RecordedOrder(ticket, at, b'{"drink":"gin"}', 3, hand_overs=[done]))
    first = len(orders) + 1
    orders += [
        RecordedOrder(ticket, Moment(1000 * ticket, 0), b'{"drink":"gin"}', 3)
        for ticket in range(first, first + nobodys)
    ]
    robots = [RecordedRobot(f"Robot {n}") for n in range(3)]
    return Recording(0, 10**9, 10**9, orders=orders, robots=robots)


def test_an_order_keeps_its_time() -> None:
    """Whichever robot makes it, if they are equally fast: few and uneven services prove nothing."""
    recorded = recording((0, 100), (1, 200), (1, 90), (0, 110))
    times = ServiceTimes(recorded, 1)
    for order, ticks in zip(recorded.orders, (100, 200, 90, 110), strict=True):
        assert {times.service(order, robot) for robot in range(4)} == {ticks}
    assert (times.hand_over, times.return_ticks) == (5, 7)


def test_a_robot_that_is_clearly_slower() -> None:
    """It takes as much longer for the orders of others, and they less for its orders."""
    services = [(n % 2, (100 + n % 7) * (1 + n % 2)) for n in range(60)]
    recorded = recording(*services)
    times = ServiceTimes(recorded, 1)
    fast, slow = recorded.orders[0], recorded.orders[1]
    assert times.service(fast, 0) == 100
    assert 190 <= times.service(fast, 1) <= 210
    assert times.service(slow, 1) == 202
    assert 96 <= times.service(slow, 0) <= 106
    assert times.pace(2) == 1.0


def test_an_order_that_nobody_made() -> None:
    """Its time is drawn from the recorded ones, by the seed and its number."""
    recorded = recording(*[(0, 100 + n) for n in range(50)], nobodys=30)
    left = recorded.orders[50:]
    first, same, other = (ServiceTimes(recorded, seed) for seed in (1, 1, 2))
    drawn = [first.service(order, 0) for order in left]
    assert set(drawn) <= set(range(100, 150))
    assert len(set(drawn)) > 5
    assert [same.service(order, 2) for order in left] == drawn
    assert [other.service(order, 0) for order in left] != drawn


def test_nothing_was_made() -> None:
    """Then it takes no time: nothing is known."""
    recorded = recording(nobodys=1)
    assert ServiceTimes(recorded, 1).service(recorded.orders[0], 0) == 0

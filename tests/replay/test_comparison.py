"""An evening run again: the same without a change, and what changes do."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sanic_dispatch.core import matching
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.replay.comparison import Comparison, replay
from sanic_dispatch.replay.scenario import Scenario
from tests.support.bar_evening import Bar, BarEvening

BARS = {
    "plain": Bar(),
    "skills": Bar(skills=True),
    "priorities": Bar(policy=Policy(priorities=True)),
    "turns": Bar(policy=Policy(fair_by="/name")),
    "leases": Bar(policy=Policy(lease_s=400.0), dies=0.05),
    "doubts": Bar(policy=Policy(resend_doubt=False), silent=0.1),
    "doubts sent again": Bar(policy=Policy(resend_doubt=True), silent=0.1),
    "refusals": Bar(refuses=0.1),
    "cancels": Bar(cancels=0.2),
    "failures": Bar(fails=0.2),
    "progress": Bar(says_progress=True),
    "operator": Bar(operator=0.2),
    "everything": Bar.with_everything(),
}


def again(evening: BarEvening, scenario: Scenario = Scenario()) -> Comparison:  # noqa: B008
    read = evening.read()
    return replay(read.recording, read.summary, scenario)


@pytest.mark.parametrize("seed", range(1, 5))
@pytest.mark.parametrize("name", BARS)
def test_an_evening_without_a_change(name: str, seed: int) -> None:
    """Each order gets the same robots, at the same times, and the same promises are kept."""
    compared = again(BarEvening(BARS[name], seed))
    assert compared.pairing.same > 150
    assert compared.pairing.different == 0
    assert compared.replayed.as_json() == compared.recorded.as_json()


def test_faults_are_counted() -> None:
    """What interfered with hand-overs is said, and how often."""
    assert again(BarEvening(BARS["plain"])).pairing.faults == 0
    for name in ("leases", "doubts", "refusals"):
        assert again(BarEvening(BARS[name])).pairing.faults > 0


def test_a_core_that_pairs_otherwise_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recorded evening is a regression test: the newest worker first is not what was."""
    evening = BarEvening(Bar(gap_s=60.0))

    def newest_worker_for(tables: object, job: object) -> object:
        free = tables.workers.free_by_rule  # type: ignore[attr-defined]
        return free[""][-1] if free else None

    monkeypatch.setattr(matching, "worker_for", newest_worker_for)
    assert again(evening).pairing.different > 10


ONE_SKILL = st.builds(
    Bar,
    orders=st.integers(5, 80),
    robots=st.integers(1, 5),
    gap_s=st.floats(1.0, 80.0),
    spread=st.floats(0.0, 1.5),
)


@settings(max_examples=60)
@given(bar=ONE_SKILL, seed=st.integers(0, 10**6), more=st.integers(1, 3))
def test_robots_more_make_nobody_wait_longer(bar: Bar, seed: int, more: int) -> None:
    """In the mean: every order keeps its own service time, whoever makes it."""
    evening = BarEvening(bar, seed)
    read = evening.read()
    waits = [
        replay(read.recording, read.summary, Scenario(robots=robots)).replayed.wait_s["mean"]
        for robots in (0, more)
    ]
    assert waits[0] is not None
    assert waits[1] is not None
    assert waits[1] <= waits[0] + 0.001


def test_fewer_robots_and_slower_ones() -> None:
    """Both make guests wait longer."""
    evening = BarEvening(Bar(robots=3))
    was = again(evening).recorded.wait_s["mean"] or 0.0
    fewer = again(evening, Scenario(robots=-1))
    assert (fewer.replayed.wait_s["mean"] or 0.0) > was
    assert len(fewer.outcome.removed) == 1
    assert (again(evening, Scenario(slower=1.3)).replayed.wait_s["mean"] or 0.0) > was


def test_a_robot_that_takes_one_drink_only() -> None:
    """A rule of the scenario decides who gets what."""
    evening = BarEvening(Bar(robots=2))
    rules = {"Robot 1": "match.drink=mojito"}
    compared = again(evening, Scenario(rules=rules))
    read = evening.read()
    number = [robot.name for robot in read.recording.robots].index("Robot 1")
    drinks = {order.ticket: order.data for order in read.recording.orders}
    made = [ticket for ticket, by in compared.outcome.served_by.items() if by == [number]]
    assert made
    assert all(b"mojito" in drinks[ticket] for ticket in made)


def test_robots_keep_to_what_they_take() -> None:
    """Also where others have made the orders that they make now; an added one takes everything."""
    evening = BarEvening(Bar(robots=2, skills=True, gap_s=60.0)).read()
    compared = replay(evening.recording, evening.summary, Scenario(robots=1))
    drinks = {order.ticket: order.data for order in evening.recording.orders}
    made: dict[str, set[bytes]] = {}
    for ticket, robots in compared.outcome.served_by.items():
        for robot in robots:
            made.setdefault(compared.outcome.robots[robot], set()).add(
                drinks[ticket].split(b",")[0]
            )
    assert {len(made["Robot 1"]), len(made["extra 1"])} == {3}
    assert made["Robot 2"] == {b'{"drink":"mojito"', b'{"drink":"beer"'}


def test_another_order_of_the_line() -> None:
    """Turns and priorities can be tried, and left out."""
    evening = BarEvening(Bar(robots=2, policy=Policy(priorities=True)))
    assert again(evening, Scenario(priorities=False)).pairing.different > 0
    assert again(evening, Scenario(priorities=True)).pairing.different == 0
    assert again(evening, Scenario(fair_by="/name")).pairing.different > 0
    by_turns = BarEvening(Bar(robots=2, policy=Policy(fair_by="/name")))
    assert again(by_turns, Scenario(fair_by="")).pairing.different > 0


def test_a_line_that_is_full() -> None:
    """Orders that are turned away wait nowhere."""
    compared = again(BarEvening(Bar(robots=1)), Scenario(max_jobs=3))
    assert compared.outcome.turned_away > 0
    assert compared.replayed.longest_line == 3
    assert compared.replayed.orders + compared.outcome.turned_away == compared.recorded.orders


def test_a_seed() -> None:
    """The same seed gives the same evening; another one other times for what nobody made."""
    evening = BarEvening(Bar(cancels=0.3, robots=1, gap_s=60.0))
    first, second, other = (again(evening, Scenario(robots=1, seed=seed)) for seed in (1, 1, 2))
    assert first[:3] == second[:3]
    assert first.outcome.served_by == second.outcome.served_by
    assert first.replayed.wait_s != other.replayed.wait_s

"""The first job of many groups: the right one, without a look at each group."""

from __future__ import annotations

import random

import pytest

from sanic_dispatch.core.groups import SPARE_ENTRIES, Group, Head, Heads
from sanic_dispatch.core.job import Job
from sanic_dispatch.core.lanes import ArrivalLane

AT = "2024-11-24T01:39:00Z"


def job(place: int) -> Job:
    return Job(f"{place}", place, b"1", AT, place)


def add(heads: Heads, group: Group, level: int, place: int) -> None:
    group.lanes.setdefault(level, ArrivalLane()).add(job(place), "")
    heads.note(group.entry())


def remove_first(heads: Heads, group: Group) -> None:
    level, _, first = group.head()
    lane = group.lanes[level]
    lane.remove(first, "")
    if not lane:
        del group.lanes[level]
    if not group.lanes:
        heads.discard(group)


@pytest.mark.parametrize("seed", range(20))
def test_the_first_of_all(seed: int) -> None:
    """As groups get jobs before their first ones, lose them, become empty and get jobs again."""
    pick, heads = random.Random(seed), Heads()
    groups = [Group(frozenset(), number) for number in range(6)]
    places = list(range(400))
    pick.shuffle(places)
    for place in places:
        group = pick.choice(groups)
        add(heads, group, pick.choice((0, 1, 1, 2)), place)
        if pick.random() < 0.45:
            remove_first(heads, pick.choice(list(heads.groups)))
        assert len(heads._heap) <= 2 * len(heads.groups) + SPARE_ENTRIES
        if pick.random() < 0.5:
            assert heads.first() == min(
                (each.head() for each in groups if each.lanes), default=None
            )


def test_the_first_of_many_groups_costs_a_few_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that takes anything does not look at each of a thousand groups."""
    heads, looks = Heads(), 0
    groups = [Group(frozenset(), number) for number in range(1000)]
    for place in range(3000):
        add(heads, groups[place % 1000], 1, place)
    head = Group.head

    def counted(group: Group) -> Head:
        nonlocal looks
        looks += 1
        return head(group)

    monkeypatch.setattr(Group, "head", counted)
    for place in range(2900):
        first = heads.first()
        assert first is not None
        assert first.job.place == place
        remove_first(heads, groups[place % 1000])
    assert looks <= 4 * 2900

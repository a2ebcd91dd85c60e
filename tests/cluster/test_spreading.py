"""The spreading rule on virtual members: even, the same for all, and with little movement."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sanic_dispatch.cluster import spreading
from sanic_dispatch.cluster.members import Member, Members
from sanic_dispatch.cluster.spreading import Turn, spread

NAMES = st.sets(st.text("abc:0123456789", min_size=1, max_size=6), min_size=1, max_size=9)


def members(names: set[str], topics: set[str]) -> tuple[Member, ...]:
    """Return processes that all serve these topics."""
    return tuple(Member(name, f"http://{name}/", tuple(topics)) for name in sorted(names))


def loads(living: tuple[Member, ...]) -> list[int]:
    """Return how many topics each process gets."""
    counted = Counter(owner.name for owner in spread(living).values())
    return [counted[member.name] for member in living]


@given(NAMES, NAMES)
def test_it_is_even(names: set[str], topics: set[str]) -> None:
    """Each topic has one owner, and no process has two topics more than another."""
    living = members(names, topics)
    assert set(spread(living)) == topics
    assert sum(loads(living)) == len(topics)
    assert max(loads(living)) - min(loads(living)) <= 1


@given(NAMES, NAMES)
def test_only_names_matter(names: set[str], topics: set[str]) -> None:
    """The order of members and of their topics, and where they are, change nothing."""
    living = members(names, topics)
    moved = tuple(Member(each.name, "", tuple(reversed(each.topics))) for each in reversed(living))
    assert owners(living) == owners(moved)


def owners(living: tuple[Member, ...]) -> dict[str, str]:
    """Return the name of each topic's owner."""
    return {topic: owner.name for topic, owner in spread(living).items()}


def test_few_topics_move() -> None:
    """When one joins, and when it leaves again, at most twice as many topics move as have to."""
    rng = random.Random(1)
    moved = needed = 0
    for _ in range(500):
        topics = {f"bar-{number}" for number in range(rng.randint(1, 20))}
        names = {f"host-{rng.randrange(10**6)}:2567" for _ in range(rng.randint(2, 8))}
        more, fewer = members(names, topics), members(names - {min(names)}, topics)
        with_it, without = owners(more), owners(fewer)
        moved += sum(with_it[topic] != without[topic] for topic in topics)
        needed += sum(owner == min(names) for owner in with_it.values())
    assert moved <= 2 * needed


def test_who_does_not_serve_a_topic_does_not_get_it() -> None:
    """A topic goes to one of the processes that have it, even if they have more than others."""
    old = [Member(name, "", ("",)) for name in ("ada", "bert", "cleo")]
    new = Member("dan", "", ("", "cellar", "roof"))
    found = owners((*old, new))
    assert found["cellar"] == found["roof"] == "dan"
    assert found[""] in ("ada", "bert", "cleo")
    assert owners(tuple(each._replace(topics=()) for each in old)) == {}


def test_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A topic is handed over to whose turn it is, once the same processes have been living."""
    ada, bert = members({"ada", "bert"}, {"", "roof"})
    joined = Members(None, ada)  # type: ignore[arg-type]  # nothing is announced
    turns = [Turn(topic, joined) for topic in ("", "roof")]
    assert all(turn.is_ours() and turn.successor() is None for turn in turns)
    joined._note([bert, ada])
    assert sorted(turn.is_ours() for turn in turns) == [False, True]
    assert all(turn.successor() is None for turn in turns)
    monkeypatch.setattr(spreading, "SETTLE_S", 0.0)
    assert {turn.successor() for turn in turns} == {None, bert}
    joined._note([bert])
    assert {turn.owner() for turn in turns} == {bert}


def test_a_topic_that_is_not_shared_is_always_ours() -> None:
    """Without members, or if no living one serves the topic."""
    for turn in (Turn("", None), Turn("roof", Members(None, Member("ada", "", ("",))))):  # type: ignore[arg-type]
        assert turn.is_ours()
        assert turn.successor() is None

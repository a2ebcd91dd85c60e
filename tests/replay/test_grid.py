"""Grids and goals."""

from __future__ import annotations

import pytest

from sanic_dispatch.replay.evening_summary import EveningSummary
from sanic_dispatch.replay.goal import Goal, goal_of
from sanic_dispatch.replay.grid import Cell, Grid, grid_of, smallest_crews

WAITS = [float(second) for second in range(101)]
SUMMARY = EveningSummary(101, WAITS, 7, 0.75, 0.8, 0, [])


@pytest.mark.parametrize(
    ("text", "goal", "is_kept"),
    [
        ("p90 wait <= 90 s", Goal("p90 wait", "<=", 90.0), True),
        ("p90  wait <=1.4 min", Goal("p90 wait", "<=", 84.0), False),
        ("mean wait <= 0.02 h", Goal("mean wait", "<=", 72.0), True),
        ("longest line <= 6", Goal("longest line", "<=", 6.0), False),
        ("kept >= 80 %", Goal("kept", ">=", 0.8), True),
        ("utilisation <= 0.7", Goal("utilisation", "<=", 0.7), False),
    ],
)
def test_goals(text: str, goal: Goal, is_kept: bool) -> None:
    """A figure, a limit and its unit."""
    assert goal_of(text) == pytest.approx(goal)
    assert goal_of(text).is_kept(SUMMARY) is is_kept


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "a goal is like 'p90 wait <= 5 min'"),
        ("p95 wait <= 5 min", "a goal is like"),
        ("p90 wait < 5 min", "a goal is like"),
        ("p90 wait <= 5", "a wait is in s, min or h"),
        ("longest line <= 5 s", "a line has no unit"),
        ("kept >= 5 min", "kept is a share"),
    ],
)
def test_what_is_no_goal(text: str, says: str) -> None:
    """It is said what is one."""
    with pytest.raises(ValueError, match=says):
        goal_of(text)


def test_who_leaves_orders_unmade_keeps_no_goal() -> None:
    """Those that were served may have waited for a moment only."""
    goal = goal_of("p90 wait <= 5 min")
    assert not goal.is_kept(SUMMARY._replace(unserved=1))
    assert not goal.is_kept(SUMMARY._replace(waits_s=[]))


def test_grids() -> None:
    """Ranges and single numbers, of robots and speeds."""
    assert grid_of("robots=1..3,slower=1.0..1.2") == Grid([1, 2, 3], [1.0, 1.1, 1.2])
    assert grid_of("slower=0.8") == Grid(None, [0.8])
    assert grid_of("robots=2..2").size == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "a grid is like"),
        ("robots=1,robots=2", "a grid is like"),
        ("robots=one", "robots is a number, or a range"),
        ("robots=1.5", "positive numbers"),
        ("robots=3..1", "positive numbers"),
        ("slower=nan", "positive numbers"),
        ("robots=1..100,slower=1..2", "at most 1000 scenarios"),
        ("slower=1..10000", "at most 1000 scenarios"),
    ],
)
def test_what_is_no_grid(text: str, says: str) -> None:
    """It is said what is one."""
    with pytest.raises(ValueError, match=says):
        grid_of(text)


def test_the_smallest_crew() -> None:
    """Of those that keep the goal, at each speed; none where none does."""
    goal = goal_of("p90 wait <= 90 s")
    slow = SUMMARY._replace(waits_s=[wait + 1.0 for wait in WAITS])
    cells = [Cell(1, 1.0, slow), Cell(3, 1.0, SUMMARY), Cell(2, 1.0, SUMMARY), Cell(4, 1.5, slow)]
    assert smallest_crews(cells, goal) == {1.0: 2, 1.5: None}

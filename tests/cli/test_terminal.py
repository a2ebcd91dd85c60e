"""What the commands print: words, lines and tables, from the frames of the live channel."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from rich.console import Console

from sanic_dispatch.cli.submit import order_words
from sanic_dispatch.cli.terminal import age, crew_table, cut_off, view_table
from sanic_dispatch.cli.watch import changed_lines
from sanic_dispatch.cli.why_words import why_words
from sanic_dispatch.client import Lost, ViewState
from sanic_dispatch.live.why import Reason
from sanic_dispatch.simulation import Engine, Robot, RobotModel

NOW_S = 1732412346.0
"""The service's time, in which it gives when an order will be ready."""


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ({"n": 1, "state": "waiting", "ahead": 2}, "order 1: waiting, 2 ahead"),
        (
            {"n": 1, "state": "waiting", "ahead": 0, "eta": [NOW_S + 30.0, NOW_S + 90.0]},
            "order 1: waiting, 0 ahead, ready in 1 to 2 min",
        ),
        (
            {"n": 1, "state": "assigned", "eta": [NOW_S - 90.0, NOW_S - 30.0]},
            "order 1: assigned, ready in 1 min",
        ),
        (
            {"n": 1, "state": "waiting", "ahead": 2, "why": {"reason": "behind", "ahead": 2}},
            "order 1: waiting, 2 ahead",
        ),
        (
            {"n": 1, "state": "waiting", "ahead": 2, "why": {"reason": "no_able_worker"}},
            "order 1: waiting, no worker that is here takes it",
        ),
        ({"n": 1, "state": "failed", "reason": "no ice"}, "order 1: failed, no ice"),
        (
            {"n": 1, "state": "assigned", "doubt": True},
            "order 1: assigned, checking whether the robot has it",
        ),
        (
            {"n": 1, "state": "assigned", "progress": {"percent": 39.6, "text": "adding gin"}},
            "order 1: assigned, 40 %, adding gin",
        ),
        (
            {"n": 1, "state": "assigned", "progress": {"text": "stopping"}, "cancelling": True},
            "order 1: assigned, stopping, asked to stop",
        ),
    ],
)
def test_an_order_in_words(order: dict[str, Any], words: str) -> None:
    """Each state of an order has a text."""
    assert order_words(order, NOW_S) == words


@pytest.mark.parametrize(
    ("why", "words"),
    [
        ({"reason": "behind", "ahead": 0}, "it is next"),
        (
            {"reason": "no_able_worker", "needs": {"drink": "beer", "size": "xl"}},
            "no worker that is here takes it (drink=beer, size=xl)",
        ),
        ({"reason": "of_a_later_version"}, "of_a_later_version"),
    ],
)
def test_why_an_order_waits_in_words(why: dict[str, Any], words: str) -> None:
    """With how many are ahead, or what it needs; a reason that is not known is shown as it came."""
    assert why_words(why) == words


def test_each_reason_has_words() -> None:
    """They are not the word of the wire."""
    assert [reason for reason in Reason if why_words({"reason": reason}) == reason] == []


def test_only_changes_are_lines() -> None:
    """New, changed and removed keys are lines; unchanged ones are not."""
    state = ViewState("e:2", 1.5, {"a": {"n": 1}, "b": {"n": 2}})
    lines = [json.loads(line) for line in changed_lines({"a": {"n": 1}, "c": {}}, state)]
    assert lines == [
        {"at": "e:2", "now": 1.5, "key": "b", "value": {"n": 2}},
        {"at": "e:2", "now": 1.5, "key": "c", "value": None},
    ]


def drawn(table: Any, columns: int = 120) -> str:
    """Return what a terminal of so many columns would show."""
    console = Console(width=columns, height=30, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def monitor(orders: int = 3) -> ViewState:
    entries: dict[str, Any] = {
        f"order/{n}": {"n": n, "state": "waiting", "t": 90.0, "drink": "[red]x", "name": "A\x1b[1m"}
        for n in range(1, orders + 1)
    }
    entries["order/2"]["why"] = {"reason": "no_able_worker", "needs": {"drink": "x"}}
    entries["order/1"] |= {"state": "assigned", "hold": {"stage": "in doubt"}}
    entries["worker/u"] = {"state": "aside", "label": "Robot 7", "since": 0.0, "reason": "503"}
    entries["worker/u"]["rule"] = "match.drink=y"
    entries["bar"] = {"robots": 1, "waiting": orders - 1, "assigned": 1, "paused": True}
    return ViewState("e:1", 100.0, entries)


def test_a_view_as_a_table() -> None:
    """The table has counts, robots and orders; control codes in them have no effect."""
    text = drawn(view_table(monitor(), 30))
    for words in (
        *("robots 1  waiting 2  assigned 1  paused", "Robot 7", "assigned, in doubt"),
        *("match.drink=y", "no worker that is here takes it"),
    ):
        assert words in text
    for words in ("[red]x", r"A\x1b[1m", "10 s"):
        assert words in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({}, [2, 3, 4]),
        ({"order/3": {"place": 0.0}}, [3, 2, 4]),
        ({"line": {"tickets": [4, 2, 3]}}, [4, 2, 3]),
    ],
)
def test_orders_are_in_line(more: dict[str, dict[str, Any]], line: list[int]) -> None:
    """By place, unless the view lists them."""
    state = monitor(orders=4)
    for key, fields in more.items():
        state.map[key] = state.map.get(key, {}) | fields
    text = drawn(view_table(state, 30))
    assert [int(n) for n in re.findall(r"(\d+) +│ waiting", text)] == line


def test_progress_as_a_table() -> None:
    """How far the robots are, and what they are asked; one without a label has its id."""
    state = monitor()
    said = {"progress": {"percent": 39.6, "text": "adding gin"}, "cancelling": True}
    state.map["order/1"] |= said
    state.map["worker/ws:tablet-1"] = {"state": "assigned", "since": 0.0, "ticket": 1}
    text = drawn(view_table(state, 30))
    assert "assigned, in doubt, asked to stop" in text
    assert "40 %, adding gin" in text
    assert "ws:tablet-1" in text
    board = ViewState("e:1", 100.0, {"order/1": {"n": 1, "state": "assigned", "percent": 40}})
    assert "40 %" in drawn(view_table(board, 30))


def test_a_table_fits() -> None:
    """Rows that do not fit on the terminal are counted."""
    text = drawn(view_table(monitor(orders=200), 30))
    assert len(text.splitlines()) <= 30
    assert " more" in text


def test_long_texts_leave_room_on_a_narrow_terminal() -> None:
    """States and times are whole; what is long is cut, and every row is one line."""
    state = monitor()
    state.map["worker/u"] |= {
        **{"label": "Robot Ada", "link": "http://127.0.0.1:42895/engine/instances/1/"},
        **{"rule": "match.drink=cuba-libre|gin-tonic|lemonade|margarita|mojito", "ticket": 41},
        "reason": "its callback does not wait any more",
    }
    lines = drawn(view_table(state, 30), columns=80).splitlines()
    assert max(map(len, lines)) == 80
    [robot] = [line for line in lines if "Robot Ada" in line]
    assert "│ aside │ 100 s │ 41    │" in robot
    assert len(re.findall("…", robot)) == 3


def test_a_view_that_is_old_says_so() -> None:
    """While disconnected, the last view stays under a warning."""
    text = drawn(cut_off(view_table(monitor(), 30), Lost("no answer", 0.71)))
    assert "cut off: no answer; trying again in 0.7 s" in text
    assert "Robot 7" in text
    assert "robots 1" not in text


@pytest.mark.parametrize(
    ("seconds", "words"), [(-1, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h")]
)
def test_ages(seconds: float, words: str) -> None:
    """Durations are given in the largest unit of which there are at least two."""
    assert age(seconds) == words


async def test_a_crew_as_a_table() -> None:
    """Each robot is a line: its state, and how many drinks it has mixed."""
    async with Engine() as engine:
        robot = Robot(engine.start_instance(), RobotModel("http://localhost/"))
    robot.doing, robot.mixed = "mixes", 41
    text = drawn(crew_table({"Robot 1": robot}, {"Robot 1": "mojito for Ada"}))
    for words in ("Robot 1", "running", "mixes", "mojito for Ada", "41"):
        assert words in text

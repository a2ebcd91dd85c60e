"""Tables that watch and work show on a terminal; text from outside is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sanic_dispatch.cli.progress_words import progress_words
from sanic_dispatch.cli.why_words import why_words
from sanic_dispatch.observability.log import printable

if TYPE_CHECKING:
    from sanic_dispatch.client import Lost, ViewState
    from sanic_dispatch.simulation.crew import CrewMember

STYLES = {
    "waiting": "yellow",
    "matching": "yellow",
    "assigned": "cyan",
    "done": "green",
    "failed": "red",
    "cancelled": "dim",
    "aside": "magenta",
    "in doubt": "red",
}

_SEQUENCE = (
    "in doubt", "assigned", "waiting", "matching", "aside", "done", "failed", "cancelled",
)  # fmt: skip
_WHOLE = ("state", "since")
"""Columns that are not cut on a narrow terminal; the widest of the others give way."""

_FRAME_LINES = 6
"""Lines taken by the counts and by a table's head and borders."""

ViewObject = Mapping[str, Any]


def view_table(state: ViewState, height: int) -> RenderableType:
    """Return a view as counts, robots if it has any, and orders, at most ``height`` lines high."""
    orders = _entries(state, "order")
    workers = _entries(state, "worker/")
    parts: list[RenderableType] = [counts(state.map.get("bar", {}))]
    if workers:
        parts.append(_table(_WORKER_COLUMNS, workers, state.now, height // 2 - _FRAME_LINES))
        height -= min(len(workers), height // 2) + _FRAME_LINES
    parts.append(_table(_ORDER_COLUMNS, orders, state.now, height - _FRAME_LINES))
    return Group(*parts)


def counts(bar: ViewObject) -> Text:
    """Return the counts of the view in one line."""
    names = ("robots", "waiting", "assigned")
    text = Text("  ".join(f"{name} {bar.get(name, 0)}" for name in names), style="bold")
    return text.append("  paused", "bold red") if bar.get("paused") else text


def cut_off(shown: RenderableType, lost: Lost) -> RenderableType:
    """Return the tables shown last, below a line that says that they are out of date."""
    line = f"cut off: {printable(lost.reason)}; trying again in {lost.delay_s:.1f} s"
    parts = shown.renderables[-2:] if isinstance(shown, Group) else []
    old = [part for part in parts if not isinstance(part, Text)]
    return Group(Text(line, style="bold red"), *old)


def crew_table(robots: Mapping[str, CrewMember], orders: Mapping[str, str]) -> RenderableType:
    """Return a row for each robot: its activity, its order, and the number of orders mixed."""
    table = _empty(("robot", "state", "does", "order", "mixed"))
    for name, robot in robots.items():
        order = orders.get(name, "") if robot.doing == "mixes" else ""
        words = (name, robot.state, robot.doing, order, str(robot.mixed))
        style = "" if robot.state in ("running", "connected") else "yellow"
        table.add_row(*map(_line, words), style=style)
    return table


def age(seconds: float) -> str:
    """Return a duration for people: ``42 s``, ``3 min``, ``2 h``."""
    seconds = max(seconds, 0)
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


_ORDER_COLUMNS = {
    "order": lambda entry, _: entry.get("n", ""),
    "state": lambda entry, _: _doing(entry),
    "since": lambda entry, now: age(now - entry.get("t", now)),
    "drink": lambda entry, _: entry.get("drink", ""),
    "name": lambda entry, _: entry.get("name", ""),
    "logo": lambda entry, _: entry.get("logo", ""),
    "note": lambda entry, _: entry.get("reason") or progress_words(entry) or _obstacle(entry),
}
_WORKER_COLUMNS = {
    "robot": lambda entry, _: entry.get("label", entry["id"]),
    "state": lambda entry, _: entry.get("state", ""),
    "since": lambda entry, now: age(now - entry.get("since", now)),
    "order": lambda entry, _: entry.get("ticket", ""),
    "takes": lambda entry, _: entry.get("rule", ""),
    "instance": lambda entry, _: entry.get("link", ""),
    "note": lambda entry, _: entry.get("reason") or progress_words(entry),
}


def _entries(state: ViewState, prefix: str) -> list[ViewObject]:
    """Return the entries with this prefix: active ones, then waiting ones, then finished ones."""
    entries = [
        {"id": key.removeprefix(prefix), **entry}
        for key, entry in state.map.items()
        if key.startswith(prefix)
    ]
    line = state.map.get("line", {}).get("tickets", ())
    return sorted(entries, key=partial(_rank, {ticket: turn for turn, ticket in enumerate(line)}))


def _rank(turns: Mapping[int, int], entry: ViewObject) -> tuple[int, float]:
    """Return the sort key: the oldest first; of the finished the newest, of the waiting the next.

    ``turns`` says by ticket when an order's turn is, where the orders' places do not say that.
    """
    state, number = entry.get("state", ""), entry.get("n", entry.get("since", 0))
    rank = _SEQUENCE.index(state) if state in _SEQUENCE else len(_SEQUENCE)
    if state in ("done", "failed", "cancelled"):
        return rank, -number
    if state == "waiting":
        return rank, turns.get(number, entry.get("place", number))
    return rank, number


def _doing(entry: ViewObject) -> str:
    is_in_doubt = entry.get("doubt") or entry.get("hold", {}).get("stage") == "in doubt"
    notes = (is_in_doubt and "in doubt", entry.get("cancelling") and "asked to stop")
    return ", ".join(filter(None, (entry.get("state", ""), *notes)))


def _obstacle(entry: ViewObject) -> str:
    """Return why an order waits, unless others just come first."""
    why = entry.get("why", {"reason": "behind"})
    return "" if why["reason"] == "behind" else why_words(why)


def _table(
    columns: Mapping[str, Any], entries: Sequence[ViewObject], now: float, most: int
) -> Table:
    most = max(most, 3)
    used = [name for name in columns if any(columns[name](entry, now) for entry in entries)]
    table = _empty(used or list(columns))
    for entry in entries[:most]:
        words = (str(columns[name](entry, now)) for name in used)
        table.add_row(*map(_line, words), style=STYLES.get(str(entry.get("state")), ""))
    if len(entries) > most:
        table.caption = f"and {len(entries) - most} more"
    return table


def _empty(names: Iterable[str]) -> Table:
    table = Table(expand=True, header_style="bold")
    for name in names:
        table.add_column(_line(name), no_wrap=name in _WHOLE)
    return table


def _line(text: str) -> Text:
    return Text(printable(text), no_wrap=True, overflow="ellipsis")

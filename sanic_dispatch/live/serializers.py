"""Serialize orders, robots and events as the JSON objects of the views.

An unknown value is left out, except where the schema requires its key.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from sanic_dispatch.callbacks.url import http_origin
from sanic_dispatch.core.job import DEFAULT_PRIORITY, Hold, Job, Progress, Stage, State
from sanic_dispatch.core.lanes import place_of
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.live.log_line import LoggedOrNew, line_of
from sanic_dispatch.live.order import Order
from sanic_dispatch.live.projection import QueueCounts
from sanic_dispatch.live.tracked_robots import TrackedRobot
from sanic_dispatch.live.why import Why

JsonObject = dict[str, Any]

MAX_REASON_CHARS = 200
MAX_LINK_CHARS = 500
MAX_RULE_CHARS = 500
"""Limits for text from outside: a longer reason or rule is cut, a longer link is left out."""


class Standing(NamedTuple):
    """Where a waiting order stands, and why it waits."""

    ahead: int
    position: int
    why: Why


def bar(counts: QueueCounts) -> JsonObject:
    """Serialize the counts and what no robot makes, the same in every view."""
    return {**counts._asdict(), "unavailable": list(counts.unavailable)}


def line(orders: Sequence[Order]) -> JsonObject | None:
    """Serialize the order of the first waiting orders; None if their places say it."""
    if all(place_of(a.job) < place_of(b.job) for a, b in pairwise(orders)):
        return None
    return {"tickets": [order.job.ticket for order in orders]}


def board_order(order: Order) -> JsonObject:
    """Serialize an order for the public board: never with a name, or a text of its robot."""
    return {
        "n": order.job.ticket,
        **_texts(order, "logo", "drink"),
        **_place(order),
        "state": order.job.state.value,
        "t": order.since_s,
        **_percent(order.job.progress),
    }


def own_order(
    order: Order,
    standing: Standing | None,
    eta: tuple[float, float] | None,
    now_s: float,
    *,
    can_stop: bool = False,
) -> JsonObject:
    """Serialize an order for its owner; ``standing`` is None unless it waits.

    ``can_stop``: its robot can be asked to stop.
    """
    fields: JsonObject = {
        "n": order.job.ticket,
        **_texts(order, "name", "logo", "drink"),
        "state": order.job.state.value,
        "ahead": standing.ahead if standing else None,
        "position": standing.position if standing else None,
        "eta": None if eta is None else [round(end, 1) for end in eta],
        "t": order.since_s,
    }
    if standing:
        fields["why"] = standing.why.as_json()
    if order.job.priority != DEFAULT_PRIORITY:
        fields["priority"] = order.job.priority
    if order.is_late(now_s):
        fields["late"] = True
    if order.is_in_doubt:
        fields["doubt"] = True
    fields |= _making(order.job)
    if can_stop:
        fields["can_cancel"] = True
    if order.job.reason and order.job.state in (State.FAILED, State.CANCELLED):
        fields["reason"] = order.job.reason[:MAX_REASON_CHARS]
    if order.job.forgotten:
        fields["forgotten"] = True
    return fields


def monitor_order(order: Order, why: Why | None = None) -> JsonObject:
    """Serialize an order for operators; ``why`` says why it waits, without its place."""
    job = order.job
    fields: JsonObject = {
        "n": job.ticket,
        "id": job.id,
        **_texts(order, "name", "logo", "drink"),
        **_place(order),
        "state": job.state.value,
        "submitted": job.submitted_s,
        "t": order.since_s,
        "attempt": job.attempt,
    }
    if why:
        fields["why"] = why.as_json(for_operators=True)
    if job.priority != DEFAULT_PRIORITY:
        fields["priority"] = job.priority
    if job.hold:
        fields["hold"] = _hold(job.hold)
    fields |= _making(job)
    if job.reason:
        fields["reason"] = job.reason[:MAX_REASON_CHARS]
    if job.forgotten:
        fields["forgotten"] = True
    return fields


def monitor_worker(robot: TrackedRobot) -> JsonObject:
    """Serialize a worker for operators."""
    worker = robot.worker
    fields: JsonObject = {
        "state": robot.state.value,
        "since": _since_s(robot),
        "seen": _seen_s(robot),
        "refusals": worker.refusals,
    }
    if worker.label:
        fields["label"] = worker.label[:MAX_REASON_CHARS]
    if link := link_of(worker):
        fields["link"] = link
    if worker.rule:
        fields["rule"] = _cut(worker.rule, MAX_RULE_CHARS)
    if worker.key:
        fields["activity"] = worker.key.activity[:MAX_REASON_CHARS]
    if robot.job is not None:
        fields["ticket"] = robot.job.ticket
        fields |= _making(robot.job)
        if robot.has_unconsumed_job:
            fields["unused"] = True
    elif worker.aside:
        fields["reason"] = worker.aside.reason[:MAX_REASON_CHARS]
    return fields


def log_entry(event: LoggedOrNew) -> JsonObject:
    """Serialize an event as a line of the log."""
    line = line_of(event)
    fields: JsonObject = {"n": line.n, "kind": line.kind, "t": line.at_s}
    if line.ticket:
        fields["ticket"] = line.ticket
    if line.callback:
        fields["worker"] = line.callback
        if line.label:
            fields["label"] = line.label[:MAX_REASON_CHARS]
    if line.reason:
        fields["reason"] = line.reason[:MAX_REASON_CHARS]
    return fields


def link_of(worker: Worker) -> str | None:
    """Return the address of the process instance if it has the origin of the callback, else None.

    Any client can claim any instance, so an address elsewhere is not shown as a link.
    """
    if not 0 < len(worker.instance_url) <= MAX_LINK_CHARS:
        return None
    origin = http_origin(worker.instance_url)
    return worker.instance_url if origin and origin == http_origin(worker.id) else None


def _cut(text: str, most_chars: int) -> str:
    return text if len(text) <= most_chars else f"{text[: most_chars - 1]}…"


def _texts(order: Order, *names: str) -> dict[str, str]:
    texts = order.texts._asdict()
    return {name: texts[name] for name in names if texts[name] is not None}


def _place(order: Order) -> dict[str, float]:
    """Return the place in the queue if an operator moved the order; else its ticket says it."""
    job = order.job
    return {} if job.place == job.ticket else {"place": job.place}


def _making(job: Job) -> JsonObject:
    """Return how far the robot is, and whether it is asked to stop."""
    said = _percent(job.progress)
    if job.progress and job.progress.text:
        said["text"] = job.progress.text[:MAX_REASON_CHARS]
    fields: JsonObject = {"progress": said} if said else {}
    return fields | {"cancelling": True} if job.cancelling else fields


def _percent(progress: Progress | None) -> JsonObject:
    return {} if progress is None or progress.percent is None else {"percent": progress.percent}


def _hold(hold: Hold) -> JsonObject:
    return {
        "worker": hold.worker.id,
        "way": hold.way.value,
        "stage": hold.stage.value,
        "since": hold.since_s,
        **({"unused": True} if hold.times_unused else {}),
        **({"refused": hold.refused_report[:MAX_REASON_CHARS]} if hold.refused_report else {}),
    }


def _since_s(robot: TrackedRobot) -> float:
    if robot.job is not None and robot.job.hold is not None:
        return robot.job.hold.since_s
    worker = robot.worker
    return worker.aside.since_s if worker.aside else worker.registered_s


def _seen_s(robot: TrackedRobot) -> float:
    """Return when the robot was last heard of: it registered, took its job, or reported on it."""
    hold = robot.job.hold if robot.job else None
    took_s = hold.since_s if hold and hold.stage is Stage.CONFIRMED else 0.0
    return max(robot.worker.registered_s, took_s, hold.reported_s if hold else 0.0)

"""How things are shown: the objects in the views, drawn from orders, robots and events.

What is unknown is left out, except for the keys that are always there.
"""

from __future__ import annotations

from typing import Any

from sanic_dispatch.callbacks.url import split_url
from sanic_dispatch.core.events import Event
from sanic_dispatch.core.job import Hold, Stage, State
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.live.order import Order
from sanic_dispatch.live.projection import Bar
from sanic_dispatch.live.robots import Robot

Drawn = dict[str, Any]

LONGEST_REASON = 200
LONGEST_LINK = 500
"""Characters of what comes from outside; a longer reason is cut, a longer link is left out."""


def bar(counts: Bar) -> Drawn:
    """The counts, the same in every view."""
    return counts._asdict()


def board_order(order: Order) -> Drawn:
    """An order as everybody may see it: never with a name."""
    return {
        "n": order.job.ticket,
        **_texts(order, "logo", "drink"),
        **_place(order),
        "state": order.job.state.value,
        "t": order.since_s,
    }


def own_order(
    order: Order, ahead: int | None, eta: tuple[float, float] | None, now_s: float
) -> Drawn:
    """An order as those see it who have its link; ``ahead`` is None once it waits no longer."""
    drawn: Drawn = {
        "n": order.job.ticket,
        **_texts(order, "name", "logo", "drink"),
        "state": order.job.state.value,
        "ahead": ahead,
        "position": None if ahead is None else ahead + 1,
        "eta": None if eta is None else [round(end, 1) for end in eta],
        "t": order.since_s,
    }
    if order.is_late(now_s):
        drawn["late"] = True
    if order.is_in_doubt:
        drawn["doubt"] = True
    if order.job.reason and order.job.state in (State.FAILED, State.CANCELLED):
        drawn["reason"] = order.job.reason[:LONGEST_REASON]
    return drawn


def monitor_order(order: Order) -> Drawn:
    """An order as an operator sees it."""
    job = order.job
    drawn: Drawn = {
        "n": job.ticket,
        "id": job.id,
        **_texts(order, "name", "logo", "drink"),
        **_place(order),
        "state": job.state.value,
        "submitted": job.submitted_s,
        "t": order.since_s,
        "attempt": job.attempt,
    }
    if job.hold:
        drawn["hold"] = _hold(job.hold)
    if job.reason:
        drawn["reason"] = job.reason[:LONGEST_REASON]
    return drawn


def monitor_worker(robot: Robot) -> Drawn:
    """A worker as an operator sees it."""
    worker = robot.worker
    drawn: Drawn = {
        "state": robot.doing.value,
        "since": _since_s(robot),
        "seen": _seen_s(robot),
        "refusals": worker.refusals,
    }
    if worker.label:
        drawn["label"] = worker.label[:LONGEST_REASON]
    if link := link_of(worker):
        drawn["link"] = link
    if worker.key:
        drawn["activity"] = worker.key.activity[:LONGEST_REASON]
    if robot.job is not None:
        drawn["ticket"] = robot.job.ticket
        if robot.has_lost_job:
            drawn["unused"] = True
    elif worker.aside:
        drawn["reason"] = worker.aside.reason[:LONGEST_REASON]
    return drawn


def log_entry(event: Event) -> Drawn:
    """A line of the log."""
    drawn: Drawn = {"n": event.number, "kind": event.kind.value, "t": event.at_s}
    if event.job is not None:
        drawn["ticket"] = event.job.ticket
    if event.worker is not None:
        drawn["worker"] = event.worker.id
        if event.worker.label:
            drawn["label"] = event.worker.label[:LONGEST_REASON]
    if event.reason:
        drawn["reason"] = event.reason[:LONGEST_REASON]
    return drawn


def link_of(worker: Worker) -> str | None:
    """The process instance's address, if it is where the callback is: any client can claim it."""
    if not 0 < len(worker.instance_url) <= LONGEST_LINK:
        return None
    return worker.instance_url if _origin(worker.instance_url) == _origin(worker.id) else None


def _origin(url: str) -> tuple[str, str, int] | None:
    try:
        target = split_url(url)
    except ValueError:
        return None
    if target.userinfo or target.scheme not in ("http", "https"):
        return None
    return target.scheme, target.host, target.port


def _texts(order: Order, *names: str) -> dict[str, str]:
    texts = order.texts._asdict()
    return {name: texts[name] for name in names if texts[name] is not None}


def _place(order: Order) -> dict[str, float]:
    """Where it stands in the line, if that is not where its number says."""
    job = order.job
    return {} if job.place == job.ticket else {"place": job.place}


def _hold(hold: Hold) -> Drawn:
    return {
        "worker": hold.worker.id,
        "way": hold.way.value,
        "stage": hold.stage.value,
        "since": hold.since_s,
        **({"unused": True} if hold.unused else {}),
        **({"refused": hold.refused_report[:LONGEST_REASON]} if hold.refused_report else {}),
    }


def _since_s(robot: Robot) -> float:
    if robot.job is not None and robot.job.hold is not None:
        return robot.job.hold.since_s
    worker = robot.worker
    return worker.aside.since_s if worker.aside else worker.registered_s


def _seen_s(robot: Robot) -> float:
    """When it was last heard of: it registered, or took its job."""
    hold = robot.job.hold if robot.job else None
    took_s = hold.since_s if hold and hold.stage is Stage.CONFIRMED else 0.0
    return max(robot.worker.registered_s, took_s)

"""The history checker: the rules C1 to C6 over the history of one run.

C1 and C6 say what may be lost, C2 what may be delivered, C3 to whom, C4 in which order, and C5
that jobs and workers do not wait in vain.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from math import inf
from typing import NamedTuple

from tests.crash.records import Delivery, History, Look, Outcome

LONGEST_TOGETHER_S = 1.0
"""How long a job and a worker may wait together (C5)."""


class Violation(NamedTuple):
    """A rule that was broken, and the evidence."""

    rule: str
    text: str


def check(history: History) -> list[Violation]:
    """Return all violations of all rules."""
    return [Violation(rule.__name__.upper(), text) for rule in RULES for text in rule(history)]


def c1(history: History) -> Iterator[str]:
    """Each acknowledged job is delivered, or still waits at the drain."""
    delivered = {each.data for each in history.taken} | history.cancelled
    for order in _orders(history):
        if order.data not in delivered and order.job_id not in history.left:
            yield f"lost: {_shown(order.data)}, job {order.job_id}"


def c2(history: History) -> Iterator[str]:
    """Only submitted jobs are delivered, with the very bytes that were submitted."""
    ids = defaultdict(set)
    for submission in history.acknowledged:
        ids[submission.data].add(submission.job_id)
    yield from (f"{_shown(d)} became {len(i)} jobs" for d, i in ids.items() if len(i) > 1)
    known = {each.data for each in history.submissions}
    for delivery in history.deliveries:
        if delivery.data not in known:
            yield f"unexpected: {_shown(delivery.data)}, job {delivery.job_id}"
        elif delivery.job_id not in (ids[delivery.data] or {delivery.job_id}):
            yield f"{_shown(delivery.data)} came as another job, {delivery.job_id}"
    called = {each.callback for each in history.registrations}
    for delivery in history.deliveries:
        if delivery.callback not in called:
            yield f"{_shown(delivery.data)} went to {delivery.callback}, which never registered"


def c3(history: History) -> Iterator[str]:
    """A job goes to one worker, and to another only if that is allowed; a callback gets one job."""
    for data, deliveries in _by_data(history.taken).items():
        for first, second in pairwise(deliveries):
            if first.worker != second.worker and not _is_allowed(history, first, second):
                yield f"{_shown(data)} went to {first.worker} and to {second.worker}"
    taken_at: dict[str, bytes] = {}
    for delivery in history.taken:
        if taken_at.setdefault(delivery.callback, delivery.data) != delivery.data:
            yield f"{delivery.callback} was used up and got {_shown(delivery.data)}"


def c4(history: History) -> Iterator[str]:
    """First in, first out: a job acknowledged before another was sent is handed out before it.

    This includes jobs that a worker refused, which return to their own place.
    """
    begun = _begun(history)
    attempts = _by_data(sorted(history.deliveries, key=lambda each: each.began_s))
    first_taken = {data: taken[0] for data, taken in _by_data(history.taken).items()}
    orders = [order for order in _orders(history) if order.data not in history.cancelled]
    starts = {order.data: min(begun.get(order.data, ()), default=inf) for order in orders}
    yield from _overtaken(history, orders, first_taken, starts)
    for order in orders:
        yield from _overtaken_in_place(history, order, orders, attempts, begun)


def c5(history: History) -> Iterator[str]:
    """No free job and usable worker wait together for more than 1 s."""
    jobs: dict[str, float] = {}
    workers: dict[str, float] = {}
    for look in _with_restarts(history):
        seen_s = look.at_s + look.took_s
        jobs = {each: jobs.get(each, seen_s) for each in look.jobs}
        workers = {each: workers.get(each, seen_s) for each in look.workers}
        since_s = max(min(jobs.values(), default=inf), min(workers.values(), default=inf))
        if look.at_s - since_s > LONGEST_TOGETHER_S:
            job, worker = min(jobs, key=jobs.__getitem__), min(workers, key=workers.__getitem__)
            yield f"job {job} and {worker} waited together from {since_s:.3f} to {look.at_s:.3f}"
            jobs, workers = {}, {}


def c6(history: History) -> Iterator[str]:
    """Refused jobs are never delivered."""
    outcomes = defaultdict(set)
    for submission in history.submissions:
        outcomes[submission.data].add(submission.outcome)
    for delivery in history.deliveries:
        if outcomes[delivery.data] == {Outcome.FAILED}:
            yield f"refused, and delivered all the same: {_shown(delivery.data)}"
    callbacks = defaultdict(set)
    for registration in history.registrations:
        callbacks[registration.callback].add(registration.outcome)
    for delivery in history.deliveries:
        if callbacks[delivery.callback] == {Outcome.FAILED}:
            yield f"{delivery.callback} was refused, and got {_shown(delivery.data)}"


RULES: tuple[Callable[[History], Iterator[str]], ...] = (c1, c2, c3, c4, c5, c6)


class _Order(NamedTuple):
    """An acknowledged order: when it was first sent and first acknowledged, and its job's id."""

    data: bytes
    sent_s: float
    known_s: float
    job_id: str


def _orders(history: History) -> list[_Order]:
    """Return all acknowledged orders, by the time of their acknowledgement."""
    sent: dict[bytes, float] = {}
    for each in sorted(history.submissions, key=lambda each: each.began_s):
        sent.setdefault(each.data, each.began_s)
    orders: dict[bytes, _Order] = {}
    for each in sorted(history.acknowledged, key=lambda each: each.ended_s):
        orders.setdefault(each.data, _Order(each.data, sent[each.data], each.ended_s, each.job_id))
    return list(orders.values())


def _begun(history: History) -> dict[bytes, list[float]]:
    """Return when the hand-overs of each order began."""
    begun: dict[bytes, list[float]] = defaultdict(list)
    for delivery in history.deliveries:
        begun[delivery.data].append(delivery.began_s)
    for mark in history.cut_off:
        begun[mark.data].append(mark.at_s)
    return begun


def _overtaken(
    history: History,
    orders: Sequence[_Order],
    first_taken: dict[bytes, Delivery],
    starts: dict[bytes, float],
) -> Iterator[str]:
    known_s = [order.known_s for order in orders]
    latest = list(_running_latest(orders, starts))
    for order in orders:
        delivery = first_taken.get(order.data)
        before = bisect_left(known_s, order.sent_s)
        if delivery is None or not before:
            continue
        earlier = latest[before - 1]
        if starts[earlier.data] > delivery.ended_s + history.slack_s:
            yield f"{_shown(order.data)} overtook {_shown(earlier.data)}"


def _running_latest(orders: Iterable[_Order], starts: dict[bytes, float]) -> Iterator[_Order]:
    """For each prefix of the orders, return the one whose first hand-over began last."""
    latest: _Order | None = None
    for order in orders:
        if latest is None or starts[order.data] > starts[latest.data]:
            latest = order
        yield latest


def _overtaken_in_place(
    history: History,
    order: _Order,
    orders: Sequence[_Order],
    attempts: dict[bytes, list[Delivery]],
    begun: dict[bytes, list[float]],
) -> Iterator[str]:
    """Yield later orders that were handed out while this one, once refused, was waiting again."""
    for refused in attempts.get(order.data, ()):
        if refused.outcome is not Outcome.FAILED:
            continue
        from_s = refused.ended_s + history.slack_s
        until_s = min((s for s in begun[order.data] if s > refused.began_s), default=inf)
        for other in orders:
            if other.sent_s <= order.known_s:
                continue
            for delivery in attempts.get(other.data, ())[:1]:
                if from_s < delivery.began_s and delivery.ended_s + history.slack_s < until_s:
                    yield f"{_shown(order.data)} lost its place to {_shown(other.data)}"


def _is_allowed(history: History, first: Delivery, second: Delivery) -> bool:
    return any(
        mark.data == first.data and first.began_s <= mark.at_s <= second.ended_s
        for mark in history.allowed
    )


def _with_restarts(history: History) -> list[Look]:
    """Return the looks, with an empty one at each restart: C5 does not apply while it is down."""
    nothing: frozenset[str] = frozenset()
    downs = [Look(at_s, nothing, nothing) for at_s in history.restarts_s]
    return sorted([*history.looks, *downs], key=lambda look: look.at_s)


def _by_data(deliveries: Iterable[Delivery]) -> dict[bytes, list[Delivery]]:
    by_data: dict[bytes, list[Delivery]] = defaultdict(list)
    for delivery in deliveries:
        by_data[delivery.data].append(delivery)
    return by_data


def _shown(data: bytes) -> str:
    return data[:60].decode(errors="backslashreplace")

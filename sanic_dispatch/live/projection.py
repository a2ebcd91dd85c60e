"""The projection of events to orders: waiting in order, being served, finished."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from sanic_dispatch.core.events import Event, EventKind
from sanic_dispatch.core.groups import Group
from sanic_dispatch.core.job import Job, State
from sanic_dispatch.core.line import BY_ARRIVAL, Line, Ordering
from sanic_dispatch.core.promise import Promise
from sanic_dispatch.core.rules import ANYTHING, EVERY_ROBOT
from sanic_dispatch.core.turns import Turns
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.dispatch.queries import EARLIER_EVENTS, NO_EARLIER_RUNS, TopicSnapshot
from sanic_dispatch.live.availability import Availability
from sanic_dispatch.live.delta_view import Version
from sanic_dispatch.live.finished import KEEP_FAILED_S, FinishedOrders
from sanic_dispatch.live.forecast import Competition, Experience, Forecast
from sanic_dispatch.live.last_hour import LastHour
from sanic_dispatch.live.log_line import LoggedOrNew
from sanic_dispatch.live.order import Order, Orders
from sanic_dispatch.live.tracked_robots import Robots
from sanic_dispatch.live.why import Reason, Why, needs_of

STATE_CHANGES = (
    EventKind.JOB_ASSIGNED,
    EventKind.JOB_RETURNED,
    EventKind.JOB_DONE,
    EventKind.JOB_FAILED,
    EventKind.JOB_CANCELLED,
)
"""The events with which an order's state, or its attempt, changes."""


def is_listed(kind: str) -> bool:
    """Return whether the monitor lists such events: progress comes too often, and is shown."""
    return kind != EventKind.JOB_PROGRESSED


class QueueCounts(NamedTuple):
    """The counts in the bar of every view, and the drinks that no robot here makes."""

    robots: int
    waiting: int
    assigned: int
    paused: bool
    unavailable: tuple[str, ...] = ()


class Situation(NamedTuple):
    """What decides why an order waits, besides the order itself."""

    is_paused: bool
    rules: frozenset[str]
    rules_at_work: frozenset[str]
    rules_being_matched: frozenset[str]


class _Overlaps(dict[frozenset[str], tuple[bool, bool]]):
    """By the rules of robots that can make another order: whether one of them can make this one,
    and whether each of them can.
    """

    def __init__(self, able: frozenset[str]) -> None:
        super().__init__()
        self._able = able

    def __missing__(self, others: frozenset[str]) -> tuple[bool, bool]:
        overlap = self[others] = not self._able.isdisjoint(others), others <= self._able
        return overlap


class _Rivalry(NamedTuple):
    """Who can make a new order, and the groups of orders for which it would wait.

    ``own_groups`` are those of them that only such robots can make, and ``everyone`` are the rules
    of robots that can make any.
    """

    able: frozenset[str]
    groups: Sequence[Group]
    own_groups: Sequence[Group]
    everyone: frozenset[str]
    overlaps: _Overlaps


class Projection:
    """All orders. A change costs O(log n) for each rule that admits the order, and finding a place
    in the line O(log n) for each group of orders that the same rules admit.

    ``version`` grows with each event, and with each expiration of something that was shown.
    """

    def __init__(
        self,
        keep_failed_s: float = KEEP_FAILED_S,
        ordering: Ordering = BY_ARRIVAL,
        drinks: Callable[[], Sequence[str]] = tuple,
        cancel_assigned: bool = True,
    ) -> None:
        self.version = Version(0)
        self.ordering = ordering
        self.line = Line(self._waiting_job, ordering)
        """The waiting jobs."""
        self._newest: Job | None = None
        """A new job that is not in the line yet, since most are assigned by the next event."""
        self.robots = Robots(self.line)
        self.last_hour = LastHour()
        self.log: deque[LoggedOrNew] = deque(maxlen=EARLIER_EVENTS)
        """The last events."""
        self.listed: deque[LoggedOrNew] = deque(maxlen=EARLIER_EVENTS)
        """The last events that the monitor lists."""
        self.earlier = NO_EARLIER_RUNS
        self.finished = FinishedOrders(keep_failed_s)
        self._assigned: dict[str, Order] = {}
        self.forecast = Forecast(self.robots, self._assigned.values())
        self._orders = Orders()
        self._turns = Turns(self.line)
        self._rivalries: dict[frozenset[str], _Rivalry] = {}
        """By the rules that admit a new order."""
        self._rivalries_at = 0, EVERY_ROBOT
        """The state of groups and robots for which they hold."""
        self._availability = Availability(drinks)
        self._cancel_assigned = cancel_assigned
        self._paused = False

    def seed(self, snapshot: TopicSnapshot, number: int = 0, now_s: float = 0.0) -> None:
        """Load the tables as of event ``number``; later events are folded on top.

        Of the unfinished jobs only those submitted in the hour before ``now_s`` count as arrivals.
        """
        self._paused = snapshot.paused
        self.line.advance(now_s)
        self.earlier = earlier = snapshot.earlier
        self.log.extend(earlier.events)
        self.listed.extend(each for each in earlier.events if is_listed(each.event))
        changed_s = {each.job: each.at_s for each in earlier.events if each.event in STATE_CHANGES}
        for worker in snapshot.workers:
            self.robots.fold(EventKind.WORKER_REGISTERED, worker)
        for job in snapshot.finished:
            self._apply(job, job.finished_s or 0.0)
            self.last_hour.seed(job)
            if job.hold:
                self.forecast.learn(job, job.hold.since_s)
        waiting: list[Job] = []
        for job in snapshot.jobs:
            if job.is_waiting:
                if job.attempt:
                    self._orders.add(Order(job, changed_s.get(job.id)))
                else:
                    self._orders.add_new(job)
                if job.turn:
                    self._turns.note(job)
                waiting.append(job)
            else:
                held_s = job.hold.since_s if job.hold else job.submitted_s
                self._apply(job, changed_s.get(job.id, held_s))
                self.last_hour.seed_wait(job)
        self.last_hour.seed_unfinished(snapshot.jobs, now_s)
        self.line.add_all(waiting)
        self.expire(now_s)
        self.version = Version(number)

    def restore_experience(self, experience: Experience) -> None:
        """Restore the estimator, the promises and the reports of the last run, or the last owner.

        Where that is too little for an estimate, the finished jobs have told more.
        """
        if experience.estimator.has_enough_samples:
            self.forecast.estimator = experience.estimator
        for job_id, promise in experience.promises.items():
            if order := self._orders.get(job_id):
                order.promise = promise
        for job_id, reports in experience.reports.items():
            if order := self._orders.get(job_id):
                order.reports = reports

    def fold(self, *events: Event) -> None:
        """Apply the events of a batch."""
        for event in events:
            if event.job is not None and event.kind is not EventKind.JOB_FORGOTTEN:
                self.last_hour.fold(event)
        for event in events:
            self._fold(event)
        if events:
            self.version = Version(events[-1].number)
        self._line_up_newest()

    def _fold(self, event: Event) -> None:
        if self.line.has_levels:
            self.line.advance(event.at_s)
        self.log.append(event)
        if is_listed(event.kind):
            self.listed.append(event)
        if event.kind is EventKind.JOB_FORGOTTEN:
            self._forget_data(event.job)
        elif event.job is not None:
            is_promised = event.promise is not None or self._can_promise
            order = self._apply(event.job, event.at_s, is_promised=is_promised)
            if order is None:
                pass
            elif event.promise is not None:
                order.promise = event.promise
            elif event.kind is EventKind.JOB_SUBMITTED:
                self._promise(order, event.at_s)
            elif event.kind is EventKind.JOB_PROGRESSED:
                self._learn_progress(order, event.at_s)
        elif event.worker is not None:
            self.robots.fold(event.kind, event.worker)
        else:
            self._paused = event.kind is EventKind.DISPATCH_PAUSED

    def _learn_progress(self, order: Order, at_s: float) -> None:
        progress = order.job.progress
        if progress is not None and progress.percent is not None:
            self.forecast.add_report(order, progress.percent, at_s)

    def promised(self, events: Sequence[Event]) -> Sequence[Event]:
        """Return the events of a batch with promises to the new orders, before they are folded.

        An order counts those of its batch that came before it; else the batch has not happened yet.
        """
        if not self._can_promise:
            return events
        made, lined_up = list(events), list[Job]()
        before = defaultdict[frozenset[str], int](int)
        for at, event in enumerate(events):
            job = event.job
            if event.kind is EventKind.JOB_SUBMITTED and job and job.id not in self._orders:
                if self.line.is_by_arrival:
                    standing = self._standing_of_next(job, before)
                else:
                    self.line.advance(event.at_s)
                    order = self._orders.add(Order(job))
                    self.line.add(job)
                    lined_up.append(job)
                    standing = self._standing(order)
                promise = self.forecast.promise_behind(*standing, event.at_s)
                made[at] = event._replace(promise=promise)
        for job in lined_up:
            self.line.remove(job)
            self._orders.remove(job.id)
        return made

    def _standing_of_next(
        self, job: Job, before: defaultdict[frozenset[str], int]
    ) -> tuple[int, Competition | None]:
        """Return how a new job stands that comes after the whole line and the jobs ``before``.

        These are counted by the rules of robots that can make them; the job is added.
        """
        line = self.line
        if line.is_plain:
            standing: tuple[int, Competition | None] = line.size + sum(before.values()), None
            able = EVERY_ROBOT
        else:
            able, groups, own_groups, everyone, overlaps = self._rivalry(line.admitting(job))
            ahead = sum([group.size for group in groups])
            own = sum([group.size for group in own_groups])
            for others, count in before.items():
                is_rival, is_own = overlaps[others]
                if is_rival:
                    ahead += count
                    own += count if is_own else 0
                    if not others <= everyone:  # rare: most kinds have orders in the line
                        everyone |= others
            is_simple = able and self.robots.are_alike
            standing = ahead, None if is_simple else Competition(able, everyone, own)
        before[able] += 1
        return standing

    def _rivalry(self, admitting: frozenset[str]) -> _Rivalry:
        """Return what stands before a new job that these rules admit; kept while it is the same."""
        rules, line = self.robots.rules_at_work or EVERY_ROBOT, self.line
        now = line.group_changes, rules
        if self._rivalries_at != now:
            self._rivalries_at, self._rivalries = now, {}
        known = self._rivalries.get(admitting)
        if known is None:
            able = (admitting | EVERY_ROBOT) & rules
            by_able = {
                group: (group.admitting | EVERY_ROBOT) & rules
                for group in line.rival_groups(admitting, rules)
            }
            known = self._rivalries[admitting] = _Rivalry(
                able,
                list(by_able),
                [group for group, both_able in by_able.items() if both_able <= able],
                able.union(*by_able.values()),
                _Overlaps(able),
            )
        return known

    def expire(self, now_s: float) -> None:
        """Remove what is no longer shown, and notice an edited menu."""
        changed = self.line.advance(now_s)
        if not self.line.is_plain:  # else every robot makes everything
            changed |= self._availability.take_menu()
        changed |= self.robots.expire(now_s) | self.last_hour.expire(now_s)
        gone = self.finished.expire(now_s)
        self._forget(gone)
        if changed or gone:
            self.version = self.version._replace(age=self.version.age + 1)

    @property
    def assigned(self) -> list[Order]:
        """The orders that are being served, sorted by place when asked for: they are few."""
        return sorted(self._assigned.values(), key=lambda order: order.job.place)

    def get(self, job_id: str) -> Order | None:
        """Return the order with this secret id, if it is shown."""
        return self._orders.get(job_id)

    def next_pair(self, is_reached: Callable[[Worker], bool]) -> tuple[int, str] | None:
        """Return the ticket and the callback that are next in line; None if not both, or paused.

        ``is_reached`` says whether a job could be sent to a robot now: no event tells that.
        """
        if self._paused or not self.line.size:
            return None
        first_of = {
            robot.worker.rule: url
            for url, robot in reversed(self.robots.free.items())
            if is_reached(robot.worker)
        }
        for rule, url in first_of.items():
            if head := self.line.head_for(rule):
                return head.job.ticket, url
        return None

    @property
    def waiting(self) -> Iterator[Order]:
        """The waiting orders, in line."""
        return self._orders.of(self.line)

    def first(self, count: int) -> list[Order]:
        """Return the first waiting orders, at most ``count``."""
        return list(islice(self.waiting, count)) if self.line.size else []

    def position(self, order: Order) -> int:
        """Return the place of a waiting order in the whole line, counted from 1."""
        return self.line.position_of(order.job)

    def ahead(self, order: Order) -> int:
        """Return how many orders before this one wait for a robot that could make it, too.

        These are robots that are present and not set aside. If there are none at all, every order
        before it counts.
        """
        return self.line.ahead(order.job, self.robots.rules_at_work or EVERY_ROBOT)

    def aheads(self, first: Iterable[Order]) -> list[int] | None:
        """Return the same for each of the first orders in line.

        None where all orders before it count: a robot makes everything, or none is at work.
        """
        at_work = self.robots.rules_at_work
        if not at_work or ANYTHING in at_work:
            return None
        counts, aheads = Counter[frozenset[str]](), []
        for order in first:
            able = self._able(order) & at_work
            aheads.append(sum(n for others, n in counts.items() if not able.isdisjoint(others)))
            counts[able] += 1
        return aheads

    def why(self, order: Order) -> Why | None:
        """Return why an order waits; None if it does not."""
        why = self.obstacle(order)
        if why is not None and why.reason is Reason.BEHIND:
            return why._replace(ahead=self.ahead(order))
        return why

    def obstacle(self, order: Order) -> Why | None:
        """Return the same, without how many are before it, which changes all the time."""
        if order.job.state is not State.WAITING:
            return None
        if self._paused:
            return Why(Reason.PAUSED)
        robots, line = self.robots, self.line
        if not robots.rules:
            return Why(Reason.NO_WORKER)
        able = self._able(order)
        if able.isdisjoint(robots.rules):
            return Why(Reason.NO_ABLE_WORKER, needs=needs_of(order.job, robots.rules))
        at_work = able & robots.rules_at_work
        if not at_work:
            return Why(Reason.WORKER_ASIDE)
        if not any(map(line.is_matched, at_work)):
            return Why(Reason.MATCHING)
        return Why(Reason.BEHIND)

    def situation(self) -> Situation:
        """Return the facts on which ``obstacle`` depends, besides the order's data."""
        rules, at_work = frozenset(self.robots.rules), self.robots.rules_at_work
        being_matched = frozenset(rule for rule in rules if not self.line.is_matched(rule))
        return Situation(self._paused, rules, at_work, being_matched)

    def _standing(self, order: Order) -> tuple[int, Competition | None]:
        """Return what ``ahead`` does, and which robots that is about.

        None if all are alike and can make it.
        """
        at_work = self.robots.rules_at_work
        able = at_work if at_work <= EVERY_ROBOT else self._able(order) & at_work
        if self.robots.are_alike and able == at_work:
            return self.ahead(order), None
        rivals = self.line.rivals_by_rules(order.job, at_work)
        own = sum(count for others, count in rivals if others <= able)
        everyone = able.union(*(others for others, _ in rivals))
        return sum(count for _, count in rivals), Competition(able, everyone, own)

    def match_more(self) -> None:
        """Match new rules against some more of the waiting orders."""
        before = self.situation()
        self.line.match_more()
        self.robots.note_matched()
        if self.situation() != before:
            self.version = self.version._replace(age=self.version.age + 1)

    def _able(self, order: Order) -> frozenset[str]:
        """Return the rules of robots that can make an order."""
        return self.line.admitting(order.job) | EVERY_ROBOT

    def window(self, order: Order, now_s: float) -> tuple[float, float] | None:
        """Return between when an order will be ready, Unix seconds; None if that is unknown."""
        if order.job.state is State.ASSIGNED:
            return self.forecast.window_of_service(order)
        promise = self._promise(order, now_s) if order.job.state is State.WAITING else None
        return promise.window() if promise else None

    @property
    def _can_promise(self) -> bool:
        """Whether new orders are promised a time."""
        return not self._paused and self.forecast.estimator.has_enough_samples

    def _promise(self, order: Order, now_s: float) -> Promise | None:
        """Estimate when a waiting order will be ready; the first estimate becomes its promise."""
        if not self._can_promise:
            return None
        self._line_up_newest()
        promise = self.forecast.promise_behind(*self._standing(order), now_s)
        order.promise = order.promise or promise
        return promise

    def window_of_next(self, now_s: float) -> tuple[float, float] | None:
        """Return between when an order submitted now would be ready."""
        if self._paused:
            return None
        promise = self.forecast.promise_behind(self.line.size, None, now_s)
        return promise.window() if promise else None

    def can_stop(self, order: Order) -> bool:
        """Whether the customer can have an order cancelled that a robot makes."""
        job = order.job
        if job.state is not State.ASSIGNED or job.hold is None or job.cancelling:
            return False
        return self._cancel_assigned and job.hold.can_hear

    def counts(self) -> QueueCounts:
        """Return the counts for the bar."""
        return QueueCounts(
            self.robots.number_at_work,
            self.line.size,
            len(self._assigned),
            self._paused,
            self._availability.unavailable(self.robots) if not self.line.is_plain else (),
        )

    def _waiting_job(self, job_id: str) -> Job | None:
        job = self._orders.job(job_id)
        return job if job is not None and job.state is State.WAITING else None

    def _forget_data(self, job: Job | None) -> None:
        """Show an order without its data, if it is shown at all."""
        if job is not None and (order := self._orders.get(job.id)):
            order.replace(job)

    def _apply(self, job: Job, at_s: float, *, is_promised: bool = False) -> Order | None:
        """Take over the record of a job, changed at ``at_s``; return its order.

        None for a new one of which only the job is to be known: it is not promised anything.
        """
        order = self._orders.get(job.id)
        if order is not None:
            self._change(order, job, at_s)
        elif job.state is State.WAITING and not job.attempt:
            order = self._add_newest(job, is_promised)
        else:
            order = self._orders.add(Order(job, at_s))
            if job.turn:
                self._turns.note(job)
            self._insert(order)
        return order

    def _add_newest(self, job: Job, is_promised: bool) -> Order | None:
        order = None
        if is_promised:
            order = self._orders.add(Order(job))
        else:
            self._orders.add_new(job)
        self._line_up_newest()
        self._newest = job
        return order

    def _change(self, order: Order, job: Job, at_s: float) -> None:
        before = order.job
        is_with_same_robot = self.robots.update(before, job)
        if not is_with_same_robot:
            self._withdraw(before, job, at_s)
        order.job = job
        if job.state is not before.state or job.attempt > before.attempt:
            if job.state is State.DONE and before.state is State.ASSIGNED:
                self.forecast.done(order, order.since_s)
            elif job.state is State.ASSIGNED:
                self.forecast.estimator.observe_assignment(at_s)
            order.changed_s, order.reports = at_s, ()
        if job.turn or before.turn:
            self._turns.note(job)
        if is_with_same_robot:
            self.forecast.changes += 1
        else:
            self._insert(order)

    def _insert(self, order: Order) -> None:
        job = order.job
        if job.state is State.WAITING:
            self.line.add(job)
        elif job.state is State.ASSIGNED:
            self._assigned[job.id] = order
            self.robots.assign(job)
            self.forecast.changes += 1
        else:
            self._forget(self.finished.add(order))

    def _line_up_newest(self) -> None:
        if self._newest is not None:
            self.line.add(self._newest)
            self._newest = None

    def _withdraw(self, before: Job, now: Job, at_s: float) -> None:
        if before is self._newest:
            self._newest = None
        elif before.state is State.WAITING:
            self.line.remove(before)
        elif before.state is State.ASSIGNED:
            self._assigned.pop(before.id, None)
            self.robots.release(before, now, at_s)
            self.forecast.changes += 1
        else:
            self.finished.remove(before.id)

    def _forget(self, orders: Iterable[Order]) -> None:
        for order in orders:
            self._orders.remove(order.job.id)
            self._turns.retire(order.job.id)

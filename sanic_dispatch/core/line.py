"""The line: the waiting jobs of a topic, in the one order in which they are served.

The order is

1. jobs that an operator moved to the front;
2. by level, where priorities are on: a job's priority, one level better for every
   ``priority_step_s`` that it has waited, and 0 at best;
3. by turn, where the line is fair: the first job of each customer, then the second of each, and so
   on; in each round first the customer whom workers that take these jobs served longest ago.
   That is start-time fair queueing (Goyal, Vin and Cheng, 1996) with equal weights;
4. by arrival.

A worker gets the first job that its rule admits. So jobs that the same rules admit form a group,
and a step looks at groups and not at jobs. A new rule is matched against the waiting jobs in
slices, since that takes a second for 100,000 of them; see ``match_more``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, KeysView, Set
from heapq import heappop, heappush, merge
from itertools import count
from operator import itemgetter
from typing import NamedTuple

from sanic_dispatch.core.groups import Group, Head, Heads
from sanic_dispatch.core.job import Job
from sanic_dispatch.core.json_pointer import value_at
from sanic_dispatch.core.lanes import ArrivalLane, FairLane, Lane, place_of, ticket_of
from sanic_dispatch.core.rules import (
    ANYTHING,
    EVERY_ROBOT,
    Rule,
    members_of,
    rule_of,
    texts_at,
)
from sanic_dispatch.core.value import Value

SLICE_JOBS = 200
"""How many jobs a new rule is matched against at once: some 4 ms."""

SLICE_BYTES = 2**19
"""How large these may be together."""

MAX_NAME_BYTES = 4096
"""A customer's name that is larger is compared as it is written."""

MOST_KNOWN = 10_000
"""For how many different values of the members that rules name the admitting rules are kept."""

FRONT = 0
"""The level of jobs that an operator moved to the front; that of priority 0 is 1."""


class Ordering(Value, frozen=True):
    """What orders a line besides arrival: see the module. ``fair_by`` is a path of members."""

    priority_step_s: float | None = None
    fair_by: tuple[str, ...] | None = None


BY_ARRIVAL = Ordering()


class Spot(NamedTuple):
    """Where a job stands in the line."""

    group: Group
    level: int
    customer: str


class Line:
    """Waiting jobs in order. ``find`` returns a job of the line by its id, or None."""

    def __init__(self, find: Callable[[str], Job | None], ordering: Ordering = BY_ARRIVAL) -> None:
        self._find = find
        self._ordering = ordering
        self.is_by_arrival = ordering == BY_ARRIVAL
        self.size = 0
        """The number of jobs."""
        self.is_matching = False
        """Whether ``match_more`` has something to do."""
        self.group_changes = 0
        """How often a group came or went, or a rule."""
        self.is_plain = self.is_by_arrival
        """Whether it is by arrival alone, and no rule is known."""
        self.newest: Job | None = None
        """The job with the highest place that any had."""
        self.has_levels = ordering.priority_step_s is not None
        """Whether jobs rise, so that ``advance`` has something to do."""
        self._numbers = count()
        self._plain = Spot(Group(frozenset(), next(self._numbers)), FRONT, "")
        """The spot of most jobs: no rule, no priority, no customer."""
        self._spots: dict[str, Spot] = {}
        """By job id: where those stand that are not there."""
        self._groups = {frozenset[str](): self._plain}
        """By the rules that admit a job: its group, and its spot if the line is by arrival."""
        self._all = Heads()
        """The groups with jobs."""
        self._heads = {ANYTHING: self._all}
        """By rule: those of them that it admits."""
        self._rules: dict[str, Rule] = {}
        self._paths: tuple[tuple[str, ...], ...] = ()
        """The members that any rule names."""
        self._known: dict[tuple[str | None, ...], frozenset[str]] = {}
        """By the values of those members: the rules that admit such a job."""
        self._being_matched: dict[str, None] = {}
        """Rules that the jobs in ``_left`` are still to be matched against."""
        self._next_matched: dict[str, None] = {}
        """Rules that came meanwhile."""
        self._left: list[str] = []
        self._served: dict[str, dict[str, int]] = {}
        """By customer, by rule: the event with which a worker served it last."""
        self._lanes_of: dict[str, dict[FairLane, Group]] = {}
        """By customer: the lanes with its jobs."""
        self._now_s = 0.0
        self._rises: list[tuple[float, int, str, int]] = []
        """A heap of when a job rises a level, with its ticket, its id and its level until then."""

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Job]:
        """Iterate over the jobs, in order."""
        levels: dict[int, list[Lane]] = {}
        for group in self._all.groups:
            for level, lane in group.lanes.items():
                levels.setdefault(level, []).append(lane)
        for level in sorted(levels):
            lanes = levels[level]
            if len(lanes) == 1 and isinstance(lanes[0], ArrivalLane):
                yield from lanes[0]
            else:
                ranked = merge(*(lane.ranked() for lane in lanes), key=itemgetter(0))
                yield from (job for _, job in ranked)

    # ---- jobs

    def add(self, job: Job) -> None:
        """Add a job."""
        spot = self._spot_for(job)
        if spot is not self._plain:
            self._spots[job.id] = spot
        self._insert(job, spot)

    def add_all(self, jobs: Collection[Job]) -> None:
        """Add many jobs."""
        if not self.is_plain:
            for job in jobs:
                self.add(job)
        elif jobs:
            lane = self._lane(self._plain)
            assert isinstance(lane, ArrivalLane)
            lane.add_all(jobs)
            self.size += len(jobs)
            self._plain.group.size += len(jobs)
            self._all.note(self._plain.group.entry())
            self._note_newest(lane.last())

    def remove(self, job: Job) -> None:
        """Remove a job, the very record that was added."""
        group, level, customer = self._spots.pop(job.id, self._plain)
        lane = group.lanes[level]
        lane.remove(job, customer)
        self.size -= 1
        group.size -= 1
        if isinstance(lane, FairLane) and not lane.has(customer):
            del self._lanes_of[customer][lane]
            if not self._lanes_of[customer]:
                del self._lanes_of[customer]
        if not lane:
            del group.lanes[level]
            if not group.lanes:
                self._close(group)

    def first(self) -> Job | None:
        """Return the first job."""
        head = self._all.first()
        return head.job if head else None

    def oldest(self) -> Job | None:
        """Return the job that came first. Takes O(customers) where they take turns."""
        lanes = (lane for group in self._all.groups for lane in group.lanes.values())
        return min((lane.oldest() for lane in lanes), key=ticket_of, default=None)

    def head_for(self, rule: str) -> Head | None:
        """Return the first job that a rule admits; none while the rule is still being matched."""
        return self._heads[rule].first() if self.is_matched(rule) else None

    def position_of(self, job: Job) -> int:
        """Return a job's position, counted from 1."""
        return self.size if self._is_last(job) else self._before(job, self._all.groups) + 1

    def ahead(self, job: Job, rules: Set[str]) -> int:
        """Return how many jobs before a job compete with it: some rule in ``rules`` admits both."""
        if ANYTHING in rules:
            return self.position_of(job) - 1
        return self._before(job, self.rival_groups(self.admitting(job), rules))

    def rivals_by_rules(self, job: Job, rules: frozenset[str]) -> list[tuple[frozenset[str], int]]:
        """Return the competing jobs before a job, counted by which of ``rules`` admit them."""
        groups, anything = self.rival_groups(self.admitting(job), rules), EVERY_ROBOT & rules
        counts = (
            ((group.admitting & rules) | anything, self._before(job, (group,))) for group in groups
        )
        return [(admitting, count) for admitting, count in counts if count]

    def rival_groups(self, admitting: frozenset[str], rules: Set[str]) -> Collection[Group]:
        """Return the groups whose jobs compete with a given job, as in ``ahead``.

        ``admitting`` are all the rules that admit the given job. The groups stay the same while
        ``group_changes`` does.
        """
        if ANYTHING in rules:
            return self._all.groups
        return {group: None for rule in admitting & rules for group in self._heads[rule].groups}

    def lowest_place(self) -> float:
        """Return the lowest place of any job; infinite if there is none. Takes O(jobs)."""
        if self.is_by_arrival:
            first = self.first()
            return first.place if first else float("inf")
        return min((job.place for job in self), default=float("inf"))

    def note_served(self, customer: str, rule: str, event: int) -> None:
        """Note at which event a worker with a rule served a customer last; 0 for never."""
        served = self._served.setdefault(customer, {})
        served[rule] = event
        if not event:
            del served[rule]
        if not served:
            del self._served[customer]
        for lane, group in self._lanes_of.get(customer, {}).items():
            lane.update(customer)
            self._note_head(group)

    def customer_of(self, job: Job) -> str:
        """Return the name of the job's customer, in a fair line; a job without one is its own."""
        if self._ordering.fair_by is None:
            return ""
        raw = value_at(job.data, self._ordering.fair_by)
        if raw is None or raw == b"null":
            return job.id
        return f"value {raw.decode() if len(raw) > MAX_NAME_BYTES else _normal_form(raw)}"

    def advance(self, now_s: float) -> bool:
        """Let jobs rise that have waited for long enough (Unix seconds); return if any moved.

        If the clock was set back by more than a step, all rise anew.
        """
        step_s = self._ordering.priority_step_s
        if step_s is not None and now_s < self._now_s - step_s:
            self._now_s, self._rises = now_s, []
            for each in list(self):
                self.remove(each)
                self.add(each)
            return self.size > 0
        has_any_risen = False
        self._now_s = max(self._now_s, now_s)
        while self._rises and self._rises[0][0] <= self._now_s:
            _, _, job_id, level = heappop(self._rises)
            spot = self._spots.get(job_id)
            job = self._find(job_id) if spot is not None and spot.level == level else None
            if job is not None:
                self.remove(job)
                self.add(job)
                has_any_risen = True
        return has_any_risen

    # ---- rules

    @property
    def rules(self) -> KeysView[str]:
        """The rules to match jobs against: those of workers that are here, or were lately."""
        return self._rules.keys()

    def is_matched(self, rule: str) -> bool:
        """Whether a rule was matched against all jobs; the one that admits anything always was."""
        if not rule:
            return True
        is_pending = rule in self._being_matched or rule in self._next_matched
        return rule in self._rules and not is_pending

    def admitting(self, job: Job) -> frozenset[str]:
        """Return the rules that admit a job, which need not be in the line.

        All that are known are among them; some may be forgotten by now.
        """
        spot = self._spots.get(job.id)
        if spot is not None and not self.is_matching:
            return spot.group.admitting
        return self._admitting(job.data) if self._rules else frozenset()

    def learn(self, rule: str) -> None:
        """Begin to match a rule against the jobs; a short line is matched at once."""
        if not rule or rule in self._rules:
            return
        self._rules[rule] = rule_of(rule)
        self._heads[rule] = heads = Heads()
        for group in self._all.groups:
            if rule in group.admitting:
                heads.note(group.entry())
        self._note_paths()
        self._next_matched[rule] = None
        if not self.is_matching:
            self._begin_matching()
            if len(self._left) <= SLICE_JOBS:
                self.match_more()

    def forget(self, rule: str) -> None:
        """Match a rule against no more jobs."""
        self._rules.pop(rule, None)
        self._heads.pop(rule, None)
        self._being_matched.pop(rule, None)
        self._next_matched.pop(rule, None)
        self._note_paths()

    def match_more(self) -> None:
        """Match new rules against some more jobs."""
        jobs, size = SLICE_JOBS, SLICE_BYTES
        while self._left and jobs > 0 and size > 0:
            job = self._find(job_id := self._left.pop())
            if job is None:
                continue
            jobs, size = jobs - 1, size - len(job.data)
            spot = self._spot_for(job)
            if spot != self._spots.get(job_id, self._plain):
                self.remove(job)
                self.add(job)
        if not self._left:
            self._begin_matching()

    def _begin_matching(self) -> None:
        self._being_matched, self._next_matched = self._next_matched, {}
        lanes = (lane for group in self._all.groups for lane in group.lanes.values())
        self._left = [job.id for lane in lanes for job in lane] if self._being_matched else []
        if not self._left:
            self._being_matched = {}
        self.is_matching = bool(self._left)

    def _note_paths(self) -> None:
        self.group_changes += 1
        self.is_plain = self.is_by_arrival and not self._rules
        named = {each.path: None for rule in self._rules.values() for each in rule.conditions}
        self._paths = tuple(named)
        self._known = {}

    # ---- spots

    def _spot_for(self, job: Job) -> Spot:
        if self.is_plain:
            return self._plain
        admitting = self.admitting(job)
        spot = self._groups.get(admitting)
        if spot is None:
            spot = Spot(Group(admitting, next(self._numbers)), FRONT, "")
            self._groups[admitting] = spot
        if self.is_by_arrival:
            return spot
        return Spot(spot.group, self._level(job), self.customer_of(job))

    def _admitting(self, data: bytes) -> frozenset[str]:
        values = texts_at(data, self._paths)
        known = self._known.get(values)
        if known is None:
            if len(self._known) >= MOST_KNOWN:
                self._known = {}
            members, rules = members_of(data), self._rules.items()
            known = frozenset(text for text, rule in rules if rule.admits(members))
            self._known[values] = known
        return known

    def _level(self, job: Job) -> int:
        if job.place < job.ticket:
            return FRONT
        if self._ordering.priority_step_s is None:
            return 1
        return 1 + max(job.priority - self._steps(job), 0)

    def _steps(self, job: Job) -> int:
        """Return by how many levels a job has risen."""
        step_s, since_s = self._ordering.priority_step_s or 0.0, job.submitted_s
        steps = max(int((self._now_s - since_s) / step_s), 0)
        while since_s + (steps + 1) * step_s <= self._now_s:  # as ``_insert`` reckons it
            steps += 1
        while steps and since_s + steps * step_s > self._now_s:
            steps -= 1
        return steps

    def _insert(self, job: Job, spot: Spot) -> None:
        group, lane = spot.group, self._lane(spot)
        lane.add(job, spot.customer)
        self.size += 1
        group.size += 1
        if isinstance(lane, FairLane):
            self._lanes_of.setdefault(spot.customer, {})[lane] = group
        is_last = self._note_newest(job) and self.is_by_arrival
        if group.size == 1:
            self.group_changes += 1
        if group.size == 1 or not is_last:
            self._note_head(group)
        step_s = self._ordering.priority_step_s
        if step_s is not None and spot.level > 1:
            rises_s = job.submitted_s + (self._steps(job) + 1) * step_s
            heappush(self._rises, (rises_s, job.ticket, job.id, spot.level))

    def _note_newest(self, job: Job) -> bool:
        """Note the job with the highest place, and return whether it is this one."""
        if self.newest is None or place_of(job) >= place_of(self.newest):
            self.newest = job
        return self.newest is job

    def _lane(self, spot: Spot) -> Lane:
        """Return the lane of a spot; it must not stay empty."""
        lanes = spot.group.lanes
        lane = lanes.get(spot.level)
        if lane is None:
            is_fair = self._ordering.fair_by is not None and spot.level != FRONT
            lane = FairLane(self._served, spot.group.admitting) if is_fair else ArrivalLane()
            lanes[spot.level] = lane
        return lane

    def _note_head(self, group: Group) -> None:
        """Note that a group may have another first job than before."""
        entry = group.entry()
        self._all.note(entry)
        for rule in group.admitting:
            if rule in self._heads:
                self._heads[rule].note(entry)

    def _close(self, group: Group) -> None:
        """Note that a group has no jobs."""
        self.group_changes += 1
        if group is not self._plain.group:
            del self._groups[group.admitting]
        self._all.discard(group)
        for rule in group.admitting:
            if rule in self._heads:
                self._heads[rule].discard(group)

    def _is_last(self, job: Job) -> bool:
        """Whether no job of the line comes after this one, as far as that is known at once."""
        newest = self.newest
        return self.is_by_arrival and newest is not None and place_of(job) == place_of(newest)

    def _before(self, job: Job, groups: Collection[Group]) -> int:
        """Return how many jobs of these groups come before a job of the line."""
        spot = self._spots.get(job.id, self._plain)
        if self._is_last(job):  # usual: a new job asks
            return sum([group.size for group in groups]) - (spot.group in groups)
        rank = spot.group.lanes[spot.level].rank_of(job, spot.customer)
        count = 0
        for group in groups:
            for level, lane in group.lanes.items():
                if level < spot.level:
                    count += len(lane)
                elif level == spot.level:
                    count += lane.before(rank)
        return count


def _normal_form(raw: bytes) -> str:
    """Return the same text for the same value."""
    return json.dumps(json.loads(raw), sort_keys=True)

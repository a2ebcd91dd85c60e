"""Lanes: the jobs of one group and one level, in order."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from math import inf
from operator import attrgetter
from typing import Any, Protocol

from sortedcontainers import SortedKeyList, SortedList

from sanic_dispatch.core.job import Job
from sanic_dispatch.core.rules import ANYTHING

Rank = tuple[float, ...]
"""What orders the jobs of one level."""

_place_alone = attrgetter("place")

ticket_of = attrgetter("ticket")

place_of = attrgetter("place", "ticket")
"""What orders jobs by arrival; a job that was moved and put back may have the place of another."""


class Lane(Protocol):
    """The jobs of one group on one level, in order."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Job]: ...
    def add(self, job: Job, customer: str) -> None: ...
    def remove(self, job: Job, customer: str) -> None: ...
    def rank_of(self, job: Job, customer: str) -> Rank: ...

    def first(self) -> tuple[Rank, Job]:
        """Return the first job, and its rank."""

    def oldest(self) -> Job:
        """Return the job that came first."""

    def before(self, rank: Rank) -> int:
        """Return how many jobs have a lower rank."""

    def ranked(self) -> Iterator[tuple[Rank, Job]]:
        """Iterate over ranks and jobs, in order."""


class ArrivalLane:
    """Jobs by arrival, which is their place; those of one place by ticket.

    The list is by place alone, a number that the job has: pairs of place and ticket take 64 B more
    for a job in each line, an eighth of all that is kept of a waiting job.
    """

    def __init__(self) -> None:
        self._jobs: SortedKeyList[Job, float] = SortedKeyList(key=_place_alone)
        self._highest = -inf
        """The highest place that any job had here."""

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs)

    def add(self, job: Job, _: str) -> None:
        if job.place > self._highest:  # usual: it is new
            self._highest = job.place
            self._jobs.add(job)
            return
        later = [each for each in self._at(job.place) if each.ticket > job.ticket]
        for each in later:
            self._jobs.remove(each)
        for each in (job, *later):
            self._jobs.add(each)

    def add_all(self, jobs: Iterable[Job]) -> None:
        """Add many jobs at once: four times as fast as one by one."""
        by_ticket = sorted(chain(self._jobs, jobs), key=ticket_of)
        self._jobs = SortedKeyList(by_ticket, key=_place_alone)  # which is a stable sort
        self._highest = max(self._highest, self._jobs[-1].place)

    def remove(self, job: Job, _: str) -> None:
        if next(iter(self._jobs)) is job:
            self._jobs.pop(0)  # half the time, and the usual case
        else:
            self._jobs.remove(job)

    def first(self) -> tuple[Rank, Job]:
        job: Job = next(iter(self._jobs))
        return place_of(job), job

    def last(self) -> Job:
        """Return the job that comes after all others."""
        job: Job = self._jobs[-1]
        return job

    def oldest(self) -> Job:
        oldest: Job = next(iter(self._jobs))
        for job in self._jobs:
            oldest = min(oldest, job, key=ticket_of)
            if job.place >= job.ticket:  # those after it were not moved either
                break
        return oldest

    def rank_of(self, job: Job, _: str) -> Rank:
        return place_of(job)

    def before(self, rank: Rank) -> int:
        place, ticket = rank
        before, until = self._jobs.bisect_key_left(place), self._jobs.bisect_key_right(place)
        if until - before > 1:
            before += sum([each.ticket < ticket for each in self._at(place)])
        return int(before)

    def ranked(self) -> Iterator[tuple[Rank, Job]]:
        return ((place_of(job), job) for job in self._jobs)

    def _at(self, place: float) -> Iterator[Job]:
        """Iterate over the jobs of one place, by ticket."""
        found: Iterator[Job] = self._jobs.irange_key(place, place)
        return found


class FairLane:
    """Jobs of customers who take turns.

    ``served`` says of each customer at which event a worker of each rule served it last; what
    counts here is the last service by a worker that takes these jobs.
    """

    def __init__(self, served: Mapping[str, Mapping[str, int]], admitting: frozenset[str]) -> None:
        self._served = served
        self._admitting = admitting | {ANYTHING}
        self._jobs: dict[str, list[Job]] = {}
        """By customer, by arrival."""
        self._customers: SortedList[tuple[Any, ...]] = SortedList()
        """When each was served last, the place of their first job, and their names."""
        self._keys: dict[str, tuple[Any, ...]] = {}
        """By customer: their entry in ``_customers``."""
        self._rounds: list[int] = []
        """How many customers have a first job, a second one, and so on."""
        self._several: dict[str, None] = {}
        """Customers with more than one job."""
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Job]:
        """Iterate over the jobs, in no order."""
        return chain.from_iterable(self._jobs.values())

    def add(self, job: Job, customer: str) -> None:
        jobs = self._jobs.setdefault(customer, [])
        insort(jobs, job, key=place_of)
        if len(jobs) > len(self._rounds):
            self._rounds.append(0)
        self._rounds[len(jobs) - 1] += 1
        self._size += 1
        self.update(customer)

    def remove(self, job: Job, customer: str) -> None:
        jobs = self._jobs[customer]
        self._rounds[len(jobs) - 1] -= 1
        self._size -= 1
        if not self._rounds[-1]:
            self._rounds.pop()
        del jobs[bisect_left(jobs, place_of(job), key=place_of)]
        self.update(customer)

    def update(self, customer: str) -> None:
        """Sort a customer in again, whose jobs have changed, or who was served."""
        jobs = self._jobs.get(customer)
        if jobs is None:
            return
        key = (self._served_last(customer), *place_of(jobs[0]), customer) if jobs else None
        before = self._keys.get(customer)
        if key != before:
            if before is not None:
                self._customers.remove(before)
                del self._keys[customer]
            if key is not None:
                self._customers.add(key)
                self._keys[customer] = key
        if len(jobs) > 1:
            self._several[customer] = None
        else:
            self._several.pop(customer, None)
        if not jobs:
            del self._jobs[customer]

    def has(self, customer: str) -> bool:
        """Return whether a customer has jobs here."""
        return customer in self._jobs

    def first(self) -> tuple[Rank, Job]:
        key = self._customers[0]
        return (0, *key[:-1]), self._jobs[key[-1]][0]

    def oldest(self) -> Job:
        return min((jobs[0] for jobs in self._jobs.values()), key=ticket_of)

    def rank_of(self, job: Job, customer: str) -> Rank:
        number = bisect_left(self._jobs[customer], place_of(job), key=place_of)
        return number, *self._keys[customer][:-1]

    def before(self, rank: Rank) -> int:
        number, key = int(rank[0]), rank[1:]
        if number == 0:
            return int(self._customers.bisect_left(key))
        earlier = sum(1 for other in self._of_round(number) if other[:-1] < key)
        if number < len(self._rounds) // 2:
            return sum(self._rounds[:number]) + earlier
        return self._size - sum(self._rounds[number:]) + earlier

    def ranked(self) -> Iterator[tuple[Rank, Job]]:
        for number in range(len(self._rounds)):
            keys = sorted(self._of_round(number)) if number else list(self._customers)
            for key in keys:
                yield (number, *key[:-1]), self._jobs[key[-1]][number]

    def _served_last(self, customer: str) -> int:
        served = self._served.get(customer, {})
        return max((event for rule, event in served.items() if rule in self._admitting), default=0)

    def _of_round(self, number: int) -> Iterator[tuple[Any, ...]]:
        """Iterate over the entries of customers with more than ``number`` jobs, in no order."""
        several = self._several if number else self._jobs
        return (self._keys[each] for each in several if len(self._jobs[each]) > number)

"""Groups: the waiting jobs that the same rules admit, and the first job of many groups."""

from __future__ import annotations

from heapq import heapify, heappop, heappush, heapreplace
from typing import NamedTuple

from sanic_dispatch.core.job import Job
from sanic_dispatch.core.lanes import Lane, Rank

SPARE_ENTRIES = 32
"""How many entries of a heap may be of no use any more, besides as many as there are groups."""


class Head(NamedTuple):
    """The first job of some groups, and what orders it."""

    level: int
    rank: Rank
    job: Job


class Group:
    """Jobs that the same rules admit, by level. ``number`` is another one for each group."""

    __slots__ = ("admitting", "lanes", "number", "size")

    def __init__(self, admitting: frozenset[str], number: int) -> None:
        self.admitting = admitting
        self.number = number
        self.lanes: dict[int, Lane] = {}
        """Lanes that are not empty."""
        self.size = 0
        """The number of jobs."""

    def head(self) -> Head:
        """Return the first job; there must be one."""
        level = min(self.lanes)
        return Head(level, *self.lanes[level].first())

    def entry(self) -> Entry:
        """Return the entry of its first job in a heap."""
        level, rank, _ = self.head()
        return level, rank, self.number, self


Entry = tuple[int, Rank, int, Group]
"""Level and rank of a first job, the number of its group, and the group."""


class Heads:
    """Groups that have jobs, and the first job of them all.

    The groups are in a heap by their first jobs. Where a first job has left, its entry is corrected
    when it comes to the top: a step costs O(log groups).
    """

    def __init__(self) -> None:
        self.groups: dict[Group, Entry] = {}
        """By group: its entry in the heap. No job of the group comes before that."""
        self._heap: list[Entry] = []

    def note(self, entry: Entry) -> None:
        """Note the first job of a group, which may be a new one."""
        group = entry[-1]
        before = self.groups.get(group)
        if before is None or entry < before:
            self.groups[group] = entry
            heappush(self._heap, entry)
            if len(self._heap) > 2 * len(self.groups) + SPARE_ENTRIES:
                self._heap = list(self.groups.values())
                heapify(self._heap)

    def discard(self, group: Group) -> None:
        """Note that a group has no jobs any more."""
        del self.groups[group]

    def first(self) -> Head | None:
        """Return the first job."""
        heap = self._heap
        while heap:
            entry = heap[0]
            group = entry[-1]
            if self.groups.get(group) is not entry:
                heappop(heap)
                continue
            head = group.head()
            if head[:2] != entry[:2]:
                self.groups[group] = now = (head.level, head.rank, group.number, group)
                heapreplace(heap, now)
                if heap[0] is not now:
                    continue
            return head
        return None

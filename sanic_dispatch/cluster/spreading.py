"""Which of the living processes each topic belongs to, computed by every process for itself.

It is rendezvous hashing with bounded loads: each topic prefers the processes in an order of its
own, by a hash of both names, and goes to the first one that has room. So all have the same number
of topics, give or take one, and few topics move when a process joins or leaves.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache

from sanic_dispatch.cluster.members import Member, Members

SETTLE_S = 1.5
"""How long the same processes must have been living before a topic is handed over to one of them:
longer than between two announcements, so that all have noticed who has joined or gone."""


class Turn:
    """Whose turn it is to own a topic."""

    def __init__(self, topic: str, members: Members | None) -> None:
        """Without members the topic is not spread: it is always this process's turn."""
        self._topic = topic
        self._members = members

    def is_ours(self) -> bool:
        """Return whether this process is to own the topic."""
        owner = self.owner()
        return owner is None or self._members is None or owner.name == self._members.own.name

    def owner(self) -> Member | None:
        """Return the living process whose turn it is; None if no living one serves the topic."""
        return spread(self._members.living).get(self._topic) if self._members else None

    def successor(self) -> Member | None:
        """Return the process to hand the topic over to; None if this one is to keep it."""
        is_settled = self._members is not None and self._members.unchanged_s >= SETTLE_S
        return None if not is_settled or self.is_ours() else self.owner()


@lru_cache(maxsize=4)
def spread(members: tuple[Member, ...]) -> Mapping[str, Member]:
    """Return the owner of each topic, from the living processes and the topics that they serve."""
    topics = sorted({topic for member in members for topic in member.topics})
    if not topics:
        return {}
    fewest, with_one_more = divmod(len(topics), len(members))
    loads: Counter[str] = Counter()
    owners = {}
    for topic in topics:
        able = [member for member in members if topic in member.topics]
        most = fewest + (with_one_more > 0)
        free = [member for member in able if loads[member.name] < most]
        least = min(loads[member.name] for member in able)
        candidates = free or [member for member in able if loads[member.name] == least]
        owner = max(candidates, key=lambda member: _weight(member.name, topic))
        owners[topic] = owner
        loads[owner.name] += 1
        with_one_more -= loads[owner.name] == fewest + 1
    return owners


def _weight(name: str, topic: str) -> bytes:
    return hashlib.blake2b(f"{name}\n{topic}".encode(), digest_size=8).digest()

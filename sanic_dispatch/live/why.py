"""Why an order waits, in one of six words."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from itertools import islice
from typing import Any

from sanic_dispatch.core.job import Job
from sanic_dispatch.core.rules import member_of, members_of, rule_of, text_of
from sanic_dispatch.core.value import Value
from sanic_dispatch.live.order import MAX_TEXT_CHARS


class Reason(StrEnum):
    """The reasons; the first that holds is given."""

    PAUSED = "paused"
    NO_WORKER = "no_worker"
    """No worker is here."""
    NO_ABLE_WORKER = "no_able_worker"
    """No present worker, busy, free or set aside, takes such a job."""
    WORKER_ASIDE = "worker_aside"
    """All that take it are set aside."""
    MATCHING = "matching"
    """The rules of the workers that take it are new, and still being matched with the line."""
    BEHIND = "behind"
    """Others are served before, or it is the next."""


class Why(Value, frozen=True):
    """Why an order waits. ``ahead`` goes with BEHIND, ``needs`` with NO_ABLE_WORKER."""

    reason: Reason
    ahead: int | None = None
    needs: tuple[tuple[str, str], ...] = ()
    """What the job has in the members that the present rules name: ``("drink", "mojito")``."""

    def as_json(self, *, for_operators: bool = False) -> dict[str, Any]:
        """Serialize the reason for a view; only operators see what the job needs."""
        shown: dict[str, Any] = {"reason": self.reason.value}
        if self.ahead is not None:
            shown["ahead"] = self.ahead
        if for_operators and self.needs:
            shown["needs"] = dict(self.needs)
        return shown


MAX_NEEDS = 8
"""In how many members at most it is said what an order needs; texts are cut as those of orders."""


def needs_of(job: Job, rules: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return what a job has in the members that rules name."""
    data = members_of(job.data)
    paths = {condition.path for rule in rules for condition in rule_of(rule).conditions}
    values = ((".".join(path), text_of(member_of(data, path))) for path in sorted(paths))
    known = ((path, value) for path, value in values if value is not None)
    return tuple(
        (path[:MAX_TEXT_CHARS], value[:MAX_TEXT_CHARS]) for path, value in islice(known, MAX_NEEDS)
    )

"""The rules of a topic: a queue of jobs and the workers that serve it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, urlencode

from sanic_dispatch.core.job import Hold, Way
from sanic_dispatch.core.json_pointer import steps_of
from sanic_dispatch.core.line import Ordering
from sanic_dispatch.core.worker import Worker

CONNECTED_LEASE_S = 60.0
"""The lease of connected workers where none is set."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules that an operator can choose; times are in seconds.

    A rule that is a setting has its name and its default: ``config/settings.py`` takes them here.

    ``resend_doubt``: True sends a job in doubt to the next worker, False keeps it with its own
    worker, None resends it only if the worker cannot be asked. A worker that has waited longer than
    ``probe_after_s`` is asked whether it still waits before it gets a job. If a worker took a job
    by PUT and its callback is still pending ``unconsumed_after_s`` later, the job is lost. A worker
    that was set aside is dropped if it was not seen for ``worker_patience_s``. An instance that
    holds a job is asked for its state every ``instance_interval_s``. Of the finished jobs the last
    ``keep_finished`` are kept, each for ``keep_done_s``. Present workers have at most ``max_rules``
    different rules. With ``priorities`` jobs have one, and rise a level for every
    ``priority_step_s`` that they have waited. ``fair_by`` is the JSON pointer (RFC 6901) of the
    member that names the customer; customers take turns where it is set. A connected worker has
    ``callback_timeout_s`` to accept a job. With ``cancel_assigned`` a customer may cancel an
    assigned job whose holder can hear of it.
    """

    max_attempts: int = 3
    lease_s: float | None = None
    resend_doubt: bool | None = None
    probe_after_s: float = 60.0
    unconsumed_after_s: float = 30.0
    worker_patience_s: float = 24 * 3600.0
    instance_interval_s: float = 30.0
    max_jobs: int = 100_000
    max_workers: int = 10_000
    keep_finished: int = 10_000
    keep_done_s: float = 24 * 3600.0
    max_rules: int = 100
    priorities: bool = False
    priority_step_s: float = 300.0
    fair_by: str | None = None
    callback_timeout_s: float = 10.0
    cancel_assigned: bool = True

    @property
    def ordering(self) -> Ordering:
        """What orders the line of waiting jobs."""
        path = None if self.fair_by is None else steps_of(self.fair_by)
        return Ordering(self.priority_step_s if self.priorities else None, path)

    @property
    def ordering_text(self) -> str:
        """What orders the line, as events say it: ``priorities=300.0&fair_by=/name``, ``arrival``.

        ``with_ordering`` reads it.
        """
        said = {
            **({"priorities": self.priority_step_s} if self.priorities else {}),
            **({} if self.fair_by is None else {"fair_by": self.fair_by}),
        }
        return urlencode(said, safe="/") or "arrival"

    def with_ordering(self, text: str) -> Policy:
        """Return these rules with the ordering of an event. Raises ValueError."""
        said = dict(parse_qsl(text))
        step_s = float(said["priorities"]) if "priorities" in said else None
        return replace(
            self,
            priorities=step_s is not None,
            priority_step_s=self.priority_step_s if step_s is None else step_s,
            fair_by=said.get("fair_by"),
        )

    def resends(self, worker: Worker) -> bool:
        """Whether a job in doubt with this worker is sent to the next worker without asking."""
        return worker.key is None if self.resend_doubt is None else self.resend_doubt

    def lease_of_s(self, hold: Hold) -> float | None:
        """Return how long a worker may keep a job without a word, in seconds; None: forever.

        A connected worker always has a lease: nothing else would show that it is gone.
        """
        return CONNECTED_LEASE_S if self.lease_s is None and hold.way is Way.OFFER else self.lease_s

"""Jobs: any JSON that waits for a worker, and what has become of it."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from sanic_dispatch.core.timestamps import from_rfc3339
from sanic_dispatch.core.value import Value
from sanic_dispatch.core.worker import Worker


class State(StrEnum):
    """The five words for a job's state, the same on the wire, on the pages and in the metrics."""

    WAITING = "waiting"
    ASSIGNED = "assigned"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether the job is finished; only an operator can change it any more."""
        return self in FINAL


FINAL = (State.DONE, State.FAILED, State.CANCELLED)
"""The final states; ``in FINAL`` takes a fifth of the time of ``is_final``."""


class Way(StrEnum):
    """How a job goes to a worker."""

    PUT = "put"
    ANSWER = "answer"
    OFFER = "offer"
    """To a connected worker, which accepts it, or takes it with the answer to its poll."""


class Stage(StrEnum):
    """How far a hand-over is: ``confirmed`` means 2xx to the PUT, or a 200 that was written."""

    UNDER_WAY = "under way"
    CONFIRMED = "confirmed"
    IN_DOUBT = "in doubt"


class Hold(Value, frozen=True):
    """Who has a job, by which way, how far the hand-over is, and since when (Unix seconds).

    ``is_again``: an earlier attempt with this worker was in doubt, so it may have the job already.
    ``times_unused``: how often the worker took the job by PUT and was then found still waiting on
    that callback. It had lost the job, as an instance does whose process was killed.
    ``refused_report``: why a report on the job was refused, if none was taken since.
    ``reported_s``: when the worker has sent progress, or has extended its lease, last; 0 if never.
    ``began``: the attempt with which a connected worker was offered the job, also if the offer was
    repeated; 0 for all others.
    """

    worker: Worker
    way: Way
    stage: Stage
    since_s: float
    is_again: bool = False
    times_unused: int = 0
    refused_report: str = ""
    reported_s: float = 0.0
    began: int = 0

    @property
    def can_hear(self) -> bool:
        """Whether the worker can be told that the job is to be cancelled.

        It reads what its reports are answered with, or is reached by its connection.
        """
        return self.reported_s > 0 or self.worker.is_connected

    @property
    def is_unused(self) -> bool:
        """Whether the worker answered 2xx and is known not to have the job all the same."""
        return self.stage is Stage.IN_DOUBT and self.times_unused > 0 and not self.is_again


class Progress(Value, frozen=True):
    """How far the worker is, by its own words: 0 to 100 percent, None if it has not said."""

    percent: float | None = None
    text: str = ""


MAX_PRIORITY, DEFAULT_PRIORITY = 7, 3
"""The largest priority, which is served last, and that of a job for which none was given."""

TICKET_DIGITS = 15
"""How many digits a ticket has at most."""


class JobRef(NamedTuple):
    """Names a job: the id alone may come back, since it can be made from an idempotency key."""

    ticket: int
    id: str


def ticket_in(name: str) -> int | None:
    """Return the ticket that names a job; None if the name is an id, which has more digits."""
    is_number = name.isascii() and name.isdecimal() and len(name) <= TICKET_DIGITS
    return (int(name) if is_number else 0) or None


class Job(Value, frozen=True):
    """A job. ``data`` is the very bytes that were submitted; they are never encoded again.

    ``ticket`` counts up and is what people see; ``id`` is a secret of 128 bits. ``place`` orders
    the queue: the ticket, unless an operator moved the job. ``former`` had it until its lease
    ended, and no worker has had it since. ``spent`` are callbacks that took it before: they are
    used up. ``attempt`` counts hand-overs begun, ``refusals`` those refused by a worker that was
    alive all the same. Of a ``forgotten`` job the data is empty, and there is no result.
    ``priority`` is 0 to 7, and 0 is served first. ``turn`` is the number of the event with which it
    was given to its last worker, where customers take turns, and 0 elsewhere. ``progress`` is what
    the holder said last. ``cancelling``: it is to be cancelled, and its holder has to say whether
    it was, or is done.
    """

    id: str
    ticket: int
    data: bytes
    submitted_at: str
    place: float
    state: State = State.WAITING
    hold: Hold | None = None
    former: Hold | None = None
    spent: tuple[str, ...] = ()
    attempt: int = 0
    refusals: int = 0
    finished_s: float | None = None
    reason: str = ""
    result: bytes | None = None
    priority: int = DEFAULT_PRIORITY
    turn: int = 0
    progress: Progress | None = None
    cancelling: bool = False

    @property
    def ref(self) -> JobRef:
        """Its name."""
        return JobRef(self.ticket, self.id)

    @property
    def is_waiting(self) -> bool:
        """Whether it is in the queue."""
        return self.state is State.WAITING

    @property
    def forgotten(self) -> bool:
        """Whether its data was erased: no JSON is empty."""
        return not self.data

    @property
    def data_json(self) -> bytes:
        """Its data, or null if that was erased."""
        return self.data or b"null"

    @property
    def worker(self) -> Worker | None:
        """The worker that holds the job, or held it when it finished."""
        return self.hold.worker if self.hold else None

    @property
    def callbacks(self) -> tuple[str, ...]:
        """The callback URLs of all workers that have, or had, the job."""
        hold = self.hold or self.former
        return (*self.spent, hold.worker.callback_url) if hold else self.spent

    @property
    def submitted_s(self) -> float:
        """When it was submitted, Unix seconds."""
        return from_rfc3339(self.submitted_at)

    def to_wire(self) -> bytes:
        """Encode the job for a worker: ``{"Job":{"id","data","submitted_at"}}``, data verbatim.

        A registration that is repeated is answered with its job, also if that is forgotten by then.
        """
        return b'{"Job":{"id":"%b","data":%b,"submitted_at":"%b"}}' % (
            self.id.encode(),
            self.data_json,
            self.submitted_at.encode(),
        )

    def check(self) -> None:
        """Raise ValueError where state, hold and times contradict each other."""
        from_rfc3339(self.submitted_at)
        if self.state is State.WAITING:
            if self.hold is not None:
                raise ValueError("a waiting job has no hold")
        elif self.state is State.ASSIGNED:
            if self.hold is None:
                raise ValueError("an assigned job has a hold")
        elif self.finished_s is None:
            raise ValueError("a finished job has a time at which it finished")
        if self.forgotten and not self.state.is_final:
            raise ValueError("a job that is not finished has its data")
        if self.state is not State.ASSIGNED and (self.progress or self.cancelling):
            raise ValueError("only an assigned job makes progress or is being cancelled")
        if not 0 <= self.priority <= MAX_PRIORITY:
            raise ValueError(f"a priority is 0 to {MAX_PRIORITY}")

    def without_data(self) -> Job:
        """Return the job as it is when it is forgotten: without its data and its result."""
        return self._replace(data=b"", result=None)

    def numbered(self, ticket: int) -> Job:
        """Return the job with a ticket; jobs in the original service's files have none."""
        return self._replace(ticket=ticket, place=ticket)

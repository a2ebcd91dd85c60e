"""The queue contract: what every backend promises, and what the dispatcher relies on.

- Records keep their order of arrival. A record is free or held; it never changes its place,
  unless an operator moves it (``replace`` with another ``place``; where somebody stands there
  already, it comes right behind that one).
- What returned is durable, in the durable modes. What raised StorageFailed changed nothing.
- Where edits from outside are looked for, every method can raise StorageFailed: when the file as
  it is now cannot be read.
- Only committed records can be seen or paired. A hold hides its record at once; when its write
  fails, the record is free again.
- A record that is being written, and will be free, holds up those behind it: nobody overtakes.
- ``version`` fences: a change made from an older version of the record raises Outdated.
- Changes of one record wait for each other, also two that bring the same record in.
- The event of a change is published after its commit, in the order of the commits, also when the
  caller has been cancelled meanwhile. A change that frees a record must have a note: its event is
  what wakes the pairing. ``Pairs.when_freed`` is for the one case without an event.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from asyncio import Future
from collections.abc import Callable, Mapping
from typing import Generic, NamedTuple, Protocol, Self, TypeVar

from sanic_dispatch.events import Note
from sanic_dispatch.job import Job
from sanic_dispatch.queues.peers import Peers, Snapshot
from sanic_dispatch.tally import CommitTally
from sanic_dispatch.worker import Key, Worker


class Record(Protocol):
    """What a queue needs to know of what it keeps."""

    @property
    def id(self) -> str: ...
    @property
    def place(self) -> float: ...
    @property
    def version(self) -> int: ...
    @property
    def is_free(self) -> bool: ...
    def to_stored(self) -> bytes: ...


R = TypeVar("R", Job, Worker)


class Enqueued(NamedTuple, Generic[R]):
    """A record as it was stored, and how many waited up to and including it right after that."""

    record: R
    position: int


class Facts(NamedTuple):
    """What the dispatcher itself has to remember.

    ``last_ticket`` is at least every ticket that is out of the queue. Job ids and receipts are
    derived from ``secret`` (hex), which is made once.
    """

    last_ticket: int = 0
    paused: bool = False
    secret: str = ""


class Paired(NamedTuple):
    """The oldest job and the oldest worker, both now held."""

    job: Job
    worker: Worker


class Queue(ABC, Generic[R]):
    """A FIFO queue of jobs or of workers."""

    @abstractmethod
    async def open(self) -> None:
        """Read what is stored. Raises NotAQueue where it cannot be read, and leaves it alone."""

    @abstractmethod
    async def close(self) -> None:
        """Write what is still to be written; nothing can be done with the queue afterwards."""

    @abstractmethod
    async def enqueue(self, record: R, *notes: Note) -> R:
        """Store a new record at the end, and return it as stored.

        A job without a ticket gets the next number, a worker its place. Raises AlreadyQueued
        where the id is in the queue, or is that of a finished job that is still kept.
        """

    @abstractmethod
    async def replace(self, record: R, *notes: Note) -> R:
        """Store a changed record, and return it with its new version.

        Raises Outdated where the record was changed since, or is gone.
        """

    @abstractmethod
    async def remove(self, record_id: str, *notes: Note) -> bool:
        """Forget a record; False where there is none."""

    @abstractmethod
    async def get(self, record_id: str) -> R | None:
        """The record of that id."""

    @abstractmethod
    async def items(self) -> list[R]:
        """All records, free and held, in order."""

    @abstractmethod
    async def size(self) -> int:
        """How many records are free."""

    async def depth(self) -> int:
        """The same with those on their way in: what a limit counts."""
        return await self.size()

    @abstractmethod
    async def position(self, record_id: str) -> int:
        """How many free records wait up to and including this one; 0 where it is not free."""

    @abstractmethod
    async def of_key(self, key: Key) -> list[R]:
        """The workers of that key; or the jobs that it holds."""

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class JobQueue(Queue[Job]):
    """The queue of jobs, which also keeps the finished ones for a while."""

    @abstractmethod
    async def finish(self, job: Job, *notes: Note) -> Job:
        """Move a job, now in a final state, out of the queue and keep it, in one step.

        Raises Outdated where the job was changed since, or is gone.
        """

    @abstractmethod
    async def put_back(self, job: Job, *notes: Note) -> Job:
        """Move a finished job, now waiting, back to its own place, in one step.

        Raises UnknownJob where it is not kept any more, Outdated where it was put back already.
        """

    @abstractmethod
    async def finished(self, job_id: str) -> Job | None:
        """A finished job that is still kept."""

    @abstractmethod
    async def all_finished(self) -> list[Job]:
        """All finished jobs that are still kept, the oldest first."""

    @abstractmethod
    async def of_instance(self, instance: str) -> list[Job]:
        """The jobs that the activities of a process instance hold, as ``of_key`` finds them.

        Costs O(n) in the workers that hold a job.
        """

    @abstractmethod
    async def at_callback(self, callback_url: str) -> Job | None:
        """The job that this callback got, whatever became of it: such a callback is used up."""

    @abstractmethod
    async def facts(self) -> Facts:
        """What the dispatcher has to remember, as last stored."""

    @abstractmethod
    async def pause(self, paused: bool, *notes: Note) -> None:
        """Store whether the dispatching is paused."""


class Pairs(ABC):
    """The atomic steps over both queues: oldest job to oldest worker, and nobody overtakes."""

    jobs: JobQueue
    workers: Queue[Worker]
    peers: Peers = Peers()

    @abstractmethod
    async def offer(self, job: Job, now_s: float) -> Paired | Enqueued[Job]:
        """Take in a new job: held at once by the oldest worker if one is free and nothing waits,
        else at the end of the line. Raises AlreadyQueued and StorageFailed."""

    def line_up(self, job: Job, now_s: float, most: int) -> Future[Enqueued[Job]] | None:
        """The same as ``offer`` for a job that nobody can take now: it is on its way when this
        returns, whoever awaits that it is stored.

        None, and nothing has changed, where it is not that simple: the files have to be looked at
        first, a worker may be free, the id is known, or ``most`` wait already.
        """
        return None

    @abstractmethod
    async def ask(self, worker: Worker, now_s: float) -> Job | None:
        """Take in a new worker: the oldest free job is held by it if no worker waits before it,
        else it stands at the end of the line and None is returned. Raises AlreadyQueued where it
        stands in line already, and StorageFailed."""

    @abstractmethod
    async def pair(self, now_s: float) -> Paired | None:
        """Hold the oldest free job and the oldest free worker, or None where there are not both.

        Raises StorageFailed, and then both are free again.
        """

    @abstractmethod
    async def hold_named_workers(self) -> list[Job]:
        """At start, before any pairing: hold every worker that a held job names.

        Returns the held jobs, in order; of several dispatchers' jobs, those of the dead ones.
        """

    @abstractmethod
    async def pairable(self) -> int:
        """How many pairs could be made now."""

    def may_pair(self) -> bool:
        """Whether a pair could perhaps be made now; False only where it is known that none can."""
        return True

    @abstractmethod
    def when_freed(self, call: Callable[[], None]) -> None:
        """Call this whenever records may be free again because a write failed: no event says so.

        It can come at once and often, as long as no write succeeds: whoever tries again waits.
        """

    async def snapshot(self) -> Snapshot:
        """All that is stored, as of the last event that was told. Raises StorageFailed."""
        jobs, finished = await self.jobs.items(), await self.jobs.all_finished()
        facts = await self.jobs.facts()
        return Snapshot(jobs, finished, await self.workers.items(), facts.paused)

    def commits(self) -> Mapping[str, CommitTally]:
        """What the commits took, by queue; nothing where there is nothing to be written."""
        return {}

    async def try_writing(self) -> None:
        """Find out whether a change could be written now, and change nothing.

        A backend that cannot do better looks whether its storage answers. Raises StorageFailed.
        """
        await self.jobs.facts()

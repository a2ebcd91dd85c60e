"""The event log: what happened, kept beyond the run, and questions about it.

Every store has one. Events come in with their batch and are there exactly once, in the order of
their numbers. Numbers count on over restarts. Each run that may have lost something of the one
before begins a new epoch, and the log knows with which number: a number that a client has of an
older epoch is good if it is smaller than the first of the next.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import NamedTuple, TypeVar

from sanic_dispatch.config.settings import Settings
from sanic_dispatch.core.events import Event
from sanic_dispatch.core.job import JobRef
from sanic_dispatch.errors import StorageFailed
from sanic_dispatch.storage.event_record import LoggedEvent, Payload
from sanic_dispatch.storage.snapshots import MemorySnapshots, Snapshots

MAX_LIMIT = 1000
"""The most events of one page."""

RECENT_EVENTS = 5000
"""How many of the newest events a new owner of a topic looks at: those of some 1,000 orders."""

MAX_EPOCHS = 1000
"""How many epochs are remembered."""

Rest = Callable[[], None]
"""Called often during long work, so that other threads get the interpreter."""


def no_rest() -> None:
    """Do not rest."""


class Epoch(NamedTuple):
    """A span of numbers in which nothing was lost, from ``first_n`` to the next epoch."""

    name: str
    first_n: int
    at_s: float


class Question(NamedTuple):
    """Which events to find; None does not matter.

    ``worker`` is a callback or a label, ``kind`` the event's name. ``from_s`` is inclusive and
    ``to_s`` exclusive (Unix seconds). ``text`` is looked for in reasons and labels, in any case.
    ``after`` is the number of the last event that is known already. ``job`` is an id, which is in
    no index: the whole log is read for it.
    """

    ticket: int | None = None
    worker: str | None = None
    kind: str | None = None
    from_s: float | None = None
    to_s: float | None = None
    text: str | None = None
    after: int = 0
    limit: int = 100
    job: str | None = None

    def matches(self, event: LoggedEvent) -> bool:
        """Return whether an event is an answer."""
        return (
            event.n > self.after
            and (self.ticket is None or event.ticket == self.ticket)
            and (self.job is None or event.job == self.job)
            and (self.kind is None or event.event == self.kind)
            and (self.worker is None or self.worker in (event.worker, event.callback))
            and is_in_span(event.at_s, self.from_s, self.to_s)
            and (self.text is None or _has_text(event, self.text.casefold()))
        )


class Damage(NamedTuple):
    """A place in a file that cannot be read."""

    path: Path
    byte: int
    why: str


class Unreadable(Damage):
    """A file that cannot be read now, as behind a fault of the disk; it may be whole."""


class Hole(NamedTuple):
    """Numbers of events that are not there, and the times of the events around them."""

    first_n: int
    last_n: int
    from_s: float
    to_s: float


class EventWithPayload(NamedTuple):
    """An event with what came with it; None also if that was erased, or is not kept."""

    event: LoggedEvent
    payload: Payload | None = None


Missing = Damage | Hole
"""A part of the log that an answer cannot have."""

E = TypeVar("E", LoggedEvent, Payload)


def readable(found: Iterable[E | Missing], missing: list[Missing]) -> Iterator[E]:
    """Yield the events or payloads, and append the damage and the holes to ``missing``."""
    for each in found:
        if isinstance(each, Damage | Hole):
            missing.append(each)
        else:
            yield each


class Page(NamedTuple):
    """Events in the order of their numbers.

    ``next`` is the next question's ``after`` if there are more. ``damage`` and ``holes`` say what
    may be missing.
    """

    events: Sequence[LoggedEvent]
    next: int | None = None
    damage: Sequence[Damage] = ()
    holes: Sequence[Hole] = ()


class Retention(NamedTuple):
    """How long the log may be: in seconds and in bytes. Without ``payloads`` it has only events."""

    keep_s: float = inf
    keep_bytes: int = 2**63
    payloads: bool = True


KEEP_ALL = Retention()


def retention_of(settings: Settings) -> Retention:
    """Return how long the history may be."""
    return Retention(
        settings.keep_history_s, settings.keep_history_bytes, settings.history_payloads
    )


@dataclass(slots=True)
class LogStats:
    """What the log has on the disk, and how many events it does not have any more."""

    size_bytes: int = 0
    dropped: int = 0
    """Events that were too old, or too many."""
    lost: int = 0
    """Events for which the disk had no room."""
    is_failing: bool = False
    """Whether the last events could not be written: they wait in memory."""


class EventLog(ABC):
    """The events of a topic. Methods block, and may be called in any thread."""

    lasts: bool = True
    """Whether it has the events of other processes; False for a log in memory."""

    def __init__(self) -> None:
        self.stats = LogStats()
        self.snapshots: Snapshots = MemorySnapshots()
        """What was folded from the events so far, to go on from; the log deletes what it must."""
        self.withheld: frozenset[JobRef] = frozenset()
        """Forgotten jobs whose data may not be erased yet: no answer has it any more."""

    @property
    @abstractmethod
    def last_number(self) -> int:
        """The number of the last event, as of the last ``load`` or batch; 0 if there is none."""

    @property
    @abstractmethod
    def epochs(self) -> Sequence[Epoch]:
        """The epochs that are known, oldest first."""

    @abstractmethod
    def begin_epoch(self, name: str, at_s: float) -> None:
        """Begin an epoch with the next event, durably where the log is. Raises OSError."""

    @abstractmethod
    def invalidate_cursors(self) -> None:
        """Make no number of the epochs so far good any more, in Redis for this run only.

        Else this is durable with the next epoch.
        """

    @abstractmethod
    def find(self, question: Question) -> Page:
        """Return the first events that match, at most ``question.limit``."""

    def pages(self, question: Question) -> Iterator[Page]:
        """Yield the pages of all events that match, from ``question.after`` on."""
        page = self.find(question)
        yield page
        while page.next is not None:
            page = self.find(question._replace(after=page.next))
            yield page

    def newest(self, most: int) -> Sequence[LoggedEvent]:
        """Return the last events, at most ``most``, oldest first and without a gap up to the last.

        There are none if the last one is missing.
        """
        last_n = self.last_number
        return ends_of(self.find(Question(after=max(0, last_n - most), limit=most)).events, last_n)

    @abstractmethod
    def scan(
        self, from_s: float | None = None, to_s: float | None = None
    ) -> Iterator[LoggedEvent | Missing]:
        """Yield all events of a span, oldest first; damage where it is met, holes at the end."""

    @abstractmethod
    def payloads(
        self, from_s: float | None = None, to_s: float | None = None
    ) -> Iterator[Payload | Missing]:
        """Yield data and results of jobs, in the order of the events that brought them.

        Damage is yielded where it is met.
        """

    @abstractmethod
    def events_with_payloads(self, after: int) -> Iterator[EventWithPayload]:
        """Yield the events after a number, in order; what is missing is a gap in the numbers.

        Raises OSError for what cannot be read now: it may be there again.
        """

    @property
    @abstractmethod
    def settled_n(self) -> int:
        """The number up to which no event can be lost any more and its number be given again."""

    def cuts(self) -> Collection[int]:
        """Return the numbers of events up to which the log may be dropped as a whole."""
        return ()

    def maintain(self) -> None:
        """Write what could not be written before, and delete what is too old; call it at times."""
        return

    @abstractmethod
    def erase(self, jobs: Collection[JobRef]) -> None:
        """Erase data and results of these jobs for good; the events stay. Raises OSError."""

    @abstractmethod
    def copy_to(self, folder: Path, last_n: int, rest: Rest) -> int:
        """Write the events up to ``last_n``, and the epochs, to a data folder without any.

        The epochs are ``unnamed``: who goes on from the copy sends the state to every page. Return
        how many events that were. ``rest`` is called often. Raises OSError.
        """

    def note(self, events: Sequence[Event]) -> None:
        """Take in published events, unless they came in with their batch."""
        return


def number_before(epochs: Iterable[Epoch]) -> int:
    """Return the number of the last event before the last epoch began; 0 if there is none."""
    return max((epoch.first_n - 1 for epoch in epochs), default=0)


def unnamed(epochs: Iterable[Epoch]) -> list[Epoch]:
    """Return epochs of which no number is good: they still say what happened when."""
    return [epoch._replace(name="") for epoch in epochs]


def is_good(epochs: Sequence[Epoch], name: str, number: int) -> bool:
    """Return whether a cursor is valid: the log still has what it had up to it."""
    names = [epoch.name for epoch in epochs]
    if name not in names:
        return False
    return all(number < later.first_n for later in epochs[names.index(name) + 1 :])


def ends_of(events: Sequence[LoggedEvent], last_n: int) -> Sequence[LoggedEvent]:
    """Return the last events of some in order: without a gap, and up to ``last_n``."""
    found = len(events)
    while found and events[found - 1].n == last_n - (len(events) - found):
        found -= 1
    return events[found:]


def page_of(events: Iterable[LoggedEvent], question: Question) -> Page:
    """Return the page of a question, of events in order."""
    found: list[LoggedEvent] = []
    for event in events:
        if question.matches(event):
            if len(found) == question.limit:
                return Page(found, found[-1].n if found else question.after)
            found.append(event)
    return Page(found)


def check_readable(page: Page) -> None:
    """Raise StorageFailed if the page may have more events once its files can be read."""
    for each in page.damage:
        if isinstance(each, Unreadable):
            raise StorageFailed(f"the history cannot be read: {each.path}: {each.why}")


def is_in_span(at_s: float, from_s: float | None, to_s: float | None) -> bool:
    """Return whether a time is in a span, whose ends may be open."""
    return (from_s is None or at_s >= from_s) and (to_s is None or at_s < to_s)


def _has_text(event: LoggedEvent, folded: str) -> bool:
    return folded in event.reason.casefold() or folded in event.worker.casefold()

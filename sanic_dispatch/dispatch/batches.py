"""Batches: commands are applied soon, and nothing leaves the process before their commit.

Commands that arrive in one turn of the event loop are applied together in the next one, in the
order in which they came; what they change is one batch. One batch is being committed, one gathers.
A batch that becomes durable lets go of its outputs: effects, replies, events. The next one is
committed once no more commands come, which is at once where few clients are. A reply waits for the
newest batch applied before it, also where its own command changed nothing, since it may have seen
what is not durable yet.

A commit ends in one of three ways:

- durable: the outputs leave.
- not durable: the changes of this batch and of the one that gathers are undone, and their requests
  get StorageFailed. What has already happened outside (outcomes of deliveries, timers) is kept, and
  applied again as soon as the store takes something.
- unknown: the batch is given to the store again until its fate is known, and nothing is applied
  meanwhile. A request waits for that for COMMIT_WAIT_S.

A store that other programs may edit (``rereads``) is read before each batch; nothing gathers then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any

import structlog
from msgspec import Struct

from sanic_dispatch.clock import Clock, Timer
from sanic_dispatch.cluster.forwarded_origin import ORIGIN
from sanic_dispatch.core import commands as c
from sanic_dispatch.core.effects import Effect
from sanic_dispatch.core.events import Event, EventKind
from sanic_dispatch.core.state_machine import Applied, Now, StateMachine
from sanic_dispatch.core.tables import Change, Table, Undoable
from sanic_dispatch.errors import (
    DispatchError,
    LostOwnership,
    OutcomeUnknown,
    ShuttingDown,
    StorageError,
    StorageFailed,
)
from sanic_dispatch.observability.durations import CommitStats
from sanic_dispatch.storage.store import Batch, Edit, EditedMeanwhile, Store

COMMIT_RETRY_S = 0.5
"""How long to wait before a commit, or what must not be lost, is tried again."""

COMMIT_WAIT_S = 4.0
"""How long a request waits while a commit does not come to an end; COMMIT_RETRY_S more at most."""

GATHER_S = 0.003
"""How long the next batch may grow after a commit, while requests keep coming."""

QUIET_TURNS = 4
"""How many turns of the event loop without a new request end the gathering.

From its socket to its batch a request takes three.
"""

_READS = (c.LookUp, c.Read)
"""Commands that change nothing: after a commit has failed they see what is durable.

Not where another process may own the topic by now.
"""

Promised = Callable[[Sequence[Event]], Sequence[Event]]

_About = tuple[str, str | None]
"""What a refused report is about: the job, and the instance that says so."""

_log = structlog.get_logger("sanic_dispatch")


def without_promises(events: Sequence[Event]) -> Sequence[Event]:
    """Return events as they are."""
    return events


class _QueuedCommand(Struct, eq=False):
    """A command, and the request that waits for its reply, if there is one."""

    command: c.Command
    since_s: float
    reply: asyncio.Future[Any] | None = None
    if_cut_off: Callable[[Any], None] | None = None
    applied: Applied | None = None

    def answer(self, reply: Any) -> None:
        """Give the request its reply, or ``if_cut_off`` if it was cancelled meanwhile."""
        future = self.reply
        if future is None:
            return
        if future.done():
            if self.if_cut_off is not None:
                self.if_cut_off(reply)
        elif isinstance(reply, DispatchError):
            future.set_exception(reply)
        else:
            future.set_result(reply)

    def refuse(self, error: Exception) -> None:
        """Fail the request, unless it was cancelled or has its reply."""
        if self.reply is not None and not self.reply.done():
            self.reply.set_exception(error)


@dataclass(slots=True)
class _Pending:
    """Commands that were applied together after event ``number``, and their changes."""

    number: int
    entries: list[_QueuedCommand] = field(default_factory=list)
    changes: list[Undoable] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    @property
    def is_to_be_stored(self) -> bool:
        """Whether records have changed, or something happened."""
        return any(isinstance(each, Change) for each in self.changes) or bool(self.events)


class Batches:
    """Applies commands to a state machine, and commits what they change to a store."""

    def __init__(
        self,
        machine: StateMachine,
        store: Store,
        clock: Clock,
        stats: CommitStats,
        on_events: Callable[[Sequence[Event]], None],
        on_effect: Callable[[Effect], None],
        promised: Promised = without_promises,
    ) -> None:
        """Call ``on_events`` with durable events, and ``on_effect`` with effects that are due.

        In the service: ``Dispatcher._publish`` and ``Dispatcher._begin_effect``. ``promised``
        returns the events of a batch with promises, just before the commit.
        """
        self._promised = promised
        self._stats = stats
        self._machine = machine
        self._store = store
        self._clock = clock
        self._on_events = on_events
        self._on_effect = on_effect
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
        """Not that of a request: a batch is of many."""
        self._inbox: list[_QueuedCommand] = []
        self._kept: list[_QueuedCommand] = []
        """Commands that were undone but have happened outside, to be applied again."""
        self._retry: Timer | None = None
        self._gathering = _Pending(machine.number)
        self._committing: asyncio.Task[None] | None = None
        self._under_way: _Pending | None = None
        """What is being committed."""
        self._committed = 0
        self._called_off: list[Effect] = []
        """Effects that were called off by a command that is not durable yet."""
        self._is_edited = False
        """Whether an edit from outside was applied that is not committed yet."""
        self._is_blocked = False
        self._refusal: type[DispatchError] | None = None
        """What requests get once it is closed."""
        self._is_due = False

    def begin(self) -> None:
        """Start at the last event of the state machine, after its records were loaded."""
        self._gathering = _Pending(self._machine.number)

    # ---- commands come in

    def execute(
        self, command: c.Command, if_cut_off: Callable[[Any], None] | None = None
    ) -> asyncio.Future[Any]:
        """Apply a command soon; the future has its reply once that is durable.

        It is applied in the next turn of the loop (``_apply_soon``), later while the store is read
        or the outcome of a commit is unknown. If the future is cancelled before it has its reply,
        ``if_cut_off`` gets that.
        """
        reply: asyncio.Future[Any] = self._loop.create_future()
        self._take_in(_QueuedCommand(command, self._clock.monotonic_s(), reply, if_cut_off))
        return reply

    def report(self, command: c.Command) -> None:
        """Apply a command for something that has happened outside; it is never dropped."""
        self._take_in(_QueuedCommand(command, self._clock.monotonic_s()))

    @property
    def last_event(self) -> int:
        """The number of the last event, as of the last command that was applied."""
        return self._machine.number

    @property
    def is_idle(self) -> bool:
        """Whether every command is committed or refused."""
        return not (self._inbox or self._kept or self._gathering.entries or self._committing)

    async def idle(self) -> None:
        """Return once every command is committed or refused."""
        while not self.is_idle:
            if self._committing is not None:
                await asyncio.wait([self._committing])
            elif self._is_due:
                await asyncio.sleep(0)
            else:  # what is kept is tried again later
                await self._clock.sleep(COMMIT_RETRY_S)

    async def close(self, refusal: type[DispatchError] = ShuttingDown) -> None:
        """Refuse the requests whose commands are not committed, and those that come later."""
        self._refusal = refusal
        if self._committing is not None:
            self._committing.cancel()
            await asyncio.gather(self._committing, return_exceptions=True)
        if self._under_way is not None:  # its task may have been ended before it began
            self._give_up(self._under_way)
        for entry in (*self._gathering.entries, *self._inbox):
            entry.refuse(refusal())
        self._inbox.clear()

    def _take_in(self, entry: _QueuedCommand) -> None:
        if type(entry.command) in c.ONCE:
            entry.command = _known_by_number(entry.command)
        if self._refusal is not None:
            entry.refuse(self._refusal())
            return
        self._inbox.append(entry)
        self._apply_soon()

    def _apply_soon(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._apply_all, context=self._context)

    # ---- they are applied

    def _apply_all(self) -> None:
        """Apply the inbox; a store that is edited from outside is read before."""
        self._is_due = False
        if self._is_blocked or self._refusal or not self._inbox:
            return
        if not self._store.rereads:
            self._gather()
            self._go_on()
        elif self._committing is None:
            self._committing = self._loop.create_task(self._reread_and_commit())

    def _gather(self) -> None:
        entries, self._inbox, self._kept = [*self._kept, *self._inbox], [], []
        now = self._now()
        for entry in entries:
            try:
                entry.applied = self._machine.apply(entry.command, now)
            except Exception as error:  # a mistake of ours must not take the others with it
                _log.exception("command.failed", command=type(entry.command).__name__)
                entry.refuse(error)
            else:
                self._gathering.entries.append(entry)
                self._gathering.events += entry.applied.events
        self._gathering.changes += self._machine.tables.take_changes()

    def _now(self) -> Now:
        return Now(self._clock.now_s(), self._clock.monotonic_s())

    def _go_on(self) -> None:
        """Commit the gathered batch, or release it at once if it changed nothing."""
        while self._committing is None and self._gathering.entries and not self._refusal:
            pending = self._take_gathered()
            if pending.is_to_be_stored and self._store.lasts:
                self._begin(self._commit, pending)
            elif self._store.may_act():
                self._promise(pending)
                self._release(pending)
            else:
                self._begin(self._confirm, pending)

    def _begin(
        self, work: Callable[[_Pending], Coroutine[Any, Any, None]], pending: _Pending
    ) -> None:
        self._under_way = pending
        self._committing = self._loop.create_task(work(pending))

    def _ended(self) -> None:
        self._under_way = self._committing = None

    def _take_gathered(self) -> _Pending:
        pending, self._gathering = self._gathering, _Pending(self._machine.number)
        return pending

    # ---- and committed

    async def _commit(self, pending: _Pending) -> None:
        try:
            await self._write(pending)
        except Exception as error:  # one that is none of the store's comes before the commit
            self._take_back(pending, error)
        else:
            self._release(pending)
            await self._gather_more()
        finally:
            self._ended()
        self._go_on()

    async def _gather_more(self) -> None:
        """Let the next batch grow while requests keep coming, for GATHER_S at most.

        A single request does not wait. A commit costs hardly more for many: with 64 clients at a
        time a submission takes 10 % less CPU time (CachedJsonFile, Sqlite).
        """
        until_s = self._clock.monotonic_s() + GATHER_S
        size = quiet_turns = 0
        while (
            len(self._gathering.entries) > 1
            and quiet_turns < QUIET_TURNS
            and self._clock.monotonic_s() < until_s
        ):
            before, size = size, len(self._gathering.entries) + len(self._inbox)
            quiet_turns = 0 if size > before else quiet_turns + 1
            await asyncio.sleep(0)

    async def _confirm(self, pending: _Pending) -> None:
        """Release a batch without changes once this process is confirmed as the owner."""
        try:
            await self._store.confirm()
        except Exception as error:  # nothing was to be stored, so this undoes nothing durable
            self._take_back(pending, error)
        except asyncio.CancelledError:
            self._give_up(pending)
            raise
        else:
            self._release(pending)
        finally:
            self._ended()
        self._go_on()

    async def _write(self, pending: _Pending) -> None:
        """Commit a batch until its fate is known. Raises StorageFailed or EditedMeanwhile."""
        self._promise(pending)
        batch = Batch(self._committed + 1, combined(pending.changes), pending.events)
        began_s = self._clock.monotonic_s()
        patience = _Patience(self._clock, lambda: self._refuse_late(pending))
        try:
            while not await self._try_commit(batch):
                self._block()
                await self._clock.sleep(COMMIT_RETRY_S)
        except StorageFailed:
            self._stats.failed()
            raise
        except asyncio.CancelledError:
            self._give_up(pending)
            raise
        finally:
            patience.end()
            if self._is_blocked:
                self._is_blocked = False
                self._apply_soon()
        self._committed += 1
        self._stats.succeeded(len(batch.changes), self._clock.monotonic_s() - began_s)

    async def _try_commit(self, batch: Batch) -> bool:
        """Commit a batch; False if the outcome is unknown. Raises as ``_write``."""
        try:
            await self._store.commit(batch)
        except (StorageFailed, LostOwnership, EditedMeanwhile):
            raise
        except Exception as error:  # a mistake, such as MemoryError, may come after the write
            is_mistake = not isinstance(error, OutcomeUnknown)
            _log.warning("commit.unknown", reason=str(error), exc_info=is_mistake)
            return False
        return True

    def _release(self, pending: _Pending) -> None:
        """Release the outputs of a durable batch: effects, replies, events.

        Of each command first the effects, then the reply, and in the end all events; the requests
        go on in the next turn of the loop, since a future calls back by ``call_soon``.
        """
        self._called_off = []
        for entry in pending.entries:
            applied = entry.applied
            assert applied is not None
            for effect in applied.effects:
                if self._machine.is_still_due(effect):
                    self._on_effect(effect)
                else:
                    self._called_off.append(effect)
            entry.answer(applied.reply)
        self._on_events(pending.events)

    def _promise(self, pending: _Pending) -> None:
        """Add promises to a batch with new jobs; without them, it is committed all the same."""
        if not any(event.kind is EventKind.JOB_SUBMITTED for event in pending.events):
            return
        try:
            pending.events[:] = self._promised(pending.events)
        except Exception:
            _log.exception("promise.failed")

    def _take_back(self, pending: _Pending, error: Exception) -> None:
        """Undo a batch that failed, and the one that gathers; keep what has happened outside."""
        _log_mistake(error)
        later = self._take_gathered()
        self._undo([*pending.changes, *later.changes], pending.number)
        entries = (*pending.entries, *later.entries)
        # Without edits: the next look at the file finds them again, or later ones.
        self._keep(entry for entry in entries if entry.reply is None and not _is_edit(entry))
        for entry in entries:
            if isinstance(entry.command, _READS) and self._store.may_act():
                entry.answer(self._machine.look(entry.command))
            else:
                entry.refuse(error)

    def _undo(self, changes: Sequence[Undoable], number: int) -> None:
        """Undo changes; a delivery that only an undone command had called off is due again."""
        self._machine.undo(changes, number)
        self._gathering = _Pending(number)
        due = [effect for effect in self._called_off if self._machine.is_still_due(effect)]
        self._called_off = [effect for effect in self._called_off if effect not in due]
        for effect in due:
            self._on_effect(effect)

    def _keep(self, entries: Iterable[_QueuedCommand]) -> None:
        """Have commands applied again after COMMIT_RETRY_S, or before the next one that comes.

        Those that would change nothing are dropped: while nothing can be stored, connections come
        and go, and workers repeat their reports.
        """
        noted: set[_About] = set()
        kept = (*self._kept, *entries)
        self._kept = [entry for entry in kept if not self._is_moot(entry.command, noted)]
        if self._kept and self._retry is None:
            self._retry = self._clock.call_later(COMMIT_RETRY_S, self._apply_kept)

    def _is_moot(self, command: c.Command, noted: set[_About]) -> bool:
        """Whether a command would change nothing that the commands kept before it do not.

        So it is for a connection that never registered, and for a refused report on a job that is
        not known, or on which one is kept. ``noted`` has what those are about, and gets this one's.
        """
        tables, command = self._machine.tables, _unwrapped(command)
        if isinstance(command, c.Leave):
            return command.connection not in tables.workers.at_connection
        if not isinstance(command, c.NoteRefusedReport):
            return False
        about = job_id, instance = command.job_id, command.proof.instance
        is_of_none = not (instance and tables.jobs.of_instance(instance))
        if about in noted or (is_of_none and tables.jobs.get(job_id) is None):
            return True
        noted.add(about)
        return False

    def _apply_kept(self) -> None:
        self._retry = None
        self._inbox[:0], self._kept = self._kept, []
        self._apply_soon()

    def _give_up(self, pending: _Pending) -> None:
        """Fail the requests of a commit that was cancelled; it may still become durable."""
        for entry in pending.entries:
            entry.refuse(StorageFailed(f"it was broken off: {_fate_of(entry)}"))

    # ---- a commit that does not come to an end

    def _block(self) -> None:
        """Stop applying; what has gathered is undone and goes back to the inbox."""
        self._is_blocked = True
        gathered = self._take_gathered()
        self._undo(gathered.changes, gathered.number)
        self._inbox[:0] = gathered.entries

    def _refuse_late(self, pending: _Pending) -> None:
        """Fail requests that have waited for COMMIT_WAIT_S; drop their commands if not applied.

        What has happened outside is kept, but as in ``_keep`` only what would change something.
        """
        self._block()
        late_s = self._clock.monotonic_s() - COMMIT_WAIT_S
        for entry in pending.entries:
            if entry.since_s <= late_s:
                entry.refuse(StorageFailed(f"the storage does not answer: {_fate_of(entry)}"))
        inbox, self._inbox = self._inbox, []
        noted: set[_About] = set()
        for entry in inbox:
            is_late = entry.since_s <= late_s
            if is_late and entry.reply is not None:
                entry.refuse(StorageFailed("the storage does not answer: nothing was stored"))
            elif not (is_late and self._is_moot(entry.command, noted)):
                self._inbox.append(entry)

    # ---- a store that is edited from outside

    async def _reread_and_commit(self) -> None:
        """Read the store, apply the inbox and commit, until the inbox is empty."""
        try:
            while self._inbox:
                if await self._reread():
                    self._gather()
                    await self._commit_unless_edited(self._take_gathered())
                    self._is_edited = False
        finally:
            self._ended()

    async def _reread(self) -> bool:
        """Read the store, and put edits from outside into the inbox; False if it cannot be read.

        They come first: they were made to what is stored, which knows nothing of what is kept.
        """
        try:
            edit = await self._store.refresh()
        except Exception as error:
            _log_mistake(error)
            self._stats.failed()
            inbox, self._inbox = self._inbox, []
            self._keep(entry for entry in inbox if entry.reply is None)
            for entry in inbox:
                entry.refuse(error)
            return False
        if edit is not None:
            self._is_edited = True
            edits = [_QueuedCommand(each, self._clock.monotonic_s()) for each in _replacing(edit)]
            self._inbox[:0], self._kept = [*edits, *self._kept], []
        return True

    async def _commit_unless_edited(self, pending: _Pending) -> None:
        """Commit; if the store was edited meanwhile, apply the same commands again after the edit.

        An edit that was applied is committed too, so that the store knows it is known.
        """
        self._under_way = pending
        try:
            if pending.is_to_be_stored or self._is_edited:
                await self._write(pending)
            elif not self._store.may_act():
                await self._store.confirm()
        except EditedMeanwhile:
            self._undo(pending.changes, pending.number)
            self._inbox[:0] = [each for each in pending.entries if not _is_edit(each)]
        except Exception as error:
            self._take_back(pending, error)
        else:
            self._release(pending)


class _Patience:
    """Call ``on_late`` when a commit has taken COMMIT_WAIT_S, and then every COMMIT_RETRY_S."""

    def __init__(self, clock: Clock, on_late: Callable[[], None]) -> None:
        self._clock = clock
        self._on_late = on_late
        self._timer: Timer = clock.call_later(COMMIT_WAIT_S, self._is_over)

    def end(self) -> None:
        """Stop calling."""
        self._timer.cancel()

    def _is_over(self) -> None:
        self._on_late()
        self._timer = self._clock.call_later(COMMIT_RETRY_S, self._is_over)


def combined(changes: Sequence[Undoable]) -> list[Change]:
    """Merge the changes of each record into one, in the order of the first ones."""
    made: dict[tuple[Table, str], Change] = {}
    for change in changes:
        if not isinstance(change, Change):
            continue
        name = (change.table, change.id)
        earlier = made.get(name)
        made[name] = change if earlier is None else earlier._replace(after=change.after)
    return [each for each in made.values() if each.before is not each.after]


def _known_by_number(command: c.Command) -> c.Command:
    """Return a command so that its repeats have no effect, if another process has forwarded it."""
    origin = ORIGIN.get()
    return command if origin is None else c.Forwarded(command, *origin, command.request)


def _unwrapped(command: c.Command) -> c.Command:
    """Return the command that another process has forwarded, or this one."""
    return command.command if isinstance(command, c.Forwarded) else command


def _log_mistake(error: Exception) -> None:
    """Log an error that is none of a store's, such as MemoryError: its requests fail with it."""
    if not isinstance(error, StorageError):
        _log.error("commit.failed", exc_info=error)


def _fate_of(entry: _QueuedCommand) -> str:
    """Return what is known of a command that was applied and whose commit has no end."""
    is_read = isinstance(entry.command, _READS)
    return "nothing was stored" if is_read else "it may have been stored"


def _is_edit(entry: _QueuedCommand) -> bool:
    """Whether a command is an edit from outside, which the store reports until it is committed."""
    return isinstance(entry.command, (c.ReplaceJobs, c.ReplaceWorkers))


def _replacing(edit: Edit) -> list[c.Command]:
    """Return the commands that apply an edit from outside."""
    made: list[c.Command] = []
    if edit.jobs is not None:
        made.append(c.ReplaceJobs(edit.jobs, edit.at_s))
    if edit.workers is not None:
        made.append(c.ReplaceWorkers(edit.workers, edit.at_s))
    return made

"""Properties of the state machine over random sequences of commands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sanic_dispatch.core import commands as c
from sanic_dispatch.core import effects as e
from sanic_dispatch.core import matching
from sanic_dispatch.core.evidence import ProbeResult
from sanic_dispatch.core.job import Job
from sanic_dispatch.core.receipts import Proof
from sanic_dispatch.core.state_machine import Now, StateMachine
from sanic_dispatch.core.tables import Moved, Record, Table, Undoable
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.core.worker import Key, Worker
from sanic_dispatch.dispatch.batches import combined
from sanic_dispatch.errors import DispatchError
from tests.histories.inspector import dump, forgotten, rebuilt

START_S = 1_732_412_340.0
SECRET = "5e" * 32

POLICIES = st.builds(
    Policy,
    max_attempts=st.sampled_from((1, 3)),
    lease_s=st.sampled_from((None, 10.0)),
    resend_doubt=st.sampled_from((None, True, False)),
    probe_after_s=st.sampled_from((0.0, 60.0)),
    max_jobs=st.sampled_from((3, 100)),
    max_workers=st.sampled_from((2, 100)),
    keep_finished=st.sampled_from((2, 100)),
)

STEPS = st.lists(
    st.tuples(st.integers(0, 10**6), st.integers(0, 7), st.integers(0, 7)), min_size=1, max_size=40
)
"""The kind of a command, its subject, and a choice."""


class Player:
    """Applies random commands that fit the present state."""

    def __init__(self, policy: Policy) -> None:
        self.machine = StateMachine(policy)
        self.stored: dict[tuple[Table, str], Record] = {}
        self.due: list[e.Effect] = []
        """Effects without an outcome yet; an outcome can come more than once."""
        self._now_s = 0.0

    def play(self, steps: Sequence[tuple[int, int, int]]) -> None:
        """Apply one command for each step; a command that raises changes nothing."""
        for kind, about, choice in steps:
            self.apply(MAKERS[kind % len(MAKERS)](self, about, choice))

    def apply(self, command: c.Command) -> None:
        """Apply a command, and check the invariants."""
        self._now_s += 1.0
        tables, number = self.machine.tables, self.machine.number
        before, changes = dump(tables), len(tables.changes)
        applied = self.machine.apply(command, Now(START_S + self._now_s, self._now_s))
        self.due = (self.due + applied.effects)[-12:]
        after = dump(tables)
        if isinstance(applied.reply, DispatchError):
            assert after == before
            assert (len(tables.changes), self.machine.number) == (changes, number)
            assert not applied.events
            assert not applied.effects
        assert [event.number for event in applied.events] == [
            number + 1 + at for at in range(len(applied.events))
        ]
        assert after == rebuilt(after)
        assert not forgotten(tables)
        for job in tables.jobs.unordered():
            job.check()
        if self.machine.may_pair:
            assert matching.next_pair(tables) is None

    def store(self, changes: Sequence[Undoable]) -> None:
        """Apply changes as a store does."""
        for change in combined(changes):
            name = change.table, change.id
            assert self.stored.get(name) == change.before
            if change.after is None:
                del self.stored[name]
            else:
                self.stored[name] = change.after

    def of(self, table: Table) -> list[Any]:
        """Return all stored records of a kind."""
        return [record for (kind, _), record in self.stored.items() if kind is table]


# ---- commands


def worker(about: int, choice: int) -> Worker:
    """Return one of a few workers: with a key that several callbacks share, or without."""
    key = Key(f"i{about // 2}", "a1") if about < 6 else None
    return Worker(
        f"http://engine/{about}/callbacks/{choice % 3}/",
        to_rfc3339(START_S),
        key=key,
        instance_url=f"http://engine/{about}/" if key else "",
        expires_s=START_S + 20.0 if choice > 5 else None,
    )


def connected(about: int, choice: int) -> Worker:
    """Return one of a few connected workers, with one of two sessions at a websocket."""
    name = f"poll:{about // 2}" if about % 2 else f"ws:{about // 2}"
    session = "" if about % 2 else f"session{about}-{choice % 2}"
    return Worker(name, to_rfc3339(START_S), session=session)


def _submit(_: Player, about: int, choice: int) -> c.Command:
    return c.Submit(f"job{about}-{choice}", b"%d" % (choice % 5), is_repeatable=True)


def _register(_: Player, about: int, choice: int) -> c.Command:
    return c.Register(worker(about, choice), lost=choice == 7)


def _connect(_: Player, about: int, choice: int) -> c.Command:
    """Register by one of two connections, resume, or lose a connection."""
    there, connection = connected(about, choice), f"connection{about}-{choice % 3}"
    made: tuple[c.Command, ...] = (
        c.RegisterConnected(there, connection),
        c.RegisterConnected(there, connection),
        c.RegisterConnected(there, connection),
        c.Resume(there.session, connection),
        c.Resume(there.session, connection),
        c.Leave(connection),
        c.EndPoll(there.id, connection),
        c.Withdraw(there.id),
    )
    return made[choice]


def _job_id(player: Player, about: int) -> str:
    jobs = sorted(player.machine.tables.jobs._jobs)
    return jobs[about % len(jobs)] if jobs else "none"


def _worker_id(player: Player, about: int) -> str:
    workers = list(player.machine.tables.workers)
    return workers[about % len(workers)].id if workers else "none"


def _report(player: Player, about: int, choice: int) -> c.Command:
    job = player.machine.tables.jobs.get(_job_id(player, about))
    if choice == 7 and about > 3:
        return c.NoteRefusedReport(job.id if job else "none", Proof(), "a reason")
    holder = (job.worker or (job.former and job.former.worker)) if job else None
    proof = Proof(callback_url=holder.id if holder else "http://nobody/")
    job_id = job.id if job else "none"
    made: tuple[c.Command, ...] = (
        c.Complete(job_id, proof, b"1"),
        c.Accept(job_id, proof),
        c.ReportProgress(job_id, proof, float(about), None),
        c.AskIfCancelling(job_id, proof),
        c.Fail(job_id, proof, "no ice"),
        c.Fail(job_id, proof, "no ice", retry=True),
        c.Fail(job_id, proof, "stopped", cancelled=True),
        c.Extend(job_id, proof),
    )
    return made[choice]


def _operate(player: Player, about: int, choice: int) -> c.Command:
    job_id, worker_id = _job_id(player, about), _worker_id(player, about)
    made: tuple[c.Command, ...] = (
        c.Cancel(job_id, "why", is_operators=about % 2 == 0),
        c.PutBack(job_id, "why"),
        c.MoveToFront(job_id, "why"),
        c.SetAside(worker_id, "why"),
        c.BringBack(worker_id, "why"),
        c.DropWorker(worker_id, "why"),
        c.Pause(True, "why"),
        c.Pause(False, "why"),
    )
    return made[choice]


def _outcome(player: Player, about: int, choice: int) -> c.Command:
    """Report an outcome for an effect, if it has one; most often for one of the last."""
    if not player.due:
        return c.LookForWorkers(1)
    effect = player.due[-1 - about % len(player.due)]
    state = ("running", "running", "stopped", "finished", "abandoned", "gone", None, "running")
    pending = (True, False, None)[choice % 3]
    match effect:
        case e.PutJob():
            job = effect.job
            outcomes: tuple[c.Command, ...] = (
                c.DeliveryAccepted(job.id, job.attempt),
                c.DeliveryRefused(job.id, job.attempt, "503"),
                c.DeliveryInDoubt(job.id, job.attempt, "no answer"),
                c.DeliveryRefused(job.id, job.attempt, "500", blames_job=True),
            )
            return outcomes[choice % 4]
        case e.ProbeWorker():
            return c.WorkerProbed(effect.look, pending, state[choice])
        case e.ProbeStale():
            return c.StaleProbed(effect.callback_url, pending)
        case e.ProbeHold() if effect.look.hold.worker.is_connected:
            return c.HoldProbed(effect.look, effect.is_timed, ProbeResult())
        case e.ProbeHold():
            after = state[about] if choice == 7 else state[choice]
            look = ProbeResult(pending, state[choice], after)
            return c.HoldProbed(effect.look, effect.is_timed, look)
        case e.OfferJob():
            job = effect.job
            made: tuple[c.Command, ...] = (
                c.Accept(job.id, Proof(receipt=effect.receipt)),
                c.AnswerWritten(job.id, job.attempt),
                c.AnswerLost(job.id, job.attempt, began=choice > 4),
                c.OfferReturned(job.id, job.attempt),
            )
            return made[choice % 4]
        case e.AskToStop() | e.EndConnection():
            return c.Leave(effect.connection)
        case e.PutExpired():
            return c.ExpiryTold(effect.look, is_sure=choice < 4)
        case e.StartTimer():
            return effect.command
        case e.StopTimer():
            return c.LookForWorkers(1)
    raise AssertionError(effect)


def _answered(player: Player, about: int, choice: int) -> c.Command:
    job = player.machine.tables.jobs.get(_job_id(player, about))
    job_id, attempt = (job.id, job.attempt) if job else ("none", 1)
    if choice < 4:
        return c.AnswerWritten(job_id, attempt)
    return c.AnswerLost(job_id, attempt - (choice == 4), began=choice > 5)


def _edit(player: Player, about: int, choice: int) -> c.Command:
    """Edit the files: reorder, remove and add entries."""
    tables = player.machine.tables
    at_s = START_S + about
    if choice % 2:
        jobs = [*tables.jobs.assigned(), *tables.jobs.line]
        new = Job(f"edit{about}", 0, b"1", to_rfc3339(START_S), 0.0)
        return c.ReplaceJobs([*jobs[about % 3 :][::-1], *([new] if choice > 4 else [])], at_s)
    workers = list(tables.workers)
    known = {each.id for each in workers}
    fresh = [each for each in [worker(about, choice)] if each.id not in known]
    return c.ReplaceWorkers([*workers[about % 3 :][::-1], *fresh], at_s)


Maker = Callable[[Player, int, int], c.Command]
MAKERS: tuple[Maker, ...] = (
    *(_submit, _submit, _submit, _register, _register, _register),
    *(_connect, _connect, _connect, _outcome, _outcome, _outcome, _outcome, _outcome),
    *(_report, _report, _operate, _answered, _edit),
)


def opened_player(policy: Policy) -> Player:
    """Return a player with a recovered machine."""
    player = Player(policy)
    player.apply(c.Recover(SECRET))
    return player


def many(examples: int) -> settings:
    """Run so many examples, without a time limit."""
    return settings(max_examples=examples, suppress_health_check=list(HealthCheck))


# ---- properties


# An edited file puts a worker back, which gets a second job; then the first turns out in doubt.
@example(
    Policy(max_attempts=1, probe_after_s=0.0),
    [(0, 0, 0)],
    [(0, 0, 1), (97, 0, 0), (132, 0, 0), (2988, 0, 0), (97, 0, 0), (132, 1, 0)],
)
@many(150)
@given(POLICIES, STEPS, STEPS)
def test_an_undo_restores_what_was_before(policy: Policy, first: Any, second: Any) -> None:
    """After an undo the tables equal those before the changes, and can be changed again."""
    player = opened_player(policy)
    player.play(first)
    player.machine.tables.take_changes()
    before, number = dump(player.machine.tables), player.machine.number
    player.play(second)
    player.machine.undo(player.machine.tables.take_changes(), number)
    assert dump(player.machine.tables) == before
    assert player.machine.number == number
    player.play(second)


@many(150)
@given(POLICIES, STEPS)
def test_what_a_store_has_is_what_the_tables_have(policy: Policy, steps: Any) -> None:
    """The stored changes load as the same tables."""
    player = opened_player(policy)
    player.play(steps)
    player.store(player.machine.tables.take_changes())
    loaded = StateMachine(policy)
    jobs = sorted(player.of(Table.JOBS), key=_order_of)
    workers = sorted(player.of(Table.WORKERS), key=lambda each: each.place)
    loaded.number = player.machine.number
    loaded.load(jobs, workers, player.of(Table.FACTS))
    _end_connections(player.machine)
    assert dump(loaded.tables) == dump(player.machine.tables)
    assert not loaded.tables.changes
    assert loaded.tables.jobs.last_ticket >= max((job.ticket for job in jobs), default=0)


@many(60)
@given(POLICIES, STEPS, STEPS)
def test_a_restart_takes_up_what_was_left(policy: Policy, first: Any, second: Any) -> None:
    """After loading, nothing is under way, and everything goes on."""
    player = opened_player(policy)
    player.play(first)
    player.store(player.machine.tables.take_changes())
    again = Player(policy)
    again.stored = player.stored
    jobs = sorted(player.of(Table.JOBS), key=_order_of)
    workers = sorted(player.of(Table.WORKERS), key=lambda each: each.place)
    again.machine.number = player.machine.number
    again.machine.load(jobs, workers, player.of(Table.FACTS))
    again.apply(c.Recover("ab" * 32))
    assert again.machine.tables.facts.secret == SECRET
    again.play(second)
    again.store(again.machine.tables.take_changes())


def _end_connections(machine: StateMachine) -> None:
    """Forget all connections, which are not stored."""
    workers = machine.tables.workers
    for worker_id in (*workers.connection_of, *workers.left):
        workers.move(Moved(worker_id, None, None))


def _order_of(job: Job) -> tuple[bool, float, float, int]:
    return job.state.is_final, job.finished_s or 0.0, job.place, job.ticket

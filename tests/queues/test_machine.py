"""Any sequence of steps, against plain lists: order, holds, failures, closing and opening."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from sanic_dispatch.errors import StorageFailed
from sanic_dispatch.job import Job, Stage
from sanic_dispatch.queues.base import Enqueued, Paired
from sanic_dispatch.worker import Worker
from tests.queues.kit import Backend, Bench, Gate, done, free, job, worker

PICK = st.integers(0, 1000)


@dataclass
class Model:
    """Both queues as plain lists, in order; who is held, and by whom."""

    jobs: list[str] = field(default_factory=list)
    workers: list[str] = field(default_factory=list)
    held: dict[str, str] = field(default_factory=dict)
    aside: set[str] = field(default_factory=set)
    finished: list[str] = field(default_factory=list)
    tickets: dict[str, int] = field(default_factory=dict)

    @property
    def free_jobs(self) -> list[str]:
        return [job_id for job_id in self.jobs if job_id not in self.held]

    @property
    def free_workers(self) -> list[str]:
        busy = self.aside | set(self.held.values())
        return [worker_id for worker_id in self.workers if worker_id not in busy]

    def pair(self) -> tuple[str, str] | None:
        if not (self.free_jobs and self.free_workers):
            return None
        self.held[self.free_jobs[0]] = taker = self.free_workers[0]
        return next(job_id for job_id, by in self.held.items() if by == taker), taker

    def back_in_line(self, job_id: str) -> None:
        self.jobs = sorted([*self.jobs, job_id], key=lambda each: self.tickets[each])


class Machine(RuleBasedStateMachine):
    """Each rule does one thing to the queues and to the lists, and expects the same of both."""

    backend: Backend

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.model, self.count, self.fails = Model(), 0, False
        self.bench = Bench(self.backend, Path(self.folder.name))
        self.run(self.bench.open())

    def teardown(self) -> None:
        self.run(self.bench.close())
        self.loop.close()
        self.folder.cleanup()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def step(self, work: Coroutine[Any, Any, Any], then: Callable[[Any], None]) -> None:
        """Do it; if the write was to fail, it fails and nothing changes."""
        fails, self.fails = self.fails, False
        if not fails:
            return then(self.run(work))
        with pytest.raises(StorageFailed):
            self.run(work)
        return None

    def number(self) -> int:
        self.count += 1
        return self.count

    def record(self, of: Any, names: list[str], pick: int) -> Any:
        return self.run(of.get(names[pick % len(names)]))

    # ---- rules

    @precondition(lambda self: isinstance(self.bench.stores.jobs, Gate) and not self.fails)
    @rule()
    def the_disk_is_full(self) -> None:
        if self.bench.backend.jobs is self.bench.backend.workers:
            for store in set(self.bench.stores):
                store.fail()
            self.fails = True

    @rule()
    def offer(self) -> None:
        new = job(self.number())
        taker = self.model.free_workers[0] if self.model.free_workers else None

        def then(result: Paired | Enqueued) -> None:
            record = result.job if isinstance(result, Paired) else result.record
            is_taken = taker is not None and not self.model.free_jobs
            self.model.jobs.append(new.id)
            self.model.tickets[new.id] = record.ticket
            if is_taken:
                assert isinstance(result, Paired)
                assert result.worker.id == taker
                assert taker is not None
                self.model.held[new.id] = taker
            else:
                assert isinstance(result, Enqueued)
                assert result.position == len(self.model.free_jobs)

        self.step(self.bench.pairs.offer(new, 1.0), then)
        self.clear()

    @rule()
    def ask(self) -> None:
        new = worker(self.number())

        def then(result: Job | None) -> None:
            if self.model.free_workers or not self.model.free_jobs:
                assert result is None
                self.model.workers.append(new.id)
            else:
                assert result is not None
                assert result.id == self.model.free_jobs[0]
                self.model.held[result.id] = new.id

        self.step(self.bench.pairs.ask(new, 1.0), then)
        self.clear()

    @rule()
    def pair(self) -> None:
        if not (self.model.free_jobs and self.model.free_workers):
            assert self.run(self.bench.pairs.pair(1.0)) is None
            return

        def then(result: Paired | None) -> None:
            assert result
            assert (result.job.id, result.worker.id) == self.model.pair()

        self.step(self.bench.pairs.pair(1.0), then)
        self.clear()

    @precondition(lambda self: self.model.held)
    @rule(pick=PICK)
    def release(self, pick: int) -> None:
        """Refused: the job is free at its place, the worker is free too or gone."""
        record = self.record(self.bench.pairs.jobs, list(self.model.held), pick)

        def then(_: Job) -> None:
            self.leave(self.model.held.pop(record.id))

        self.step(self.bench.pairs.jobs.replace(free(record)), then)
        self.clear()

    @precondition(lambda self: self.model.jobs)
    @rule(pick=PICK)
    def finish(self, pick: int) -> None:
        record = self.record(self.bench.pairs.jobs, self.model.jobs, pick)

        def then(_: Job) -> None:
            self.model.jobs.remove(record.id)
            self.model.finished.append(record.id)
            if taker := self.model.held.pop(record.id, None):
                self.leave(taker)

        self.step(self.bench.pairs.jobs.finish(done(record)), then)
        self.clear()

    @precondition(lambda self: self.model.finished)
    @rule(pick=PICK)
    def put_back(self, pick: int) -> None:
        job_id = self.model.finished[pick % len(self.model.finished)]
        record = self.run(self.bench.pairs.jobs.finished(job_id))

        def then(_: Job) -> None:
            self.model.finished.remove(job_id)
            self.model.back_in_line(job_id)

        self.step(self.bench.pairs.jobs.put_back(free(record)), then)
        self.clear()

    @precondition(lambda self: self.model.free_workers or self.model.aside)
    @rule(pick=PICK)
    def set_aside_or_bring_back(self, pick: int) -> None:
        names = [*self.model.free_workers, *sorted(self.model.aside)]
        record = self.record(self.bench.pairs.workers, names, pick)
        changed = record.back() if record.aside else record.refused("busy", 1.0, "")
        self.step(
            self.bench.pairs.workers.replace(changed),
            lambda _: self.model.aside.symmetric_difference_update({record.id}),
        )
        self.clear()

    @precondition(lambda self: self.model.held)
    @rule(pick=PICK)
    def confirm(self, pick: int) -> None:
        record = self.record(self.bench.pairs.jobs, list(self.model.held), pick)
        sure = record._replace(hold=record.hold._replace(stage=Stage.CONFIRMED))
        self.step(self.bench.pairs.jobs.replace(sure), lambda _: None)
        self.clear()

    @precondition(lambda self: self.bench.backend.is_durable)
    @rule()
    def restart(self) -> None:
        self.clear()
        self.fails = False
        self.run(self.bench.reopen())
        for record in self.run(self.bench.pairs.hold_named_workers()):
            if record.hold.stage is Stage.CONFIRMED:
                self.forget(record.worker.id)
        for job_id in self.model.finished:
            taker = self.run(self.bench.pairs.jobs.finished(job_id)).worker
            if taker:
                self.forget(taker.id)

    def leave(self, worker_id: str) -> None:
        """The worker that held a job is used up, as far as it stands in line."""
        assert self.run(self.bench.pairs.workers.remove(worker_id)) == (
            worker_id in self.model.workers
        )
        self.forget(worker_id)

    def forget(self, worker_id: str) -> None:
        if worker_id in self.model.workers:
            self.model.workers.remove(worker_id)
            self.model.aside.discard(worker_id)

    def clear(self) -> None:
        """A failure that nobody ran into does not wait for the next step."""
        for store in self.bench.stores:
            if isinstance(store, Gate):
                store.failures = 0

    # ---- what is always so

    @invariant()
    def the_same_as_the_lists(self) -> None:
        if not hasattr(self, "bench"):
            return
        pairs, model = self.bench.pairs, self.model
        jobs: list[Job] = self.run(pairs.jobs.items())
        workers: list[Worker] = self.run(pairs.workers.items())
        assert [record.id for record in jobs] == model.jobs
        assert [record.id for record in workers] == model.workers
        assert {record.id: record.worker.id for record in jobs if record.worker} == model.held
        assert self.run(pairs.jobs.size()) == len(model.free_jobs)
        assert self.run(pairs.workers.size()) == len(model.free_workers)
        assert [record.id for record in self.run(pairs.jobs.all_finished())] == model.finished
        assert len({record.ticket for record in jobs}) == len(jobs)


def test_any_sequence_of_steps(backend: Backend) -> None:
    """Whatever is done in whatever order, the queues are what two plain lists would be."""
    machine = type("Machine", (Machine,), {"backend": backend})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=40, stateful_step_count=40, deadline=None)
    )

"""One bench per backend: the same tests prove the same contract for all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.queues.kit import (
    BACKENDS,
    MIXED,
    REGISTERED,
    SUBMITTED,
    Backend,
    Bench,
    Gate,
    free,
    held,
    job,
    worker,
)


@pytest.fixture(params=BACKENDS, ids=lambda backend: backend.name)
def backend(request: pytest.FixtureRequest) -> Backend:
    """Every backend."""
    param: Backend = request.param
    return param


@pytest.fixture(params=BACKENDS + MIXED, ids=lambda backend: backend.name)
def any_backend(request: pytest.FixtureRequest) -> Backend:
    """Every backend, and pairs of two."""
    param: Backend = request.param
    return param


@pytest.fixture
async def bench(backend: Backend, tmp_path: Path) -> AsyncIterator[Bench]:
    """Both queues, open, in one backend."""
    bench = Bench(backend, tmp_path)
    await bench.open()
    yield bench
    await bench.close()


@pytest.fixture
async def mixed(any_backend: Backend, tmp_path: Path) -> AsyncIterator[Bench]:
    """Both queues, open, also in two different backends."""
    bench = Bench(any_backend, tmp_path)
    await bench.open()
    yield bench
    await bench.close()


class Line:
    """One of the two queues, and how to make and change its records."""

    def __init__(self, bench: Bench, kind: str) -> None:
        self.bench = bench
        self.is_jobs = kind == "jobs"
        self.new: Callable[[int], Any] = job if self.is_jobs else worker
        self.note = SUBMITTED if self.is_jobs else REGISTERED

    @property
    def queue(self) -> Any:
        return self.bench.pairs.jobs if self.is_jobs else self.bench.pairs.workers

    @property
    def gate(self) -> Gate:
        gate = self.bench.stores.jobs if self.is_jobs else self.bench.stores.workers
        if not isinstance(gate, Gate):
            pytest.skip("nothing is written")
        return gate

    def taken(self, record: Any) -> Any:
        """The record, not free."""
        return held(record, worker(99)) if self.is_jobs else record.refused("busy", 2.0, "j")

    def back(self, record: Any) -> Any:
        """The record, free again."""
        return free(record) if self.is_jobs else record.back()


@pytest.fixture(params=["jobs", "workers"])
def line(bench: Bench, request: pytest.FixtureRequest) -> Line:
    """The queue of jobs, then the queue of workers."""
    return Line(bench, request.param)

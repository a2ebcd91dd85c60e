"""Any sequence of batches, checkpoints, clean stops and crashes, compared with a dictionary."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sanic_dispatch.core.job import Job, Progress, Stage, State, Way
from sanic_dispatch.core.tables import Fact, Record
from sanic_dispatch.core.worker import Key, Worker
from sanic_dispatch.storage.cached_json_file import CachedJsonFileStore
from sanic_dispatch.storage.store import Store
from tests.storage.samples import DURABLE, Backend, Topic, done, held, in_order, job, opened, worker

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=6)
NUMBER = st.integers(1, 12)
DATA = st.sampled_from([b"null", b'{"a" : [1.0, "\xc3\xa4\\n"]}', b'"\\ud83d\\ude00"', b"1e3"])
PLACE = st.floats(0.25, 20, width=32)


@st.composite
def workers(draw: st.DrawFn) -> Worker:
    """A worker in any state, at any place."""
    made = worker(draw(NUMBER), draw(st.none() | st.builds(Key, TEXT, TEXT)))
    made = made._replace(label=draw(TEXT), place=draw(PLACE), refusals=draw(st.integers(0, 3)))
    refused = made.refused("503", 2.0, "x", may_arrive=draw(st.booleans()))
    over = made._replace(expires_s=draw(st.floats(0, 9))).expired(9.5, draw(TEXT))
    at_socket = made._replace(callback_url="ws:" + made.label, key=None, session=draw(TEXT))
    aside = made.set_aside_by_operator(1.5, draw(TEXT))
    return draw(st.sampled_from([made, aside, refused, over, at_socket]))


@st.composite
def jobs(draw: st.DrawFn) -> Job:
    """A job in any state, at any place."""
    made = job(draw(NUMBER), draw(DATA))
    moved = made._replace(place=draw(PLACE))
    stage, way = draw(st.sampled_from(Stage)), draw(st.sampled_from(Way))
    taken = held(moved, draw(workers())._replace(place=0.0), way, stage)
    making = taken._replace(
        progress=Progress(draw(st.none() | st.floats(0, 100)), draw(TEXT)),
        cancelling=draw(st.booleans()),
    )
    former = moved._replace(former=taken.hold, spent=("http://engine/1/",), attempt=2)
    over = done(taken, draw(st.floats(0, 9)), draw(st.none() | DATA))
    failed = made._replace(state=State.FAILED, finished_s=draw(st.floats(0, 9)), reason=draw(TEXT))
    return draw(st.sampled_from([made, made, moved, taken, making, former, over, failed]))


FACTS = st.one_of(
    st.builds(Fact, st.just("last_ticket"), st.integers(0, 2**53)),
    st.builds(Fact, st.just("paused"), st.booleans()),
    st.builds(Fact, st.just("secret"), st.binary(min_size=1, max_size=4).map(bytes.hex)),
)
RECORDS = st.lists(jobs() | workers() | FACTS, max_size=6)
STEP = st.one_of(
    st.tuples(st.just("batch"), RECORDS, st.lists(st.integers(0, 99), max_size=3)),
    st.tuples(st.just("batch"), RECORDS, st.lists(st.integers(0, 99), max_size=3)),
    st.sampled_from([("checkpoint",), ("stop",), ("crash",)]),
)


@settings(max_examples=15)
@pytest.mark.parametrize("backend", DURABLE, ids=lambda backend: backend.name)
@given(steps=st.lists(STEP, max_size=12))
def test_like_a_dictionary(backend: Backend, steps: list[Any]) -> None:
    """After any steps a start loads what was committed, in order."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(Run(backend, Path(folder)).run(steps))


class Run:
    """One sequence of steps, on folders of its own."""

    def __init__(self, backend: Backend, folder: Path) -> None:
        self.backend = backend
        self.folder = folder
        self.count = 0
        self.topic = Topic()
        self.store: Store
        self.stack = AsyncExitStack()

    async def run(self, steps: list[Any]) -> None:
        """Take the steps, then stop and compare."""
        await self.open()
        for name, *arguments in steps:
            await getattr(self, name)(*arguments)
        await self.crash()
        await self.stop()
        await self.stack.aclose()

    async def open(self) -> None:
        """Start on the folder, and compare what is loaded."""
        data = self.folder / str(self.count)
        data.mkdir(exist_ok=True)
        self.store = await self.stack.enter_async_context(opened(self.backend, data))
        found = await self.store.load()
        kept = self.backend
        assert in_order(found) == self.topic.stored(
            jobs=kept.keeps_jobs, workers=kept.keeps_workers
        )
        assert [w.place for w in found.workers] == sorted(w.place for w in found.workers)
        self.begin_with(found.workers)

    def begin_with(self, found: Any) -> None:
        """Take over what was loaded, with its places, as the state machine does."""
        topic = Topic()
        for record in self.topic.records.values():
            is_kept = self.backend.keeps_workers or not isinstance(record, Worker)
            if is_kept and (self.backend.keeps_jobs or isinstance(record, Worker)):
                topic.apply(topic.put(record))
        for each in found:
            topic.apply(topic.put(each))
        topic.restarted()
        self.topic = topic

    async def batch(self, records: list[Record], gone: list[int]) -> None:
        """Commit a batch of new, changed and removed records."""
        put = {(type(record), record.id): record for record in records}
        there = [r for r in self.topic.records.values() if not isinstance(r, Fact)]
        removed = {r.id: r for n in gone if there and (r := there[n % len(there)])}
        changed = {record.id for record in put.values()}
        remove = [r for r in removed.values() if r.id not in changed]
        batch = self.topic.together(self.places_of_their_own(put.values()), remove)
        await self.store.commit(batch)
        self.topic.apply(batch)

    def places_of_their_own(self, records: Any) -> list[Record]:
        """Give each worker another place, as the state machine does."""
        taken = {r.place for r in self.topic.records.values() if isinstance(r, Worker)}
        made: list[Record] = []
        for each in records:
            record = each
            while isinstance(record, Worker) and record.place in taken:
                record = record._replace(place=record.place + 0.125)
            if isinstance(record, Worker):
                taken.add(record.place)
            made.append(record)
        return made

    async def checkpoint(self) -> None:
        """Write a checkpoint, if the store has them."""
        if isinstance(self.store, CachedJsonFileStore):
            await self.store.checkpoint()

    async def stop(self) -> None:
        """Stop cleanly and start again."""
        await self.stack.aclose()
        self.stack = AsyncExitStack()
        await self.open()

    async def crash(self) -> None:
        """Start on what a kill at this moment would leave."""
        if self.backend.is_shared:
            await self.stop()  # a copy of the folder does not include Redis
            return
        left = self.folder / str(self.count)
        self.count += 1
        shutil.copytree(left, self.folder / str(self.count))
        await self.stack.aclose()
        self.stack = AsyncExitStack()
        await self.open()

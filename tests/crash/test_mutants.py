"""The original's bugs, put back one by one: the checker finds each, and nothing without them.

The dispatcher is the real one, and a mutant is a patch of it. The story has a situation for each of
them, and without a mutant it has no violation, in any mode.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sanic_dispatch.config.settings import Mode
from sanic_dispatch.core import lifecycle, matching, registrations
from sanic_dispatch.core.groups import Head, Heads
from sanic_dispatch.core.job import Job
from sanic_dispatch.core.lanes import place_of
from sanic_dispatch.core.receipts import Receipts
from sanic_dispatch.core.state_machine import StateMachine
from sanic_dispatch.core.tables import JobTable, Tables
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.dispatch.batches import Batches
from sanic_dispatch.errors import NotAQueue, StorageFailed
from sanic_dispatch.storage import journal, read_json_folder
from sanic_dispatch.storage.cached_json_file import JournaledFiles
from sanic_dispatch.storage.checkpoint import CheckpointFiles
from sanic_dispatch.storage.journal import Journal, JournalRead, journals_in
from tests.crash.bar_in_process import Bar
from tests.crash.history import check
from tests.support.free_workers import free_workers

FILE_MODES = (Mode.JSON_FILE, Mode.CACHED_JSON_FILE)


def order(n: int) -> bytes:
    """Return an order whose bytes change if it is encoded again."""
    return b'{ "n": %d.0, "drink": "caf\\u00e9" }' % n


async def story(bar: Bar, mode: Mode) -> None:
    """Run a day at the bar with everything that can go wrong."""
    await a_backlog(bar)
    await a_rush(bar)
    await a_refusal(bar)
    await a_refusal_while_another_waits(bar)
    await a_used_callback(bar)
    if mode.is_durable:
        await a_crash_during_a_hand_over(bar)
    if mode in FILE_MODES:
        await a_full_disk(bar)
        await a_damaged_file(bar, lambda content: content[: len(content) // 2])
        await a_damaged_file(bar, lambda content: content.replace(b'"submitted_at"', b'"x"', 1))
    if mode is Mode.CACHED_JSON_FILE:
        await a_checkpoint_without_room(bar)
        await a_damaged_journal(bar)
    await bar.drain(robots=9)


async def a_backlog(bar: Bar) -> None:
    """More orders than robots; one is sent twice with the same key."""
    for n in (1, 2, 3):
        await bar.submit(order(n))
    await bar.submit(order(4), "four")
    await bar.submit(order(4), "four")
    for n in (1, 2, 3):
        await bar.register(bar.robot(n))
    await bar.register(bar.robot(1))


async def a_rush(bar: Bar) -> None:
    """Orders and robots at the same time."""
    await asyncio.gather(
        *(bar.submit(order(n)) for n in range(10, 14)),
        *(bar.register(bar.robot(n)) for n in range(10, 14)),
    )
    await bar.look_for_long()


async def a_refusal(bar: Bar) -> None:
    """A robot refuses an order, which keeps its place before the next one."""
    refusing = bar.robot(20)
    bar.network.refusing[refusing.id] = refuse = asyncio.Event()
    bar.network.states[refusing.instance_url] = "stopped"
    await bar.register(refusing)
    await bar.submit(order(20))
    await bar.submit(order(21))
    refuse.set()
    await bar.world.quiet()
    for n in (21, 22):
        await bar.register(bar.robot(n))


async def a_refusal_while_another_waits(bar: Bar) -> None:
    """A robot refuses an order that another robot is waiting for."""
    refusing = bar.robot(23)
    bar.network.refusing[refusing.id] = refuse = asyncio.Event()
    bar.network.states[refusing.instance_url] = "stopped"
    await bar.register(refusing)
    await bar.register(bar.robot(24))
    refuse.set()
    await bar.submit(order(23))
    await bar.look_for_long()


async def a_used_callback(bar: Bar) -> None:
    """A robot gets its order by PUT, and then repeats its registration."""
    robot = bar.robot(25)
    await bar.register(robot)
    await bar.submit(order(25))
    await bar.register(robot)
    await bar.submit(order(26))
    await bar.register(bar.robot(26))


async def a_crash_during_a_hand_over(bar: Bar) -> None:
    """A robot takes an order, and the service dies before it reads the answer."""
    robot = bar.robot(30)
    bar.network.silent.add(robot.id)
    await bar.register(robot)
    await bar.submit(order(30))
    await bar.crash()
    await bar.start()
    bar.note_doubts()
    await bar.submit(order(31))
    await bar.register(bar.robot(31))
    await bar.world.clock.advance(10)
    await bar.world.quiet()


async def a_full_disk(bar: Bar) -> None:
    """Writes fail half-way; once a robot registers after that, once the service dies."""
    bar.fill_disk()
    await bar.submit(order(40))
    bar.free_disk()
    await bar.register(bar.robot(40))
    await bar.submit(order(41))
    bar.fill_disk()
    await bar.submit(order(42))
    bar.free_disk()
    await bar.submit(order(43))
    bar.fill_disk()
    await bar.submit(order(44))
    await bar.crash()
    await bar.start_or_lose_everything()


async def a_damaged_file(bar: Bar, damage: Callable[[bytes], bytes]) -> None:
    """A file is damaged, and restored where the service reports it."""
    await bar.submit(order(50 + len(bar.history.restarts_s)))
    await bar.checkpoint()
    await bar.crash()
    await start_on(bar, "jobs.json", damage)


async def a_checkpoint_without_room(bar: Bar) -> None:
    """Checkpoints fail, and then the service dies."""
    await bar.submit(order(70))
    bar.spoil_checkpoints()
    await bar.checkpoint()
    await bar.submit(order(71))
    await bar.crash()
    await bar.start_or_lose_everything()


async def a_damaged_journal(bar: Bar) -> None:
    """The journal is damaged before its last line."""
    await bar.submit(order(72))
    await bar.submit(order(73))
    await bar.crash()
    *_, path = journals_in(bar.data_dir).values()
    await start_on(bar, path.name, lambda content: content.replace(b'"n": 72', b'"n": 73'))


async def start_on(bar: Bar, name: str, damage: Callable[[bytes], bytes]) -> None:
    """Start on a damaged file, or on the right one if that is refused."""
    path = bar.data_dir / name
    content = path.read_bytes()
    path.write_bytes(damage(content))
    assert path.read_bytes() != content
    try:
        await bar.start()
    except NotAQueue:
        path.write_bytes(content)
        await bar.start()


@pytest.mark.parametrize("mode", list(Mode), ids=str)
async def test_the_dispatcher_passes(mode: Mode, tmp_path: Path) -> None:
    """Without a mutant C1 to C6 hold over the whole story."""
    async with Bar(tmp_path, mode) as bar:
        await story(bar, mode)
        assert check(bar.history) == []
        assert len(bar.history.taken) >= 12


# ---- the mutants


def newest_first(heads: Heads) -> Head | None:
    """The file queues took the newest."""
    lanes = (lane for group in heads.groups for lane in group.lanes.values())
    newest = max((job for lane in lanes for job in lane), key=place_of, default=None)
    return None if newest is None else Head(0, place_of(newest), newest)


def first_free(tables: Tables) -> Worker | None:
    return next(iter(free_workers(tables)), None)


class StaleLook:
    """Matches with the state before this turn's commands, so later ones are not seen."""

    def __init__(self) -> None:
        self.job: Job | None = None
        self.worker: Worker | None = None

    def gather(self, batches: Batches) -> None:
        """Note the state, then apply the commands."""
        tables = batches._machine.tables
        self.job, self.worker = tables.jobs.line.first(), first_free(tables)
        GATHER(batches)

    def worker_for(self, tables: Tables, _: Job) -> Worker | None:
        """A job was enqueued after a look at the workers, and in between a worker registered."""
        return self.worker if self.worker is first_free(tables) else None

    def job_for(self, tables: Tables, _: Worker) -> Job | None:
        """The same for a worker."""
        return self.job if self.job is tables.jobs.line.first() else None


LOOK = StaleLook()


def nothing_if_unreadable(*args: Any) -> list[Any]:
    """A damaged file was an empty queue."""
    try:
        return list(READ_ARRAY(*args))
    except NotAQueue:
        return []


def readable_entries(*args: Any) -> Iterator[Any]:
    """Entries that could not be parsed were skipped."""
    with suppress(NotAQueue):
        yield from READ_ARRAY(*args)


def empty_if_unreadable(path: Path, number: int) -> JournalRead:
    """A damaged journal counts as empty."""
    try:
        return READ_JOURNAL(path, number)
    except NotAQueue:
        return JournalRead(path, [], 0, 0)


def lines_before_the_first_bad_one(*args: Any) -> Iterator[Any]:
    """A damaged journal ends where its damage begins."""
    with suppress(NotAQueue):
        yield from LINES_OF(*args)


async def committed_anyway(batches: Batches, batch: Any) -> bool:
    """A failed write was logged, and acknowledged all the same."""
    with suppress(StorageFailed):
        return await TRY_COMMIT(batches, batch)
    return True


def refuse_and_keep(batches: Batches, pending: Any, error: Exception) -> None:
    """A failed write is refused, and stays in memory."""
    for entry in pending.entries:
        entry.refuse(error)


def leave_half_a_line(_: Journal) -> None:
    """A failed write is refused, and its beginning stays in the journal."""


def unlink_first(files: JournaledFiles, snapshot: Any, number: int, *rest: Any) -> None:
    """Journals are removed before the files have their content."""
    files._remove_journals(number)
    WRITE_CHECKPOINT(files, snapshot, number, *rest)


def number_first(files: CheckpointFiles, snapshot: Any, number: int, pace: Any) -> None:
    """``dispatch.json`` says that the journal is in the files before it is."""
    files.write_ledger(snapshot, read_json_folder.JOURNALED, number, pace)
    WRITE_FILES(files, snapshot, number, pace)


def to_the_tail(job: Job, *args: Any) -> Any:
    """A job went to the tail after one failed PUT."""
    step = FREE(job, *args)
    return step._replace(job=step.job._replace(place=step.job.place + 1000))


def encoded_again(job: Job) -> bytes:
    """The JSON was parsed and encoded again."""
    wire = json.loads(TO_WIRE(job))
    return json.dumps(wire, separators=(",", ":"), ensure_ascii=False).encode()


def forgotten_hold(job: Job, _policy: Any, now_s: float) -> Any:
    """After a restart each held job is given to the next worker."""
    return lifecycle.release(job, now_s, "restarted")


def nothing(*_: Any, **__: Any) -> None:
    """Do nothing, or find nothing."""


def another_id(_: Receipts, __: str | None) -> str:
    """A repeat is a job of its own."""
    return secrets.token_hex(16)


GATHER, TRY_COMMIT = Batches._gather, Batches._try_commit
READ_ARRAY = read_json_folder.read_array
READ_JOURNAL, LINES_OF = journal.read_journal, journal.lines_of
WRITE_CHECKPOINT, WRITE_FILES = JournaledFiles.write_checkpoint, CheckpointFiles.write
FREE, TO_WIRE = lifecycle._free, Job.to_wire


class Mutant(NamedTuple):
    """Patches of the dispatcher, and the rule that they break."""

    rule: str
    patches: list[tuple[Any, str, Any]]


MUTANTS = {
    "last in, first out": Mutant("C4", [(Heads, "first", newest_first)]),
    "register and submit race": Mutant(
        "C5",
        [
            (Batches, "_gather", lambda batches: LOOK.gather(batches)),
            (matching, "worker_for", LOOK.worker_for),
            (matching, "job_for", LOOK.job_for),
            (StateMachine, "_pair_all", nothing),
        ],
    ),
    "waiting jobs and workers are not matched": Mutant(
        "C5", [(StateMachine, "_pair_all", nothing)]
    ),
    "a torn file is empty": Mutant("C1", [(read_json_folder, "read_array", nothing_if_unreadable)]),
    "an entry is dropped": Mutant("C1", [(read_json_folder, "read_array", readable_entries)]),
    "a damaged journal is empty": Mutant("C1", [(journal, "read_journal", empty_if_unreadable)]),
    "a batch is dropped": Mutant("C1", [(journal, "lines_of", lines_before_the_first_bad_one)]),
    "acknowledged on a failed write": Mutant("C1", [(Batches, "_try_commit", committed_anyway)]),
    "refused, and kept": Mutant("C6", [(Batches, "_take_back", refuse_and_keep)]),
    "half a line stays": Mutant("C1", [(Journal, "_truncate", leave_half_a_line)]),
    "a journal is unlinked before its checkpoint": Mutant(
        "C1", [(JournaledFiles, "write_checkpoint", unlink_first)]
    ),
    "a checkpoint counts before it is written": Mutant(
        "C1", [(CheckpointFiles, "write", number_first)]
    ),
    "to the tail": Mutant("C4", [(lifecycle, "_free", to_the_tail)]),
    "encoded again": Mutant("C2", [(Job, "to_wire", encoded_again)]),
    "given to the next after a restart": Mutant("C3", [(lifecycle, "recover", forgotten_hold)]),
    "a used callback is used again": Mutant(
        "C3", [(JobTable, "at_callback", nothing), (registrations, "_job_of", nothing)]
    ),
    "a repeat is another job": Mutant("C2", [(Receipts, "job_id", another_id)]),
}


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
async def test_each_mutant_is_caught(
    mutant: Mutant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bug is put back, and its rule is broken."""
    for owner, name, patch in mutant.patches:
        monkeypatch.setattr(owner, name, patch)
    mode = Mode.CACHED_JSON_FILE
    async with Bar(tmp_path, mode) as bar:
        async with asyncio.timeout(20):
            await story(bar, mode)
        assert mutant.rule in {violation.rule for violation in check(bar.history)}

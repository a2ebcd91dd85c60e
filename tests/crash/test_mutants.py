"""The original's bugs, put back one by one: the checker finds each, and nothing without them.

The dispatcher is the real one; a mutant is a patch of it. The story has everything in it that one
of them spoils, and without a mutant it has no violation, in any mode.
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

from sanic_dispatch import lifecycle
from sanic_dispatch.dispatcher import Dispatcher
from sanic_dispatch.errors import NotAQueue
from sanic_dispatch.events import Kind, Note
from sanic_dispatch.job import Job
from sanic_dispatch.queues import array_file, commit
from sanic_dispatch.queues.base import Enqueued
from sanic_dispatch.queues.index import Index
from sanic_dispatch.queues.pairs import LocalPairs
from sanic_dispatch.registrations import Registrations
from sanic_dispatch.seal import Seal
from sanic_dispatch.settings import Mode
from tests.crash.bar import Bar
from tests.crash.history import check

FILE_MODES = (Mode.JSON_FILE, Mode.CACHED_JSON_FILE)


def order(n: int) -> bytes:
    """An order that comes back in other bytes if it is encoded anew."""
    return b'{ "n": %d.0, "drink": "caf\\u00e9" }' % n


async def story(bar: Bar, mode: Mode) -> None:
    """A day at the bar, with everything in it that can go wrong."""
    await a_backlog(bar)
    await a_rush(bar)
    await a_refusal(bar)
    await a_used_callback(bar)
    if mode.is_durable:
        await a_crash_during_a_hand_over(bar)
    if mode in FILE_MODES:
        await a_full_disk(bar)
        await a_damaged_file(bar, lambda content: content[: len(content) // 2])
        await a_damaged_file(bar, lambda content: content.replace(b'"submitted_at"', b'"x"', 1))
    await bar.drain(robots=9)


async def a_backlog(bar: Bar) -> None:
    """More orders than robots; one is sent twice, with the same key."""
    for n in (1, 2, 3):
        await bar.submit(order(n))
    await bar.submit(order(4), "four")
    await bar.submit(order(4), "four")
    for n in (1, 2, 3):
        await bar.register(bar.robot(n))
    await bar.register(bar.robot(1))


async def a_rush(bar: Bar) -> None:
    """Orders and robots at the same time; nobody waits for the other."""
    await asyncio.gather(
        *(bar.submit(order(n)) for n in range(10, 14)),
        *(bar.register(bar.robot(n)) for n in range(10, 14)),
    )
    await bar.look_for_long()


async def a_refusal(bar: Bar) -> None:
    """A robot refuses an order; it keeps its place before the next one."""
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


async def a_used_callback(bar: Bar) -> None:
    """A robot gets its order by PUT, and repeats the call that it was the answer to."""
    robot = bar.robot(25)
    await bar.register(robot)
    await bar.submit(order(25))
    await bar.register(robot)
    await bar.submit(order(26))
    await bar.register(bar.robot(26))


async def a_crash_during_a_hand_over(bar: Bar) -> None:
    """A robot takes an order, and the service dies before it hears of that."""
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
    """Writes fail before they have begun; once a robot asks after that, once the service dies."""
    blocker = bar.data_dir / ".jobs.json.new"
    blocker.mkdir()
    await bar.submit(order(40))
    blocker.rmdir()
    await bar.register(bar.robot(40))
    await bar.submit(order(41))
    blocker.mkdir()
    await bar.submit(order(42))
    await bar.crash()
    (bar.data_dir / blocker.name).rmdir()
    await bar.start()


async def a_damaged_file(bar: Bar, damage: Callable[[bytes], bytes]) -> None:
    """The disk spoils a file; it is put right where the service says so."""
    number = 50 + len(bar.history.restarts_s)
    await bar.submit(order(number))
    await bar.crash()
    path = bar.data_dir / "jobs.json"
    content = path.read_bytes()
    path.write_bytes(damage(content))
    try:
        await bar.start()
    except NotAQueue:
        path.write_bytes(content)
        await bar.start()


@pytest.mark.parametrize("mode", list(Mode), ids=str)
async def test_the_dispatcher_passes(mode: Mode, tmp_path: Path) -> None:
    """C1 to C6 over the whole story: what the mutants show is their own doing."""
    async with Bar(tmp_path, mode) as bar:
        await story(bar, mode)
        assert check(bar.history) == []
        assert len(bar.history.taken) >= 12


# ---- the mutants


def newest_first(index: Index[Any]) -> Any:
    """The file queues took the newest."""
    return index._free[-1] if index._free else None


async def offer_after_a_look(pairs: LocalPairs, job: Job, now_s: float) -> Any:
    """A job was lined up after a look at the workers, and in between a worker came."""
    worker = pairs.workers.oldest()
    await asyncio.sleep(0)
    if worker is not None:
        return await OFFER(pairs, job, now_s)
    return Enqueued(*await pairs.jobs.append(job, [Note(Kind.JOB_SUBMITTED, now_s)]))


async def ask_after_a_look(pairs: LocalPairs, worker: Any, now_s: float) -> Any:
    """The same for a worker."""
    job = pairs.jobs.oldest()
    await asyncio.sleep(0)
    if job is not None:
        return await ASK(pairs, worker, now_s)
    await pairs.workers.append(worker, [Note(Kind.WORKER_REGISTERED, now_s)])
    return None


def nothing_if_unreadable(*args: Any) -> Iterator[Any]:
    """A torn file was an empty queue."""
    try:
        return iter(list(ROWS_OF(*args)))
    except NotAQueue:
        return iter(())


def readable_entries(*args: Any) -> Iterator[Any]:
    """What did not parse was left out."""
    rows = ROWS_OF(*args)
    with suppress(NotAQueue):
        yield from rows


def succeed_anyway(batch: list[Any], _: Exception) -> None:
    """A failed write was logged, and acknowledged all the same."""
    commit._succeed(batch)


def fail_and_keep(batch: list[Any], error: Exception) -> None:
    """A failed write is refused, and stays in memory."""
    for each in batch:
        with suppress(Exception):
            each.apply()
        each.done.set_exception(commit.StorageFailed(str(error)))


def to_the_tail(job: Job, *args: Any) -> Any:
    """A job went to the tail after one failed PUT."""
    step = FREE(job, *args)
    return step._replace(job=step.job._replace(place=step.job.place + 1000))


def encoded_anew(job: Job) -> bytes:
    """The JSON was read and written again."""
    wire = json.loads(TO_WIRE(job))
    return json.dumps(wire, separators=(",", ":"), ensure_ascii=False).encode()


def forgotten_hold(job: Job, _policy: Any, now_s: float) -> Any:
    """After a restart every job that was held is given to the next one."""
    return lifecycle.release(job, now_s, "restarted")


async def no_repeat(_: Registrations, __: Any) -> tuple[bool, None]:
    """A callback that was used up is a new one."""
    return False, None


async def no_job(_: Registrations, __: Any) -> None:
    """And nobody remembers what it was used for."""


def another_id(_: Seal, __: str | None) -> str:
    """A repeat is a job of its own."""
    return secrets.token_hex(16)


OFFER, ASK, ROWS_OF = LocalPairs.offer, LocalPairs.ask, array_file.rows_of
FREE, TO_WIRE = lifecycle._free, Job.to_wire


class Mutant(NamedTuple):
    """Patches of the dispatcher, and the rule that they break."""

    rule: str
    patches: list[tuple[Any, str, Any]]


MUTANTS = {
    "last in, first out": Mutant("C4", [(Index, "oldest_free", newest_first)]),
    "register and submit race": Mutant(
        "C5",
        [
            (LocalPairs, "offer", offer_after_a_look),
            (LocalPairs, "ask", ask_after_a_look),
            (Dispatcher, "_wake", lambda _: None),
        ],
    ),
    "nobody wakes the pairing": Mutant("C5", [(Dispatcher, "_wake", lambda _: None)]),
    "a torn file is empty": Mutant("C1", [(array_file, "rows_of", nothing_if_unreadable)]),
    "an entry is dropped": Mutant("C1", [(array_file, "rows_of", readable_entries)]),
    "acknowledged on a failed write": Mutant("C1", [(commit, "_fail", succeed_anyway)]),
    "refused, and kept": Mutant("C6", [(commit, "_fail", fail_and_keep)]),
    "to the tail": Mutant("C4", [(lifecycle, "_free", to_the_tail)]),
    "encoded anew": Mutant("C2", [(Job, "to_wire", encoded_anew)]),
    "given to the next after a restart": Mutant("C3", [(lifecycle, "restart", forgotten_hold)]),
    "a used callback is used again": Mutant(
        "C3", [(Registrations, "_repeat", no_repeat), (Registrations, "_held_by_key", no_job)]
    ),
    "a repeat is another job": Mutant("C2", [(Seal, "job_id", another_id)]),
}


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
async def test_each_mutant_is_caught(
    mutant: Mutant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bug is put back, and its rule does not hold any more."""
    for owner, name, patch in mutant.patches:
        monkeypatch.setattr(owner, name, patch)
    mode = Mode.CACHED_JSON_FILE
    async with Bar(tmp_path, mode) as bar:
        async with asyncio.timeout(20):
            await story(bar, mode)
        assert mutant.rule in {violation.rule for violation in check(bar.history)}

"""Group commit by itself: one write at a time, each caller gets its own outcome."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from sanic_dispatch.errors import StorageFailed
from sanic_dispatch.queues.commit import Commit, GroupCommit
from sanic_dispatch.queues.json_store import jobs_store
from sanic_dispatch.queues.store import Change, Shelf
from tests.queues.kit import Gate, turns


@pytest.fixture
async def gate(tmp_path: Path) -> Gate:
    return Gate(jobs_store(tmp_path, rereads=False, fsync=False))


@pytest.fixture
async def commit(gate: Gate) -> AsyncIterator[GroupCommit]:
    commit = GroupCommit(gate)
    yield commit
    gate.let_go()
    await commit.close()


def change(number: int) -> list[Change]:
    return [Change(Shelf.JOBS, str(number), None, float(number), b"{}")]


def nothing() -> None:
    """Nothing to undo."""


async def test_each_gets_its_own_result(commit: GroupCommit) -> None:
    """What ``apply`` returns goes to the one who asked."""
    runs = [commit.run(change(n), partial(pow, n, 2), nothing) for n in range(5)]
    assert await asyncio.gather(*runs) == [0, 1, 4, 9, 16]


async def test_an_apply_that_fails(commit: GroupCommit) -> None:
    """An error in one ``apply`` goes to its caller and takes nobody else with it."""

    def fails() -> None:
        raise ZeroDivisionError

    runs = [
        commit.run(change(n), apply, nothing) for n, apply in enumerate((nothing, fails, nothing))
    ]
    first, second, third = await asyncio.gather(*runs, return_exceptions=True)
    assert isinstance(second, ZeroDivisionError)
    assert not isinstance(first, Exception)
    assert not isinstance(third, Exception)
    await commit.run(change(9), nothing, nothing)


async def test_undone_in_reverse(commit: GroupCommit, gate: Gate) -> None:
    """Of a write that fails, the last change is undone first, and nothing is applied."""
    applied: list[None] = []
    undone: list[int] = []
    gate.hold()
    gate.fail(times=2)
    runs = [
        commit.run(change(n), partial(applied.append, None), partial(undone.append, n))
        for n in range(4)
    ]
    await gate.held()
    await turns()
    gate.let_go()
    results = await asyncio.gather(*runs, return_exceptions=True)
    assert all(isinstance(result, StorageFailed) for result in results)
    assert undone in ([3, 2, 1, 0], [0, 3, 2, 1])
    assert applied == []


async def test_closing_waits_for_what_is_under_way(commit: GroupCommit, gate: Gate) -> None:
    """What was asked for before the end is written before the end."""
    gate.hold()
    run = commit.run(change(1), lambda: "written", nothing)
    await gate.held()
    closing = asyncio.create_task(commit.close())
    await turns()
    assert not closing.done()
    gate.let_go()
    await closing
    assert await run == "written"


async def test_nothing_after_the_end(commit: GroupCommit) -> None:
    """What comes after closing is refused, and closing again does nothing."""
    await commit.close()
    with pytest.raises(StorageFailed):
        await commit.run(change(1), nothing, nothing)
    await commit.close()


async def test_without_a_store() -> None:
    """Without a store a change is applied before anything else can happen."""
    applied: list[int] = []
    run = asyncio.ensure_future(Commit().run(change(1), lambda: applied.append(1), nothing))
    await asyncio.sleep(0)
    assert (applied, run.done()) == ([1], True)

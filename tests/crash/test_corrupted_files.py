"""Truncated files and flipped bits are found, or harmless: no job is lost silently.

The journals are in tests/storage/test_cached_json_file.py. CRASH_SEED repeats the random numbers of
an earlier run.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from sanic_dispatch.callbacks.outcome import InDoubt
from sanic_dispatch.config.settings import Mode, Settings
from sanic_dispatch.errors import NotAQueue
from sanic_dispatch.storage.open_store import open_store
from tests.support.network import FakeNetwork
from tests.support.seeds import seed_of
from tests.support.world import running_world, worker

IS_TORTURE = "TORTURE" in os.environ
SEED = seed_of("CRASH_SEED")
CUTS, FLIPS = (10**9, 20_000) if IS_TORTURE else (200, 200)


Spoil = Callable[[bytes], Iterator[bytes]]


class Counts(NamedTuple):
    """What a start finds: jobs, finished jobs, and workers."""

    jobs: int
    workers: int

    def has(self, others: Counts) -> bool:
        """Return whether there are at least as many of each as in ``others``."""
        return self.jobs >= others.jobs and self.workers >= others.workers


async def used_folder(folder: Path, mode: Mode, *, is_clean: bool) -> Path:
    """Fill a folder with records of all kinds, as a clean stop or a crash leaves it."""
    running, crashed = folder / "running", folder / "crashed"
    running.mkdir()
    network = FakeNetwork()
    async with running_world(Settings.of(mode, data_dir=running, fsync=False), network) as world:
        for n in range(6):
            await world.submit({"drink": "caf\u00e9", "n": n})
        for robot in (worker("c1"), worker("c2"), worker("c3", "i3")):
            await world.register(robot)
        doubtful = worker("c4", "i4")
        network.outcomes[doubtful.id] = [InDoubt("no answer")]
        await world.register(doubtful)
        for robot in (worker("c5", "i5"), worker("c6")):
            await world.register(robot)
        await world.submit("waits")
        for n in (7, 8):
            await world.register(worker(f"c{n}", f"i{n}"))
        shutil.copytree(running, crashed)
    return running if is_clean else crashed


async def counted(folder: Path, mode: Mode) -> Counts:
    """Start on a copy of the folder, and count. Raises NotAQueue, with the file unchanged."""
    tried = folder.with_name("tried")
    shutil.rmtree(tried, ignore_errors=True)
    shutil.copytree(folder, tried)
    settings = Settings.of(mode, data_dir=tried, fsync=False)
    try:
        async with open_store(settings) as store:
            stored = await store.load()
            return Counts(len(stored.jobs), len(stored.workers))
    except NotAQueue as error:
        if error.path.read_bytes() != (folder / error.path.name).read_bytes():
            raise AssertionError("it was refused, and changed all the same") from error
        raise


def cuts(content: bytes) -> Iterator[bytes]:
    """Yield the file truncated at every place, or at some."""
    sizes = range(len(content))
    for size in random.Random(SEED).sample(sizes, min(CUTS, len(sizes))):
        yield content[:size]


def flips(content: bytes) -> Iterator[bytes]:
    """Yield the file with one bit flipped, for every bit or for some."""
    bits = range(len(content) * 8)
    for bit in random.Random(SEED).sample(bits, min(FLIPS, len(bits))):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        yield bytes(flipped)


@pytest.mark.timeout(1800 if IS_TORTURE else 60)
@pytest.mark.parametrize("spoil", [cuts, flips])
@pytest.mark.parametrize("name", ["jobs.json", "workers.json", "dispatch.json"])
async def test_a_corrupted_file_never_has_fewer_records(
    name: str, spoil: Spoil, tmp_path: Path
) -> None:
    """It is refused and left alone, or has as many jobs and workers as before."""
    await check_damaged(Mode.CACHED_JSON_FILE, name, spoil, tmp_path)


@pytest.mark.timeout(1800 if IS_TORTURE else 60)
@pytest.mark.parametrize("spoil", [cuts, flips])
async def test_a_corrupted_database_never_has_fewer_records(spoil: Spoil, tmp_path: Path) -> None:
    """The same after a clean stop, when everything is in one file."""
    await check_damaged(Mode.SQLITE, "dispatch.sqlite3", spoil, tmp_path)


@pytest.mark.xfail(reason="SQLite ends its log at the first bad frame, without a word", strict=True)
async def test_a_corrupted_log_never_has_fewer_records(tmp_path: Path) -> None:
    """The same after a crash, when everything is in the log.

    At the end of the log a flipped bit looks like a transaction that the crash has torn.
    """
    await check_damaged(Mode.SQLITE, "dispatch.sqlite3-wal", flips_before_the_end, tmp_path)


def flips_before_the_end(content: bytes) -> Iterator[bytes]:
    """Yield flips with some transactions behind each."""
    end = len(content) * 4 // 5
    return (flipped + content[end:] for flipped in flips(content[:end]))


async def check_damaged(mode: Mode, name: str, spoil: Spoil, folder: Path) -> None:
    """Damage a file of a used folder in many ways, and check each."""
    print(f"CRASH_SEED={SEED}")  # noqa: T201 - pytest shows it where the test fails
    used = await used_folder(folder, mode, is_clean=not name.endswith("-wal"))
    right = await counted(used, mode)
    content = (used / name).read_bytes()
    refused = 0
    for spoilt in spoil(content):
        (used / name).write_bytes(spoilt)
        try:
            there = await counted(used, mode)
            assert there.has(right), f"{there} in place of {right}: {difference(content, spoilt)}"
        except NotAQueue:
            refused += 1
    assert refused


def difference(content: bytes, spoilt: bytes) -> str:
    """Return where two contents differ."""
    at = len(os.path.commonprefix([content, spoilt]))
    return f"byte {at}: {content[at : at + 20]!r} became {spoilt[at : at + 20]!r}"

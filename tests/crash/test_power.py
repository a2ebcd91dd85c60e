"""After a power cut all acknowledged jobs are there. Control: without fsync some are lost.

The disk is simulated (tests/crash/power.py): what was not synced is gone.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sanic_dispatch.config.settings import Mode, Settings
from sanic_dispatch.errors import NotAQueue
from sanic_dispatch.storage.journal import journals_in
from sanic_dispatch.storage.open_store import open_store
from tests.crash.power import Call, Disk, cut_times, read_trace, strace_command
from tests.crash.server import DURABLE, Server
from tests.crash.shop import Order, Shop
from tests.crash.strace import need
from tests.support.server import eventually

CUTS = 40
ORDERS = 6
ROUNDS = 2


async def traced_run(folder: Path, mode: Mode, fsync: str) -> tuple[list[Call], list[Order]]:
    """Trace a run; return the calls on the files, and the acknowledged orders."""
    need("strace")
    data_dir = folder / "data"
    data_dir.mkdir()
    server = Server(data_dir, mode, "--fsync", fsync)
    try:
        await server.start(strace_command(data_dir, mode))
        async with Shop(server) as shop:
            for _ in range(ROUNDS):
                await asyncio.gather(*(order_some(shop, n) for n in range(3)))
                await eventually(lambda: is_quiet(data_dir, mode), 30)
    finally:
        server.kill()
    return read_trace(data_dir), [order for order in shop.orders if order.job_id]


async def is_quiet(folder: Path, mode: Mode) -> bool:
    """Return whether a checkpoint is complete, and the journals in it are removed."""
    if mode is not Mode.CACHED_JSON_FILE:
        return True
    journals = list(journals_in(folder).values())
    return len(journals) == 1 and journals[0].read_bytes().count(b"\n") == 1


async def order_some(shop: Shop, number: int) -> None:
    """Submit orders one after the other; every third goes to a worker."""
    for n in range(ORDERS):
        assert await shop.order({"n": f"{number}.{n}"}) == 202
        if n % 3 == number:
            assert await shop.register() == 200


async def lost_by_cuts(
    folder: Path, mode: Mode, calls: list[Call], orders: list[Order]
) -> list[str]:
    """Return the orders that were acknowledged before a power cut, and are lost by it."""
    lost: list[str] = []
    disk = Disk(folder / "data", calls)
    for number, at_s in enumerate(cut_times(calls, CUTS)):
        disk.run_until(at_s)
        acknowledged = {order.job_id for order in orders if order.known_s < at_s}
        for renames_survive in (False, True):
            after = folder / f"cut-{number}-{renames_survive}"
            there = await found(after, mode, disk.files_after_cut(renames_survive=renames_survive))
            lost += [f"{at_s}: {job_id}" for job_id in sorted(acknowledged - there)]
    return lost


def lay_out(folder: Path, files: dict[str, bytes]) -> None:
    """Make a folder with these files."""
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)


async def found(folder: Path, mode: Mode, files: dict[str, bytes]) -> set[str]:
    """Return the jobs that a start on these files finds; none if it is refused."""
    lay_out(folder, files)
    try:
        async with open_store(Settings.of(mode, data_dir=folder, fsync=False)) as store:
            return {job.id for job in (await store.load()).jobs}
    except NotAQueue:
        return set()


@pytest.mark.parametrize("mode", DURABLE, ids=str)
async def test_a_power_cut_loses_no_acknowledged_job(mode: Mode, tmp_path: Path) -> None:
    """C1: an answer waits for the disk, so the power can be cut at any time."""
    calls, orders = await traced_run(tmp_path, mode, "on")
    assert len(orders) == 3 * ORDERS * ROUNDS
    assert await lost_by_cuts(tmp_path, mode, calls, orders) == []


@pytest.mark.parametrize("mode", DURABLE, ids=str)
async def test_without_fsync_a_power_cut_loses_jobs(mode: Mode, tmp_path: Path) -> None:
    """Control: without fsync the simulation finds lost jobs."""
    calls, orders = await traced_run(tmp_path, mode, "off")
    assert await lost_by_cuts(tmp_path, mode, calls, orders)


def test_a_long_sync_holds_up_no_other_file(tmp_path: Path) -> None:
    """Control: a call counts from its end, and a sync is of what was there when it began."""
    slow, quick = tmp_path / "slow", tmp_path / "quick"
    calls = [
        call(1.0, 1.1, "openat", "AT_FDCWD", slow, result=3),
        call(1.2, 1.3, "write", 3, "old", result=3),
        call(2.0, 9.0, "fdatasync", 3),
        call(3.0, 3.1, "openat", "AT_FDCWD", quick, result=4),
        call(3.2, 3.3, "write", 3, "new", result=3),
        call(3.2, 3.3, "write", 4, "all", result=3),
        call(3.4, 3.5, "fdatasync", 4),
    ]
    disk = Disk(tmp_path, calls)
    disk.run_until(4.0)
    assert disk.files_after_cut(renames_survive=True) == {"slow": b"", "quick": b"all"}
    disk.run_until(9.0)
    assert disk.files_after_cut(renames_survive=True) == {"slow": b"old", "quick": b"all"}


def call(began_s: float, ended_s: float, name: str, *arguments: object, result: int = 0) -> Call:
    """Return a call as it is read from a trace."""
    shown = [
        str(each) if isinstance(each, int) or each == "AT_FDCWD" else f'"{escaped(str(each))}"'
        for each in arguments
    ]
    return Call(began_s, ended_s, name, ", ".join(shown), result)


def escaped(text: str) -> str:
    """Return a text as ``strace -xx`` shows it."""
    return "".join(f"\\x{byte:02x}" for byte in text.encode())

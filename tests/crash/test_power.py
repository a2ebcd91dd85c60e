"""The power is cut: what was acknowledged was synced. A run without fsync shows that this shows.

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
from tests.crash.power import Call, Disk, cuts, traced, tracing
from tests.crash.server import DURABLE, Server
from tests.crash.shop import Order, Shop
from tests.crash.strace import need
from tests.support.server import eventually

CUTS = 40
ORDERS = 6
ROUNDS = 2


async def traced_run(folder: Path, mode: Mode, fsync: str) -> tuple[list[Call], list[Order]]:
    """Customers and workers, traced; what happened to the files, and what was acknowledged."""
    need("strace")
    data_dir = folder / "data"
    data_dir.mkdir()
    server = Server(data_dir, mode, "--fsync", fsync)
    try:
        await server.start(tracing(data_dir, mode))
        async with Shop(server) as shop:
            for _ in range(ROUNDS):
                await asyncio.gather(*(order_some(shop, n) for n in range(3)))
                await eventually(lambda: is_quiet(data_dir, mode), 30)
    finally:
        server.kill()
    return traced(data_dir), [order for order in shop.orders if order.job_id]


async def is_quiet(folder: Path, mode: Mode) -> bool:
    """Whether the files are brought up to date, and the journals that are in them are gone."""
    if mode is not Mode.CACHED_JSON_FILE:
        return True
    journals = list(journals_in(folder).values())
    return len(journals) == 1 and journals[0].read_bytes().count(b"\n") == 1


async def order_some(shop: Shop, number: int) -> None:
    """Orders one after the other; every third is given to a worker."""
    for n in range(ORDERS):
        assert await shop.order({"n": f"{number}.{n}"}) == 202
        if n % 3 == number:
            assert await shop.register() == 200


async def lost_by_cuts(
    folder: Path, mode: Mode, calls: list[Call], orders: list[Order]
) -> list[str]:
    """What was acknowledged before the power was cut, and is not there afterwards."""
    lost: list[str] = []
    disk = Disk(folder / "data", calls)
    for number, at_s in enumerate(cuts(calls, CUTS)):
        disk.run_until(at_s)
        acknowledged = {order.job_id for order in orders if order.known_s < at_s}
        for names_too in (False, True):
            after = folder / f"cut-{number}-{names_too}"
            there = await found(after, mode, disk.remains(names_too=names_too))
            lost += [f"{at_s}: {job_id}" for job_id in sorted(acknowledged - there)]
    return lost


def lay_out(folder: Path, files: dict[str, bytes]) -> None:
    """Make a folder with these files."""
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)


async def found(folder: Path, mode: Mode, files: dict[str, bytes]) -> set[str]:
    """The jobs that a start on these files finds; none where it refuses to."""
    lay_out(folder, files)
    try:
        async with open_store(Settings.of(mode, data_dir=folder, fsync=False)) as store:
            return {job.id for job in (await store.load()).jobs}
    except NotAQueue:
        return set()


@pytest.mark.parametrize("mode", DURABLE, ids=str)
async def test_a_power_cut_takes_nothing_that_was_acknowledged(mode: Mode, tmp_path: Path) -> None:
    """C1: an answer waits for the disk; cut the power whenever you like."""
    calls, orders = await traced_run(tmp_path, mode, "on")
    assert len(orders) == 3 * ORDERS * ROUNDS
    assert await lost_by_cuts(tmp_path, mode, calls, orders) == []


@pytest.mark.parametrize("mode", DURABLE, ids=str)
async def test_without_fsync_a_power_cut_takes_it(mode: Mode, tmp_path: Path) -> None:
    """The control: this simulation sees what is missing."""
    calls, orders = await traced_run(tmp_path, mode, "off")
    assert await lost_by_cuts(tmp_path, mode, calls, orders)

"""How often the way of one order leads from one module to another.

    python -m benchmarks.measure.module_changes

A change of module is a call into another file of the package than the previous call on the same
thread. The order goes to a waiting worker, in the mode CachedJsonFile, with a board open; it
counts from the request to the answer and the last frame. The server runs in this process.
"""

from __future__ import annotations

import asyncio
import io
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import uvloop

import sanic_dispatch
from benchmarks.drive import wire
from benchmarks.drive.load import ask, connect, status_of
from benchmarks.drive.plan import FULL, Plan
from benchmarks.drive.robots import robots
from benchmarks.drive.servers import Server, Side, folder_of_its_own, running
from benchmarks.drive.subscribers import subscribers
from benchmarks.report.tables import Report, Table
from sanic_dispatch.app import create_app
from sanic_dispatch.config.settings import LogFormat, Mode, Settings
from sanic_dispatch.observability import log
from sanic_dispatch.server.runner import serving
from sanic_dispatch.server.sockets import listening_socket

PACKAGE = f"{Path(sanic_dispatch.__file__).parent}/"

ORDERS = 27
"""Least number of orders; unrelated timers run during most, so the least count is reported."""

WARM_UP = 6
"""How many orders do not count. After those each new one is promised a time."""

MOST_ORDERS = 120
"""Number of orders after which to give up, if the board shows too many of them too late."""

PHASE_S = 0.015
"""An additional wait before each order: so they come at all phases of the hub's tick of 250 ms.

An order right after a tick, in the pacer's rest, is shown in one frame, any other in two.
"""

CHANGES_OF_A_FRAME = 28
"""What each further frame costs: on a busy machine the board shows an order in two."""

SETTLE_S = 0.1
"""Time after the answer within which the last frame comes."""

SERVICE_S = 0.3
"""Time after which the worker registers again."""


class Counts(NamedTuple):
    """The calls of one order, and the changes of module among them, by file."""

    calls: Counter[str]
    changes: Counter[str]

    @property
    def frames(self) -> int:
        """The number of frames that the board was offered."""
        return self.calls["web/websocket.py"]


class Profiler:
    """Counts the calls into files of the package while it is on, on every thread."""

    def __init__(self) -> None:
        self.is_on = False
        self._counts = Counts(Counter(), Counter())
        self._last: dict[int, str] = {}

    def begin(self) -> None:
        """Start counting."""
        self._counts = Counts(Counter(), Counter())
        self._last.clear()
        self.is_on = True
        sys.setprofile(self)

    def end(self) -> Counts:
        """Stop counting, and return the counts."""
        sys.setprofile(None)
        self.is_on = False
        return self._counts

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        """Count a change of module if this event is a call."""
        path = frame.f_code.co_filename
        if not self.is_on or event != "call" or not path.startswith(PACKAGE):
            return
        name = path.removeprefix(PACKAGE)
        self._counts.calls[name] += 1
        thread = threading.get_ident()
        if self._last.get(thread) != name:
            self._last[thread] = name
            self._counts.changes[name] += 1


async def count_of_an_order() -> Counts:
    """Return the least counts of several orders."""
    profiler = Profiler()
    threading.setprofile(profiler)  # for the threads that begin from now on
    taken: list[Counts] = []
    try:
        async with (
            served() as server,
            subscribers(server, 1),
            robots(server, 1, lambda *_: None, service_s=SERVICE_S),
        ):
            for number in range(MOST_ORDERS + 1):
                await asyncio.sleep(SERVICE_S + SETTLE_S + PHASE_S)
                counts = await one_order(server, profiler, number)
                if number >= WARM_UP and counts.frames:  # some are shown too late
                    taken.append(counts)
                if len(taken) >= ORDERS:
                    break
    finally:
        threading.setprofile(None)
    return least(taken)


def least(taken: Sequence[Counts]) -> Counts:
    """Return the counts with the fewest changes, further frames apart, and then fewest frames."""
    return min(
        taken,
        key=lambda counts: (
            counts.changes.total() - CHANGES_OF_A_FRAME * counts.frames,
            counts.frames,
        ),
    )


async def one_order(server: Server, profiler: Profiler, number: int) -> Counts:
    """Submit an order, and count until the board has shown all of it."""
    connection = await connect(server)
    profiler.begin()
    answer = await ask(connection, wire.numbered_order(number))
    await asyncio.sleep(SETTLE_S)
    counts = profiler.end()
    connection.close()
    if status_of(answer) != 200:
        raise RuntimeError(f"no worker took the order: {answer!r}")
    return counts


@asynccontextmanager
async def served() -> AsyncIterator[Server]:
    """Run the service with its default settings in this process."""
    with folder_of_its_own() as folder, listening_socket("127.0.0.1", 0) as sock:
        log.configure(LogFormat.JSON, stream=io.StringIO())
        port = sock.getsockname()[1]
        mode = Mode.CACHED_JSON_FILE
        app = create_app(Settings.of(mode, host="127.0.0.1", port=port, data_dir=folder))
        app.config.TOUCHUP = False  # it rewrites Sanic's classes, once a process
        async with serving(app, sock):
            side = running(f"http://127.0.0.1:{port}/")
            yield Server(side, "127.0.0.1", port, folder)


async def measure(_: Plan, __: Sequence[Side]) -> Report:
    """Report the files, those with the most changes first."""
    calls, changes = await count_of_an_order()
    rows = [
        ["all", f"{changes.total():,}", f"{calls.total():,}"],
        *([name, f"{count:,}", f"{calls[name]:,}"] for name, count in changes.most_common()),
    ]
    heads = ["module", "changes into it", "calls"]
    title = "Changes of module for one order with a worker waiting, CachedJsonFile, a board open"
    data = {"changes": changes.total(), "calls": calls.total()}
    return Report("modules", title, [Table(heads, rows)], data)


if __name__ == "__main__":
    print(uvloop.run(measure(FULL, [])).show())  # noqa: T201

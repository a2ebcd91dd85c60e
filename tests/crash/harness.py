"""The harness: a server under load, killed at random moments, drained, and its history checked."""

from __future__ import annotations

import asyncio
import random
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import chain
from pathlib import Path
from sys import maxsize
from time import monotonic
from typing import Any

import aiohttp

from sanic_dispatch.config.settings import Mode
from sanic_dispatch.simulation.background_tasks import Tasks
from tests.crash.history import Violation, check
from tests.crash.load import Load, WatchedEngine
from tests.crash.records import History, Look, Mark
from tests.crash.server import TOKEN, Server, moment_of, rightful_owners
from tests.support.seeds import IS_TORTURE
from tests.support.server import eventually

CUSTOMERS, ROBOTS = 12, 12
PAUSE_S = 0.04 if IS_TORTURE else 0.1
"""How long each of them pauses between two calls; a check leaves the machine to other tests."""

LOOK_S = 0.3
SOON = aiohttp.ClientTimeout(total=1.0)
LONGEST_DRAIN_S = 90.0
LONGEST_SETTLING_S = 60.0
SLACK_S = 0.25
"""By how much this process can see an event later than the server."""

OPTIONS = ("--submit-wait", "0.2", "--callback-timeout", "2")


class Harness:
    """One server, or several that take turns in owning the queues; their load and its history."""

    def __init__(
        self,
        folder: Path,
        mode: Mode,
        rng: random.Random,
        *options: str,
        count: int = 1,
        most: int = maxsize,
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.history = History(slack_s=SLACK_S)
        logs = [folder.with_name(f"{folder.name}-{number}.log") for number in range(count)]
        self.servers = [Server(folder, mode, *OPTIONS, *options, log=log) for log in logs]
        self.server = self.servers[0]
        self.random = rng
        self._offset_s = monotonic() - time.time()
        self._load = Load([server.url for server in self.servers], self.history, rng, most)
        self._working, self._ordering = Tasks(), Tasks()
        self._went_back: tuple[float, float, float] | None = None
        """When the backup that is served was asked for, the kill, and since when it is served."""
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Harness:
        self._http = await self._stack.enter_async_context(_client())
        self._engine = await self._stack.enter_async_context(WatchedEngine(self.history))
        self._stack.push_async_callback(self._working.cancel)
        self._stack.push_async_callback(self._ordering.cancel)
        self._working.spawn(self._look_around())
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self.servers:
            server.kill()
        await self._stack.aclose()

    def open(
        self, pause_s: float = PAUSE_S, rest_s: float | None = None, quiet_s: float = 0.0
    ) -> None:
        """Start customers and robots, which pause between calls; robots may pause longer.

        After each second of orders there are none for ``quiet_s``.
        """
        self._load.quiet_s = quiet_s
        for _ in range(CUSTOMERS):
            self._ordering.spawn(self._load.order(self._http, pause_s))
        for number in range(ROBOTS):
            instance = self._engine.start_instance(f"Robot {number}", {"nednoamol": "true"})
            self._working.spawn(self._load.work(instance, rest_s or pause_s))

    def pause_orders(self, quiet_s: float) -> None:
        """From now on pause for so long after each second of orders."""
        self._load.quiet_s = quiet_s

    async def kill(self, after_s: float) -> bool:
        """kill -9 after a delay; return whether the server had ended by itself."""
        with suppress(subprocess.TimeoutExpired):
            await self.server.ended(after_s)
        has_ended = not self.server.is_running
        self.server.kill()
        return has_ended

    async def back_up(self, folder: Path) -> Any:
        """Make a backup; return what it has, and when it was asked for."""
        began_s = monotonic()
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with self._http.post(
            self.server.url + "operator/backup",
            json={"folder": str(folder)}, headers=headers, raise_for_status=True,
        ) as response:  # fmt: skip
            return await response.json(), began_s

    async def restore(self, folder: Path, mode: Mode, at_s: float) -> None:
        """Start on a backup that was asked for at this moment."""
        killed_s = monotonic()
        self.server.folder, self.server.mode = folder, mode
        await self.restart()
        self._went_back = (at_s, killed_s, monotonic())

    async def restart(self) -> None:
        """Start again on the same folder, a moment after the server ended."""
        self.history.restarts_s.append(monotonic())
        await asyncio.sleep(self.random.uniform(0, 0.1))
        await self.server.start()

    async def close(self) -> list[Violation]:
        """End the orders, let robots work until nothing is left, and return the violations."""
        self._load.close()
        await self._ordering.idle()
        try:
            # not looked at again: a robot's call may fail meanwhile
            await eventually(self._is_drained, LONGEST_DRAIN_S)
        except TimeoutError:
            self.history.left = await self._left()
        await self._working.cancel()
        if self._went_back:
            self.history.go_back(*self._went_back)
        if len(self.servers) > 1:
            await self.settled()  # no hand-over comes between two pages
        missing = await self._missing_events()
        code = max([await server.stop() for server in self.servers])
        self._read_log()
        violations = [*check(self.history), *missing]
        if self.history.left:
            violations.append(Violation("DRAIN", f"{len(self.history.left)} jobs are left"))
        if code:
            violations.append(Violation("STOP", f"exit code {code}"))
        return violations

    async def _missing_events(self) -> list[Violation]:
        """Compare the event log with what was acknowledged: each order is there, once.

        Numbers are without gaps, over all lives of all servers.
        """
        events, after = [], 0
        while after is not None:
            page = await self.ask(f"operator/events?limit=1000&after={after}")
            events += page["events"]
            after = page["next"]
        faults = [f"{name}: {page[name]}" for name in ("holes", "damage") if name in page]
        if [event["n"] for event in events] != list(range(1, len(events) + 1)):
            faults.append("the numbers have gaps")
        submitted = Counter(each["job"] for each in events if each["event"] == "job.submitted")
        ids = [order.job_id for order in self.history.acknowledged]
        faults += [f"{each} is there {submitted[each[:8]]} times" for each in ids
                   if submitted[each[:8]] != 1]  # fmt: skip
        return [Violation("LOG", fault) for fault in faults]

    async def _look_around(self) -> None:
        while True:
            with suppress(aiohttp.ClientError, OSError, ValueError):
                await self._look()
            await asyncio.sleep(LOOK_S)

    async def _look(self) -> None:
        """Look at the workers first: one that gets a job in between counts as busy then.

        The last answer may come late, after a hand-over: what the others have said is old then.
        """
        began_s = monotonic()
        workers = (await self.ask("operator/workers"))["workers"]
        jobs = (await self.ask("operator/jobs?limit=1000&state=waiting"))["jobs"]
        assigned = (await self.ask("operator/jobs?limit=1000&state=assigned"))["jobs"]
        held = {job["worker"] for job in assigned}
        free = {worker["callback"] for worker in workers if not worker["aside"]} - held
        ids = frozenset(job["id"] for job in jobs)
        took_s = monotonic() - began_s
        self.history.looks.append(Look(began_s, ids, frozenset(free), took_s))

    async def _left(self) -> set[str]:
        """Return the jobs that wait, or of which it is unknown whether their workers have them."""
        found: list[dict[str, Any]] = []
        # the waiting ones once more: a job may be put back between two questions
        for state in ("waiting", "assigned", "waiting"):
            found += (await self.ask(f"operator/jobs?limit=1000&state={state}"))["jobs"]
        return {job["id"] for job in found if job.get("stage") != "confirmed"}

    async def _is_drained(self) -> bool:
        if self._engine.caller.at_a_loss:  # it may bring a confirmed job back
            return False
        with suppress(aiohttp.ClientError, OSError):
            self.history.left = await self._left()
            return not self.history.left
        return False

    async def ask(self, path: str) -> Any:
        """Send an operator's request. Raises aiohttp.ClientError if it is not answered."""
        owner = await self.owner() or self.server
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with self._http.get(
            owner.url + path, headers=headers, raise_for_status=True
        ) as response:
            return await response.json()

    async def owner(self) -> Server | None:
        """Return the server that owns the queues, or None."""
        if len(self.servers) == 1:
            return self.server
        for server in self.servers:
            if server.is_running:
                with suppress(aiohttp.ClientError, OSError, TimeoutError):
                    async with self._http.get(server.url + "ready", timeout=SOON) as answer:
                        owner = (await answer.json(content_type=None)).get("owner", "")
                        if answer.status == 200 and owner.endswith(f":{server.port}"):
                            return server
        return None

    async def settled(self) -> Server:
        """Wait until the running server whose turn it is owns the queues, and return it."""
        running = [server for server in self.servers if server.is_running]
        (expected,) = rightful_owners(running).values()

        async def is_owner() -> bool:
            return await self.owner() is expected

        await eventually(is_owner, LONGEST_SETTLING_S)
        return expected

    def _read_log(self) -> None:
        """Record the hand-overs in a server's log, including one that was interrupted by a kill."""
        by_prefix = {each.job_id[:8]: each.data for each in self.history.acknowledged}
        by_prefix |= {each.job_id[:8]: each.data for each in self.history.deliveries}
        assigned: dict[tuple[bytes, int], float] = {}
        for line in chain.from_iterable(server.lines() for server in self.servers):
            data = by_prefix.get(line.get("job", ""))
            if data is None:
                continue
            at_s = moment_of(line, self._offset_s)
            if line["event"] == "job.assigned":
                assigned[data, line["attempt"]] = at_s
            elif line["event"] == "job.doubted" and "restarted" in line.get("reason", ""):
                self._note_cut_off(data, at_s)
        self.history.cut_off += [Mark(data, at_s) for (data, _), at_s in assigned.items()]
        for (data, attempt), at_s in assigned.items():
            if attempt > 1 and (data, attempt - 1) not in assigned:
                # the one before was begun by a process that was killed before it logged that
                self._note_cut_off(data, at_s)

    def _note_cut_off(self, data: bytes, before_s: float) -> None:
        """Record that a hand-over had begun by the last kill before that moment."""
        killed = [at_s for at_s in self.history.restarts_s if at_s < before_s]
        if killed:
            self.history.cut_off.append(Mark(data, max(killed)))


@asynccontextmanager
async def _client() -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=20)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as http:
        yield http

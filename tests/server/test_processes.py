"""--workers: several processes on one port, which are started, watched and stopped together."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest
from redis.asyncio import Redis

from sanic_dispatch.cluster.members import Member
from sanic_dispatch.config.settings import Mode, Settings
from sanic_dispatch.errors import SettingsError
from tests.crash.server import Server
from tests.support import commands
from tests.support.ports import free_port
from tests.support.redis import redis_values, shared_server
from tests.support.server import eventually

TOPICS = ("", "cellar", "roof")
PATHS = [f"topics/{topic}/" if topic else "" for topic in TOPICS]
SOON = aiohttp.ClientTimeout(total=2.0)
LONG = pytest.mark.timeout(120)


class Service:
    """Three processes with three topics, as others see them."""

    def __init__(self, server: Server, key: str, http: aiohttp.ClientSession) -> None:
        self.server = server
        self._key = key
        self._http = http

    def children(self) -> list[int]:
        """Return the ids of the processes that the parent has started."""
        pid = self.server._pid
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))

    async def members(self) -> list[Member]:
        """Return the processes that have announced themselves."""
        async with Redis.from_url(shared_server().url) as client:
            found = await client.zrange(self._key, 0, -1)
        return sorted(Member(*json.loads(each)) for each in found)

    async def owned(self) -> list[list[str]]:
        """Return the paths of the topics of each process."""
        return [
            [path for path in PATHS if await self._owner(member.url + path) == member.name]
            for member in await self.members()
        ]

    async def is_spread(self) -> bool:
        """Return whether each process owns one of the topics."""
        owned = await self.owned()
        return sorted(sum(owned, [])) == sorted(PATHS) and all(len(each) == 1 for each in owned)

    async def _owner(self, url: str) -> str:
        """Return the name of the process that owns the topic at this URL, if that is ready."""
        with suppress(aiohttp.ClientError, TimeoutError):
            async with self._http.get(f"{url}ready") as answer:
                return str((await answer.json(content_type=None)).get("owner", ""))
        return ""


@asynccontextmanager
async def three_processes(folder: Path) -> AsyncIterator[Service]:
    """Run the service."""
    values = redis_values(Mode.REDIS, folder)
    options = ["--workers", "3", "--redis-url", values["redis_url"]]
    options += ["--redis-prefix", values["redis_prefix"], "--topic", "cellar", "--topic", "roof"]
    server = Server(folder, Mode.REDIS, *options, log=folder / "log")
    key = f"{{{values['redis_prefix']}}}:members"
    async with aiohttp.ClientSession(timeout=SOON) as http:
        try:
            await server.start()
            service = Service(server, key, http)
            await eventually(service.is_spread, 30)
            yield service
        finally:
            server.kill()


def are_gone(pids: list[int]) -> bool:
    """Return whether none of these processes runs."""
    return not any(os.path.exists(f"/proc/{pid}") for pid in pids)


@LONG
async def test_one_dies_and_all_are_stopped(tmp_path: Path) -> None:
    """One that is killed is started again under its name; SIGTERM stops all of them with 0."""
    async with three_processes(tmp_path) as service:
        before, members = service.children(), await service.members()
        assert [each.name.rpartition("/")[2] for each in members] == ["1", "2", "3"]
        os.kill(before[-1], signal.SIGKILL)

        async def is_whole() -> bool:
            return len(set(service.children()) - {before[-1]}) == 3 and await service.is_spread()

        await eventually(is_whole, 30)
        assert [each.name for each in await service.members()] == [each.name for each in members]
        (ended,) = (line for line in service.server.lines() if line["event"] == "process.ended")
        assert ended["code"] == -signal.SIGKILL
        children = service.children()
        assert await service.server.stop() == 0
        assert are_gone(children)
        assert await service.members() == []
    assert not any(line["event"] == "ownership.lost" for line in service.server.lines())


@LONG
async def test_the_parent_is_killed(tmp_path: Path) -> None:
    """The processes stop too, and not as if they had been killed."""
    async with three_processes(tmp_path) as service:
        children = service.children()
        os.kill(service.server._pid, signal.SIGKILL)
        await service.server.ended()

        async def is_over() -> bool:
            return are_gone(children)

        await eventually(is_over, 30)
        stopped = [line for line in service.server.lines() if line["event"] == "dispatch.stopped"]
        assert len(stopped) == 3


@LONG
async def test_processes_that_keep_ending(tmp_path: Path) -> None:
    """After five ends within a minute all are stopped, in one line."""
    async with three_processes(tmp_path) as service:
        parent = service.server._process
        assert parent
        killed: set[int] = set()
        while parent.poll() is None and len(killed) < 5:
            for pid in set(service.children()) - killed:
                if len(killed) < 5:
                    os.kill(pid, signal.SIGKILL)
                    killed.add(pid)
            await asyncio.sleep(0.01)
        assert await service.server.ended() == 1
        text = service.server.log.read_text()
        assert "sanic-dispatch: 5 processes have ended within a minute" in text.splitlines()


async def test_the_first_cannot_start() -> None:
    """Then there are no others: one line, and its exit code."""
    url = f"redis://127.0.0.1:{free_port()}/0"
    done = await commands.run("serve", "--workers", "3", "-m", "Redis", "--redis-url", url)
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert "cannot be reached" in done.err


SLOW_TO_STOP = """
import os
from time import sleep
from sanic_dispatch.server.processes import fork_processes

process = fork_processes(2, 60.0)
if process is not None:
    process.report_ready()
    os.write(1, b"ready\\n")  # in one write: both share a pipe
    sleep(60)
"""


INHERITS = """
import ctypes, os
from sanic_dispatch.server.processes import fork_processes

ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: orphans become its children
process = fork_processes(1, 60.0)
if process is not None:
    process.report_ready()
    if os.fork() == 0:
        if os.fork() == 0:
            os._exit(3)
        os._exit(0)
    os.wait()
    print("ready", flush=True)
    os.read(process.lifeline, 1)
"""


NO_ROOM_TO_FORK = """
import os, sys
from sanic_dispatch.server.processes import fork_processes

sys.stdout = sys.stderr  # the log: its lines are written in pieces

real, forks, ending = os.fork, 0, int(sys.argv[1])

def fork():
    global forks
    forks += 1
    if 2 < forks <= 2 + ending:
        raise BlockingIOError(11, "Resource temporarily unavailable")
    return real()

os.fork = fork
process = fork_processes(2, 60.0)
if process is not None:
    process.report_ready()
    os.write(1, b"%d\\n" % process.number)
    if 2 - ending < forks <= 2:
        os._exit(9)
    os.read(process.lifeline, 1)
"""


@pytest.mark.parametrize(("ending", "all_started"), [(1, [1, 2, 2]), (2, [1, 1, 2, 2])])
async def test_one_that_cannot_be_started_again_at_once(
    ending: int, all_started: list[int]
) -> None:
    """It is tried again, also if all have ended; the others go on meanwhile."""
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", NO_ROOM_TO_FORK, str(ending), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout
    started: list[int] = []
    while len(started) < len(all_started):
        line = await asyncio.wait_for(parent.stdout.readline(), 10)
        assert line, "the parent has ended"
        started.append(int(line))
    assert sorted(started) == all_started
    parent.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(parent.wait(), 10) == 0


async def test_the_children_of_others() -> None:
    """Process 1 of a container gets them when their parents end: they are collected."""
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", INHERITS, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout
    assert await parent.stdout.readline() == b"ready\n"
    await asyncio.sleep(0.1)
    assert parent.returncode is None
    parent.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(parent.wait(), 10) == 0


async def test_a_second_signal() -> None:
    """It kills the processes at once, and the exit code says which signal it was."""
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SLOW_TO_STOP, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout
    for _ in range(2):
        assert await parent.stdout.readline() == b"ready\n"
    parent.send_signal(signal.SIGINT)
    await asyncio.sleep(0.05)
    parent.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(parent.wait(), 10) == 128 + signal.SIGTERM
    assert await parent.stdout.read() == b""  # both have ended, too


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, "--workers 2: several processes share queues only with --mode Redis"),
        (
            {"worker_queue_mode": Mode.IN_MEMORY, "job_queue_mode": Mode.REDIS},
            "--workers 2: several",
        ),
        (
            {"mode": Mode.REDIS, "topics": {"roof": {"mode": Mode.SQLITE}}},
            "topic roof: --workers 2: several processes share queues only with --mode Redis",
        ),
    ],
)
def test_only_in_the_mode_redis(values: dict[str, object], says: str) -> None:
    """Any queue that cannot be shared is refused, in one line."""
    with pytest.raises(SettingsError, match=f"^{says}"):
        Settings.of(workers=2, **{"mode": Mode.SQLITE, **values})  # type: ignore[arg-type]

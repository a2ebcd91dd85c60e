"""Several processes behind one port: started, replaced and stopped together."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from sanic_dispatch.settings import Mode
from tests.kit import commands
from tests.kit.redis import redis_values
from tests.kit.server import eventually, free_port


def children_of(pid: int) -> list[int]:
    """The processes that this one has made."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    with suppress(OSError):
        return [int(child) for child in path.read_text().split()]
    return []


def is_there(pid: int) -> bool:
    """Whether there is such a process."""
    return os.path.exists(f"/proc/{pid}")


class Running:
    """A server of several processes."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process, self.port = process, port

    async def answers(self) -> bool:
        """Whether it takes requests."""
        with suppress(aiohttp.ClientError, OSError):
            async with aiohttp.request("GET", f"http://127.0.0.1:{self.port}/health") as answer:
                return answer.status == 200
        return False

    async def has(self, count: int) -> bool:
        """Whether there are so many processes."""
        return len(children_of(self.process.pid)) == count


async def started(folder: Path, *options: str) -> Running:
    """A server with its options, once it takes requests."""
    port = free_port()
    given = {"port": str(port), "host": "127.0.0.1", "mode": "Redis"}
    given |= redis_values(Mode.REDIS, folder)
    arguments = [word for name in given for word in (f"--{name.replace('_', '-')}", given[name])]
    running = Running(await commands.start("serve", *arguments, *options), port)
    await eventually(running.answers, 30)
    return running


async def test_so_many_processes(tmp_path: Path) -> None:
    """Each takes requests, one that dies is replaced, and SIGTERM ends all of them well."""
    running = await started(tmp_path, "--workers", "3")
    children = children_of(running.process.pid)
    assert len(children) == 3
    os.kill(children[1], signal.SIGKILL)

    async def is_replaced() -> bool:
        now = children_of(running.process.pid)
        return len(now) == 3 and children[1] not in now

    await eventually(is_replaced, 30)
    assert await running.answers()
    running.process.send_signal(signal.SIGTERM)
    done = await commands.ended(running.process)
    assert done.code == 0, done.err
    assert '"event":"process.died"' in done.err
    assert done.err.count('"dispatch.started"') == 1


async def test_a_parent_that_is_gone(tmp_path: Path) -> None:
    """Its children do not stay behind."""
    running = await started(tmp_path, "--workers", "2")
    children = children_of(running.process.pid)
    running.process.kill()
    await commands.ended(running.process)

    async def are_gone() -> bool:
        return not any(map(is_there, children))

    await eventually(are_gone, 30)


async def test_ctrl_c(tmp_path: Path) -> None:
    """From a terminal it goes to the parent alone, and all end well."""
    running = await started(tmp_path, "--workers", "2")
    children = children_of(running.process.pid)
    assert os.getpgid(running.process.pid) not in map(os.getpgid, children)
    running.process.send_signal(signal.SIGINT)
    done = await commands.ended(running.process)
    assert done.code == 0, done.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_told_to_stop_while_redis_is_asked(number: signal.Signals) -> None:
    """It ends at once and well, before there is a child, however long Redis is silent."""
    asked, patience = asyncio.Event(), asyncio.Event()

    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await patience.wait()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as silent:
        url = f"redis://127.0.0.1:{silent.sockets[0].getsockname()[1]}/0"
        process = await commands.start(
            "serve", "-p", "0", "-m", "Redis", "--workers", "3", "--redis-url", url
        )
        await asyncio.wait_for(asked.wait(), 30)
        assert children_of(process.pid) == []
        process.send_signal(number)
        done = await commands.ended(process)
        patience.set()
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--workers", "2"), "a queue of the mode CachedJsonFile belongs to one process"),
        (
            ("--workers", "2", "-m", "Redis", "--job-queue-mode", "Sqlite"),
            "a queue of the mode Sqlite belongs to one process",
        ),
    ],
)
async def test_one_process_for_queues_in_a_process(options: tuple[str, ...], says: str) -> None:
    """More processes than one where they would not share their queues: one line, exit code 2."""
    done = await commands.run("serve", *options)
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert says in done.err


async def test_what_is_wrong_is_said_once() -> None:
    """A Redis that is not there is one line, however many processes there would be."""
    done = await commands.run(
        "serve", "-p", "0", "-m", "Redis", "--workers", "3", "--redis-url", "redis://127.0.0.1:1"
    )
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert done.err.startswith("sanic-dispatch: Redis at redis://127.0.0.1:1: ")

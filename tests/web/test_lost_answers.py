"""W2: the answer with a job is lost before, during or after it is written."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path
from typing import Any

import pytest
import ujson

from sanic_dispatch.config.settings import Mode
from tests.support.seeds import seed_of
from tests.support.server import Service, running_service

ROUNDS = int(os.environ.get("LOST_ANSWERS", "400"))
SEED = seed_of("LOST_SEED")
AT_ONCE = 20


class Engine:
    """An engine's client, which repeats its registration until it has read a whole answer."""

    def __init__(self, service: Service, number: int, rng: random.Random) -> None:
        self._port = int(service.base_url.rstrip("/").rpartition(":")[2])
        self._number, self._rng = number, rng
        self._calls = 0

    async def ask(self) -> Any:
        """Return the data of the job; its answer is lost once or twice before."""
        self._calls += 1
        for _ in range(self._rng.randint(1, 2)):
            await self._lose_an_answer()
        while (job := await self._answer()) is None:  # noqa: ASYNC110 - asked over HTTP
            await asyncio.sleep(0)
        return job

    async def _lose_an_answer(self) -> None:
        reader, writer = await self._send()
        how = self._rng.choice(["before", "during", "after"])
        if how == "during":
            await reader.read(self._rng.randint(1, 60))
        elif how == "after":
            await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(0)
        writer.transport.abort()

    async def _answer(self) -> Any:
        reader, writer = await self._send()
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(length)
        writer.close()
        return ujson.loads(body)["Job"]["data"] if b" 200 " in head.splitlines()[0] else None

    async def _send(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(
            b"POST /register-worker HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n"
            b"CPEE-INSTANCE-UUID: i%d\r\nCPEE-ACTIVITY: a1\r\n"
            b"CPEE-CALLBACK: http://127.0.0.1:9/%d/callbacks/%032x/\r\n\r\n"
            % (self._number, self._number, self._calls)
        )
        return reader, writer


@pytest.mark.parametrize("mode", [Mode.IN_MEMORY, Mode.CACHED_JSON_FILE])
async def test_no_job_is_lost_and_none_is_given_to_two(mode: Mode, tmp_path: Path) -> None:
    """The repeated registration, and no other, gets the job of the lost answer."""
    print(f"LOST_SEED={SEED}")  # noqa: T201 - pytest shows it where the test fails
    rng = random.Random(SEED)
    async with running_service(mode=mode, data_dir=tmp_path) as service:
        for n in range(ROUNDS):
            await service.submit(n)

        async def robot(number: int) -> list[Any]:
            engine = Engine(service, number, random.Random(rng.random()))
            return [await engine.ask() for _ in range(ROUNDS // AT_ONCE)]

        taken = await asyncio.gather(*(robot(number) for number in range(AT_ONCE)))
    assert sorted(job for jobs in taken for job in jobs) == list(range(ROUNDS))

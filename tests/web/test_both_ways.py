"""The fast path beside Sanic alone: the same bytes in the same pieces, and what comes of them.

FAST_PATH_SEED repeats the evenings of an earlier run; TORTURE makes it a thousand.
"""

from __future__ import annotations

import asyncio
import importlib.util
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import pytest
import uvloop

from sanic_dispatch.web import fast_path
from tests.support.both_ways import BothWays, Differs, both_ways
from tests.support.seeds import IS_TORTURE, seed_of
from tests.web.odd_requests import MAX_BODY_BYTES, MAX_DEPTH, TOKEN, ordinary, pieces, request

SEED = seed_of("FAST_PATH_SEED", in_a_check=1)
EVENINGS = 1000 if IS_TORTURE else 16
STEPS = 100
"""Steps of an evening: requests, or pieces of one, or a while in which nothing happens."""

SETTINGS: dict[str, Any] = {
    "max_body_bytes": MAX_BODY_BYTES,
    "max_depth": MAX_DEPTH,
    "topic_names": ("roof",),
    "unconsumed_after_s": 3600.0,
    "probe_after_s": 3600.0,
}
SPECIAL: list[dict[str, Any]] = [
    {},
    {"worker_tokens": (TOKEN,), "submit_tokens": (TOKEN,)},
    {"max_jobs": 3, "max_workers": 2},
    {"priorities": True},
]
WHILES_S = (5, 40, 50, 62, 80)
"""An answer may take 60 s, and a connection is idle for 75 s at most."""


@asynccontextmanager
async def worker() -> AsyncIterator[bytes]:
    """The address of a worker that accepts each job at once."""

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                found = re.search(rb"(?i)content-length: (\d+)", head)
                await reader.readexactly(int(found[1]) if found else 0)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(take, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        yield b"http://%b:%d/" % (host.encode(), port)


class Evening:
    """A random story of a few connections."""

    def __init__(self, dice: Random, ways: BothWays, callback: bytes) -> None:
        self._dice = dice
        self._ways = ways
        self._callback = callback
        self._open: list[int] = []

    async def run(self) -> None:
        """Take all steps. Raises Differs."""
        for _ in range(STEPS):
            how = self._dice.random()
            if how < 0.1:
                await self._ways.let_pass(self._dice.choice(WHILES_S))
            elif how < 0.3:
                await self._while_commits_are_held()
            else:
                await self._say(await self._connection(), self._some())

    async def _while_commits_are_held(self) -> None:
        """Send a request that is not durable yet, let time pass, send more on the connection."""
        dice, number = self._dice, await self._connection()
        if dice.random() < 0.4:
            await self._ways.let_pass(dice.choice(WHILES_S))
        self._ways.hold_commits()
        make = ordinary if dice.random() < 0.7 else request
        await self._say(number, [make(dice, self._callback)])
        if dice.random() < 0.5:
            await self._ways.let_pass(dice.choice(WHILES_S))
        for _ in range(dice.randint(0, 2)):
            await self._say(number, self._some())
        await self._ways.release_commits()

    def _some(self) -> list[bytes]:
        """Return a request, or a few of them, whole or in pieces."""
        dice = self._dice
        data = request(dice, self._callback)
        while dice.random() < 0.15:
            data += request(dice, self._callback)
        return pieces(dice, data) if dice.random() < 0.2 else [data]

    async def _say(self, number: int, said: list[bytes]) -> None:
        for piece in said:
            if not await self._ways.send(number, piece):
                if number in self._open:
                    self._open.remove(number)
                return

    async def _connection(self) -> int:
        """Return a connection that is open, a new one now and then."""
        if not self._open or (len(self._open) < 4 and self._dice.random() < 0.1):
            self._open.append(await self._ways.connect())
        return self._dice.choice(self._open)


async def evening(seed: int, module: Any = fast_path) -> None:
    """Run the evening of this seed. Raises Differs."""
    dice = Random(seed)
    settings = {**SETTINGS, **SPECIAL[seed % len(SPECIAL)]}
    async with worker() as callback, both_ways(module, **settings) as ways:
        await Evening(dice, ways, callback).run()


def run(coroutine: Any) -> None:
    """Run a coroutine in a loop of the kind that the service has."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(coroutine)


@pytest.mark.timeout(3600 if IS_TORTURE else 300)
def test_both_ways_give_the_same() -> None:
    """Answers to the byte, open connections, events, jobs, workers and counts, after each piece."""
    for number in range(EVENINGS):
        print(f"FAST_PATH_SEED={SEED + number}")  # noqa: T201 - shown if it fails
        run(evening(SEED + number))


# ---- bugs of the fast path that the test has to find

FIRST = 100_000
"""The seeds of the evenings that have to find bugs begin here; so many as in the test above."""

BUGS = {
    "no limit of the body": (" == size <= self.request_max_size", " == size"),
    "no limit of the head": ("4 <= end < self.HTTP_CLASS.HEADER_MAX_SIZE + 4", "4 <= end"),
    "a part of a body is taken for all of it": (" == size <= self", " >= size and size <= self"),
    "a header of the answer dropped": ("        sign(response, self.app)\n", ""),
    "a header of the request dropped": (
        "        self._add(name",
        "        if name.lower() != b'job-receipt':\n            self._add(name",
    ),
    "the idle time not touched": ("        self._time = monotonic()\n", ""),
    "the time to answer has no end": ("> self.response_timeout", "> 1e9"),
    "an answer before the one of an earlier request": (
        "            await asyncio.wait([self._in_progress])\n",
        "            pass\n",
    ),
    "no token needed": (
        "            return await handler(request)\n",
        "            request.headers['authorization'] = 'Bearer a-token-of-the-tests'\n"
        "            return await handler(request)\n",
    ),
    "no token in the query": ("parse_qs(self.query_string)", "{}"),
    "a connection that is to close stays open": (
        'it.lower() == "keep-alive" for it',
        "True for it",
    ),
    "expectations unheeded": ('"expect", ', ""),
    "what is for a topic comes to the unnamed one": (
        "head.headers, url.path.decode(),",
        "head.headers, url.path.decode().replace('/topics/roof', ''),",
    ),
    "any version of HTTP": (b"POST %b HTTP/1.1\\r\\n".decode(), "POST %b HTTP/"),
    "bytes after the body dropped": (
        "        body = data[end:]\n",
        "        size = int(head.headers.get('content-length', 0))\n"
        "        body = data[end : end + size]\n",
    ),
    "the connection stays open after an answer that took too long": (
        "            request.keep_alive = False\n            return _answer",
        "            return _answer",
    ),
}
"""What is written otherwise in fast_path.py; each leaves the rest as it is."""


def with_bug(name: str, folder: Path) -> ModuleType:
    """Return the module of the fast path with a bug, imported from this folder."""
    right, wrong = BUGS[name]
    source = Path(fast_path.__file__).read_text()
    assert source.count(right) == 1, f"fast_path.py has changed: how is it written with {name!r}?"
    path = folder / "fast_path.py"
    path.write_text(source.replace(right, wrong))
    spec = importlib.util.spec_from_file_location("fast_path_with_a_bug", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", BUGS)
def test_a_bug_is_found(name: str, tmp_path: Path) -> None:
    """The evenings tell a fast path with this bug from Sanic."""
    module = with_bug(name, tmp_path)
    for number in range(EVENINGS):
        try:
            run(evening(FIRST + number, module))
        except Differs:
            print(f"{name}: found in evening {number + 1}")  # noqa: T201
            return
    pytest.fail(f"{name} is not found in {EVENINGS} evenings")

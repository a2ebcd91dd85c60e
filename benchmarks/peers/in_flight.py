"""The load of a side: a fixed number of jobs in flight, whatever the library.

The programs of a side find the port of its server and a named pipe in their environment. The worker
writes one byte to the pipe for each job that it has worked. The process that submits takes turns
with those of other sides. It reads a number of seconds from its standard input, keeps
``AT_A_TIME`` jobs in flight for so long, and waits until all are worked. Then it writes how many
there were and the seconds until the last one.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from functools import cache
from threading import Lock, Thread
from typing import Any

from benchmarks.drive.wire import DATA

PORT, WORKED = "BENCHMARK_PORT", "BENCHMARK_WORKED"
"""The environment variables with the port of the server, and the path of the pipe."""

JOB: dict[str, Any] = json.loads(DATA)

AT_A_TIME = 32
"""Jobs in flight."""

SENDERS = 8
"""Threads that submit if the library blocks: with one, Redis would sync for each job by itself."""

_WORKED, _STOP = b".", b"!"


def port() -> int:
    """Return the port of the server."""
    return int(os.environ[PORT])


def work(data: object) -> None:
    """Work a job, which is to say that it was worked."""
    assert data == JOB
    os.write(_pipe(os.O_WRONLY), _WORKED)


@cache
def _pipe(flags: int) -> int:
    return os.open(os.environ[WORKED], flags)


async def take_turns(submit: Callable[[], Awaitable[object]]) -> None:
    """Run rounds until the standard input ends."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        _say(*await _round(submit, float(line)))


async def _round(submit: Callable[[], Awaitable[object]], seconds: float) -> tuple[int, float]:
    pipe = _pipe(os.O_RDWR | os.O_NONBLOCK)
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    began_s = time.perf_counter()
    submitted = worked = 0

    async def send() -> None:
        await submit()

    async with asyncio.TaskGroup() as group:

        def follow(count: int) -> None:
            nonlocal submitted
            submitted += count
            for _ in range(count):
                group.create_task(send())

        def read() -> None:
            nonlocal worked
            count = len(os.read(pipe, 65536))
            worked += count
            if time.perf_counter() - began_s < seconds:
                follow(count)
            elif worked >= submitted:  # more if one was submitted again
                over.set()

        loop.add_reader(pipe, read)
        follow(AT_A_TIME)
        await over.wait()
        took_s = time.perf_counter() - began_s
        loop.remove_reader(pipe)
    return worked, took_s


def take_turns_in_threads(submit: Callable[[], object]) -> None:
    """Run rounds until the standard input ends, with a library that blocks."""
    for line in sys.stdin:
        _say(*_round_in_threads(submit, float(line)))


def _round_in_threads(submit: Callable[[], object], seconds: float) -> tuple[int, float]:
    pipe = _pipe(os.O_RDWR)
    lock = Lock()
    began_s = time.perf_counter()
    submitted, worked = AT_A_TIME, 0
    took_s = 0.0

    def follow() -> None:
        nonlocal submitted, worked, took_s
        while os.read(pipe, 1) == _WORKED:
            with lock:
                worked += 1
                took_s = time.perf_counter() - began_s
                goes_on = took_s < seconds
                submitted += goes_on
                if worked == submitted:
                    os.write(pipe, _STOP * SENDERS)
            if goes_on:
                submit()

    for _ in range(AT_A_TIME):
        submit()
    threads = [Thread(target=follow) for _ in range(SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return worked, took_s


def _say(worked: int, took_s: float) -> None:
    sys.stdout.write(f"{worked} {took_s}\n")
    sys.stdout.flush()

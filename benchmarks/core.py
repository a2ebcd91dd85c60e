"""The core's own steps, one by one: what a request is made of once HTTP and the disk are left out.

    python -m benchmarks.core TIMES...

does each of them so many times, and again so many, in a process of its own, and says which: for
counting instructions. ``benchmarks/test_core.py`` takes the time of each with pytest-benchmark.
"""

from __future__ import annotations

import asyncio
import io
import os
import sys
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any, TypeVar

from benchmarks.wire import DATA
from sanic_dispatch import lifecycle, logs, strict_json
from sanic_dispatch.clock import to_rfc3339
from sanic_dispatch.events import Event, Events, Kind
from sanic_dispatch.job import Job, Way
from sanic_dispatch.live.line import Line
from sanic_dispatch.live.views import Board, Monitor
from sanic_dispatch.queues.blocks import Blocks
from sanic_dispatch.queues.commit import Commit
from sanic_dispatch.queues.ledger import Ledger
from sanic_dispatch.queues.local_jobs import LocalJobQueue
from sanic_dispatch.queues.local_workers import LocalWorkerQueue
from sanic_dispatch.queues.pairs import LocalPairs
from sanic_dispatch.rules import Policy
from sanic_dispatch.settings import LogFormat
from sanic_dispatch.worker import Key, Worker

NOW_S = 1_732_412_340.0
AT = to_rfc3339(NOW_S)
DEEP = 1_000
POLICY = Policy()

T = TypeVar("T")
Do = Callable[[], object]
"""What is measured: one step, as often as it is called."""


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    raise RuntimeError("it waits for something")


def job(number: int) -> Job:
    """A new job."""
    return Job(f"{number:032x}", 0, DATA, AT, 0.0)


def worker(number: int) -> Worker:
    """A worker with a key, and a callback that was never used."""
    url = f"http://127.0.0.1:8298/7/callbacks/{number:032x}/"
    return Worker(url, AT, Key(f"instance {number}", "a1"), label="Robot")


def pairs() -> LocalPairs:
    """Both queues in memory, many jobs waiting."""
    events, commit = Events(), Commit()
    jobs = LocalJobQueue(events, commit, Ledger(commit))
    queues = LocalPairs(jobs, LocalWorkerQueue(events, commit))
    for number in range(DEEP):
        at_once(queues.offer(job(number), NOW_S))
    return queues


def pair() -> Do:
    """A worker comes, gets the oldest job and is done with it; another job comes."""
    queues, numbers = pairs(), count(DEEP)

    def do() -> None:
        number = next(numbers)
        taken = at_once(queues.ask(worker(number), NOW_S))
        assert taken
        at_once(queues.jobs.finish(lifecycle.finish(taken, NOW_S).job))
        at_once(queues.offer(job(number), NOW_S))

    return do


def offer() -> Do:
    """A job comes, and nobody waits."""
    queues, numbers = pairs(), count(DEEP)
    return lambda: queues.line_up(job(next(numbers)), NOW_S, 10**9)


def assign() -> Do:
    """A job is given to a worker."""
    waiting, free = job(1), worker(1)
    return lambda: lifecycle.assign(waiting, free, Way.PUT, NOW_S)


def submitted(number: int) -> Event:
    """What a new job says."""
    numbered = job(number).numbered(number)
    return Event(number, Kind.JOB_SUBMITTED, NOW_S, numbered, None, "")


def line() -> Line:
    """What people see, with many orders in it."""
    seen = Line()
    for number in range(1, DEEP + 1):
        seen.fold(submitted(number))
    return seen


def event() -> Do:
    """What a new job says is made."""
    numbers = count(1)
    return lambda: submitted(next(numbers))


def event_and_fold() -> Do:
    """The same, and it is taken in by the line that the views show."""
    seen, numbers = line(), count(DEEP + 1)
    return lambda: seen.fold(submitted(next(numbers)))


def handed_over(number: int) -> tuple[Event, Event]:
    """What a job says that goes out in an answer to a worker without a key: assigned, done."""
    taker = worker(number)._replace(key=None)
    given = lifecycle.assign(job(number).numbered(number), taker, Way.ANSWER, NOW_S)
    done = lifecycle.accept(given.job, POLICY, NOW_S)
    return (
        Event(number, given.note.kind, NOW_S, given.job, taker, ""),
        Event(number, done.note.kind, NOW_S, done.job, taker, ""),
    )


def hand_over() -> Do:
    """What a hand-over says is made."""
    numbers = count(1)
    return lambda: handed_over(next(numbers))


def hand_over_and_fold() -> Do:
    """The same, and it is taken in by the line that the views show."""
    seen, numbers = line(), count(1)

    def do() -> None:
        for event in handed_over(next(numbers)):
            seen.fold(event)

    return do


def hand_over_and_log() -> Do:
    """The same, and its two lines of the log are written."""
    logs.configure(LogFormat.JSON, stream=io.StringIO())
    numbers = count(1)

    def do() -> None:
        for event in handed_over(next(numbers)):
            logs.log_event(event)

    return do


def frame_of_the_board() -> Do:
    """An order is taken; what that changes is composed for all who follow the board."""
    seen = line()
    view = Board(seen, "epoch", lambda: NOW_S)
    return lambda: _next_frame(seen, view)


def frame_of_the_monitor() -> Do:
    """The same for those who follow the monitor."""
    seen = line()
    view = Monitor(seen, "epoch", lambda: NOW_S)
    return lambda: _next_frame(seen, view)


def _next_frame(seen: Line, view: Board | Monitor) -> None:
    view.refresh()
    before = view.head
    oldest = seen.first(1)[0].job
    step = lifecycle.assign(oldest, worker(oldest.ticket), Way.PUT, NOW_S)
    seen.fold(Event(seen.moment.number + 1, step.note.kind, NOW_S, step.job, step.job.worker, ""))
    seen.fold(submitted(DEEP + seen.moment.number))
    view.refresh()
    view.frame_since(before)


def commit_of_a_file() -> Do:
    """A job is put to the end of a file of many, and the file's pieces are made."""
    entry = job(1).to_stored()
    blocks = Blocks.of((float(place), entry) for place in range(10 * DEEP))
    return lambda: blocks.changed({float(10 * DEEP): entry}).joined()


def check() -> Do:
    """A body is checked."""
    return lambda: strict_json.check(DATA)


def store() -> Do:
    """A job's bytes for the disk are made."""
    numbered = job(1).numbered(1)
    return numbered.to_stored


def log() -> Do:
    """A line of the log is written."""
    logs.configure(LogFormat.JSON, stream=io.StringIO())
    event = submitted(1)
    return lambda: logs.log_event(event)


STEPS: dict[str, Callable[[], Do]] = {
    "check": check,
    "offer": offer,
    "pair": pair,
    "assign": assign,
    "store": store,
    "commit of a file of 10,000": commit_of_a_file,
    "event": event,
    "event and fold": event_and_fold,
    "hand-over": hand_over,
    "hand-over and fold": hand_over_and_fold,
    "hand-over and log": hand_over_and_log,
    "frame of the board": frame_of_the_board,
    "frame of the monitor": frame_of_the_monitor,
    "log": log,
}
"""Each makes what it needs and gives the step that is measured."""


def do_apart(name: str, times: int) -> int:
    """Do a step so many times in a process of its own; its number."""
    if child := os.fork():
        os.waitpid(child, 0)
        return child
    asyncio.run(_do(name, times))
    os._exit(0)


async def _do(name: str, times: int) -> None:
    step = STEPS[name]()
    for _ in range(times):
        step()


if __name__ == "__main__":
    for name in STEPS:
        print(name, *(do_apart(name, int(times)) for times in sys.argv[1:]), sep="\t")  # noqa: T201

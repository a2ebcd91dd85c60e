"""The core's own steps, one by one: what a request is made of once HTTP and the disk are left out.

    python -m benchmarks.measure.core_steps TIMES...

does each of them so many times, and again so many, in a process of its own, and says which: for
counting instructions. ``benchmarks/test_core.py`` takes the time of each with pytest-benchmark.
"""

from __future__ import annotations

import asyncio
import io
import os
import sys
from collections.abc import Callable
from itertools import count

from benchmarks.drive.wire import DATA
from sanic_dispatch import strict_json
from sanic_dispatch.config.settings import LogFormat
from sanic_dispatch.core import commands as c
from sanic_dispatch.core import lifecycle
from sanic_dispatch.core.events import Event, Kind
from sanic_dispatch.core.job import Job, Way
from sanic_dispatch.core.state_machine import Now, StateMachine
from sanic_dispatch.core.tables import Change, Table
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.core.worker import Key, Worker
from sanic_dispatch.live.projection import Line
from sanic_dispatch.live.views import Board, Monitor
from sanic_dispatch.observability.log import configure, log_event, log_events
from sanic_dispatch.storage.blocks import Blocks
from sanic_dispatch.storage.journal import encode_batch, seal
from sanic_dispatch.storage.records import encode_job
from sanic_dispatch.storage.store import Batch

NOW_S = 1_732_412_340.0
AT = to_rfc3339(NOW_S)
DEEP = 1_000
NOW = Now(NOW_S, 0.0)
POLICY = Policy(max_jobs=10**9, keep_finished=DEEP)

Do = Callable[[], object]
"""What is measured: one step, as often as it is called."""


def job(number: int) -> Job:
    """A new job."""
    return Job(f"{number:032x}", number, DATA, AT, number)


def worker(number: int) -> Worker:
    """A worker with a key, and a callback that was never used."""
    url = f"http://127.0.0.1:8298/7/callbacks/{number:032x}/"
    return Worker(url, AT, Key(f"instance {number}", "a1"), label="Robot")


def machine(waiting: int = 0) -> StateMachine:
    """A topic in which so many jobs wait."""
    made = StateMachine(POLICY)
    apply(made, c.Recover("00" * 32))
    for number in range(waiting):
        apply(made, c.Submit(f"{number:032x}", DATA))
    return made


def apply(topic: StateMachine, *commands: c.Command) -> None:
    """Apply commands, as a batch does that is committed at once."""
    for command in commands:
        topic.apply(command, NOW)
    topic.tables.take_changes()


def submit() -> Do:
    """Submit a job while no worker waits."""
    topic, numbers = machine(DEEP), count(DEEP)
    return lambda: apply(topic, c.Submit(f"{next(numbers):032x}", DATA))


def submit_and_register() -> Do:
    """A job comes; a worker without a key comes, gets the oldest one, and is done with it."""
    topic, numbers = machine(DEEP), count(DEEP)

    def do() -> None:
        number = next(numbers)
        register = c.Register(worker(number)._replace(key=None))
        answer = c.AnswerWritten(f"{number - DEEP:032x}", 1)
        apply(topic, c.Submit(f"{number:032x}", DATA), register, answer)

    return do


def cycle() -> Do:
    """A job comes and is put to the worker that waits; that one is done, and waits again."""
    topic, numbers = machine(), count(1)
    apply(topic, c.Register(worker(0)))

    def do() -> None:
        number = next(numbers)
        again = Worker(f"http://127.0.0.1:8298/{number}/", AT, Key("instance 0", "a1"))
        submitted = c.Submit(f"{number:032x}", DATA)
        accepted = c.DeliveryAccepted(submitted.job_id, 1)
        apply(topic, submitted, accepted, c.Register(again))

    return do


def assign() -> Do:
    """A job is given to a worker."""
    waiting, free = job(1), worker(1)
    return lambda: lifecycle.assign(waiting, free, Way.PUT, NOW_S)


def submitted(number: int) -> Event:
    """What a new job says."""
    return Event(number, Kind.JOB_SUBMITTED, NOW_S, job(number), None, "")


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
    given = lifecycle.assign(job(number), taker, Way.ANSWER, NOW_S)
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
    configure(LogFormat.JSON, stream=io.StringIO())
    numbers = count(1)

    return lambda: log_events(handed_over(next(numbers)))


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
    entry = encode_job(job(1))
    blocks = Blocks.of(((float(place), place, ""), entry) for place in range(10 * DEEP))
    last = (float(10 * DEEP), 10 * DEEP, "")
    return lambda: blocks.changed({last: entry}).joined()


def line_of_a_journal() -> Do:
    """A batch of 32 new jobs becomes a line."""
    changes = [Change(Table.JOBS, made.id, None, made) for made in map(job, range(32))]
    return lambda: seal(encode_batch(Batch(1, changes, ())), 0)


def check() -> Do:
    """A body is checked."""
    return lambda: strict_json.check(DATA)


def store() -> Do:
    """A job's bytes for the disk are made."""
    one = job(1)
    return lambda: encode_job(one)


def log() -> Do:
    """A line of the log is written."""
    configure(LogFormat.JSON, stream=io.StringIO())
    event = submitted(1)
    return lambda: log_event(event)


STEPS: dict[str, Callable[[], Do]] = {
    "check": check,
    "submit": submit,
    "submit and register": submit_and_register,
    "cycle": cycle,
    "assign": assign,
    "store": store,
    "line of a journal, 32 jobs": line_of_a_journal,
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

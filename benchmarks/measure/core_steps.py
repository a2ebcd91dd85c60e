"""The core's steps one by one: the parts of a request without HTTP and disk.

    python -m benchmarks.measure.core_steps TIMES...

runs each step, once for each TIMES, that many times in a process of its own, and prints the process
ids: for counting instructions. ``benchmarks/test_core.py`` times the steps with pytest-benchmark.
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
from sanic_dispatch.core.events import Event, EventKind
from sanic_dispatch.core.job import Job, Way
from sanic_dispatch.core.state_machine import Now, StateMachine
from sanic_dispatch.core.tables import Change, Table
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.core.worker import Key, Worker
from sanic_dispatch.enum_lookup import use_plain_lookup
from sanic_dispatch.live.projection import Projection
from sanic_dispatch.live.views import Board, Monitor
from sanic_dispatch.observability.log import configure, log_events
from sanic_dispatch.storage.blocks import Blocks
from sanic_dispatch.storage.journal import encode_batch, seal
from sanic_dispatch.storage.record_json import encode_job
from sanic_dispatch.storage.store import Batch

NOW_S = 1_732_412_340.0
AT = to_rfc3339(NOW_S)
DEEP = 1_000
NOW = Now(NOW_S, 0.0)
POLICY = Policy(max_jobs=10**9, keep_finished=DEEP)

Do = Callable[[], object]
"""A step: each call performs it once."""


def job(number: int) -> Job:
    """Return a new job."""
    return Job(f"{number:032x}", number, DATA, AT, number)


def worker(number: int) -> Worker:
    """Return a worker with a key and an unused callback."""
    url = f"http://127.0.0.1:8298/7/callbacks/{number:032x}/"
    return Worker(url, AT, Key(f"instance {number}", "a1"), label="Robot")


def machine(waiting: int = 0) -> StateMachine:
    """Return a state machine with ``waiting`` jobs."""
    made = StateMachine(POLICY)
    apply(made, c.Recover("00" * 32))
    for number in range(waiting):
        apply(made, c.Submit(f"{number:032x}", DATA))
    return made


def apply(topic: StateMachine, *commands: c.Command) -> None:
    """Apply commands as one batch that is committed at once."""
    for command in commands:
        topic.apply(command, NOW)
    topic.tables.take_changes()


def submit() -> Do:
    """Submit a job while no worker waits."""
    topic, numbers = machine(DEEP), count(DEEP)
    return lambda: apply(topic, c.Submit(f"{next(numbers):032x}", DATA))


def submit_and_register() -> Do:
    """Submit a job; register a worker without a key, which takes the oldest job and is done."""
    topic, numbers = machine(DEEP), count(DEEP)

    def do() -> None:
        number = next(numbers)
        register = c.Register(worker(number)._replace(key=None))
        answer = c.AnswerWritten(f"{number - DEEP:032x}", 1)
        apply(topic, c.Submit(f"{number:032x}", DATA), register, answer)

    return do


def cycle() -> Do:
    """Submit a job, deliver it to the waiting worker, and register that worker again."""
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
    """Assign a job to a worker."""
    waiting, free = job(1), worker(1)
    return lambda: lifecycle.assign(waiting, free, Way.PUT, NOW_S)


def submitted(number: int) -> Event:
    """Return the event of a submission."""
    return Event(number, EventKind.JOB_SUBMITTED, NOW_S, job(number), None, "")


def full_projection() -> Projection:
    """Return a projection with many orders."""
    projection = Projection()
    for number in range(1, DEEP + 1):
        projection.fold(submitted(number))
    return projection


def event() -> Do:
    """Build the event of a submission."""
    numbers = count(1)
    return lambda: submitted(next(numbers))


def event_and_fold() -> Do:
    """Build the event of a submission, and fold it."""
    projection, numbers = full_projection(), count(DEEP + 1)
    return lambda: projection.fold(submitted(next(numbers)))


def handed_over(number: int) -> tuple[Event, Event]:
    """Return the events of a job taken by a worker without a key: assigned, done."""
    taker = worker(number)._replace(key=None)
    given = lifecycle.assign(job(number), taker, Way.ANSWER, NOW_S)
    done = lifecycle.accept(given.job, POLICY, NOW_S)
    return (
        Event(number, given.note.kind, NOW_S, given.job, taker, ""),
        Event(number, done.note.kind, NOW_S, done.job, taker, ""),
    )


def hand_over() -> Do:
    """Build the events of a hand-over."""
    numbers = count(1)
    return lambda: handed_over(next(numbers))


def hand_over_and_fold() -> Do:
    """Build the events of a hand-over, and fold them."""
    projection, numbers = full_projection(), count(1)

    def do() -> None:
        for event in handed_over(next(numbers)):
            projection.fold(event)

    return do


def hand_over_and_log() -> Do:
    """Build the events of a hand-over, and write their two log lines."""
    configure(LogFormat.JSON, stream=io.StringIO())
    numbers = count(1)

    return lambda: log_events(handed_over(next(numbers)))


def frame_of_the_board() -> Do:
    """Assign an order and submit another; compose the board's frame of the change."""
    projection = full_projection()
    view = Board(projection, "epoch", lambda: NOW_S)
    return lambda: _next_frame(projection, view)


def frame_of_the_monitor() -> Do:
    """Assign an order and submit another; compose the monitor's frame of the change."""
    projection = full_projection()
    view = Monitor(projection, "epoch", lambda: NOW_S)
    return lambda: _next_frame(projection, view)


def _next_frame(projection: Projection, view: Board | Monitor) -> None:
    view.refresh()
    before = view.head
    oldest = projection.first(1)[0].job
    step = lifecycle.assign(oldest, worker(oldest.ticket), Way.PUT, NOW_S)
    projection.fold(
        Event(projection.version.number + 1, step.note.kind, NOW_S, step.job, step.job.worker, "")
    )
    projection.fold(submitted(DEEP + projection.version.number))
    view.refresh()
    view.frame_since(before)


def commit_of_a_file() -> Do:
    """Append a job to a file of 10,000, and join the file's pieces."""
    entry = encode_job(job(1))
    blocks = Blocks.of(((float(place), place, ""), entry) for place in range(10 * DEEP))
    last = (float(10 * DEEP), 10 * DEEP, "")
    return lambda: blocks.changed({last: entry}).joined()


def line_of_a_journal() -> Do:
    """Encode a batch of 32 new jobs as a journal line."""
    changes = [Change(Table.JOBS, made.id, None, made) for made in map(job, range(32))]
    return lambda: seal(encode_batch(Batch(1, changes, ())), 0)


def check() -> Do:
    """Validate a body."""
    return lambda: strict_json.parse(DATA)


def store() -> Do:
    """Encode a job for the disk."""
    one = job(1)
    return lambda: encode_job(one)


def log() -> Do:
    """Write a log line."""
    configure(LogFormat.JSON, stream=io.StringIO())
    event = submitted(1)
    return lambda: log_events([event])


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
"""By name: a function that prepares a step and returns it."""


def do_apart(name: str, times: int) -> int:
    """Run a step ``times`` times in a process of its own, and return its id."""
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
    use_plain_lookup()
    for name in STEPS:
        print(name, *(do_apart(name, int(times)) for times in sys.argv[1:]), sep="\t")  # noqa: T201

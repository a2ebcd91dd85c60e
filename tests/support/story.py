"""Helpers for the live channel: a story of events, a fake loop, fake connections."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from typing import Any

import ujson

from sanic_dispatch.core import lifecycle
from sanic_dispatch.core.events import Event, EventKind, Note
from sanic_dispatch.core.job import Job, Progress, Way
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.core.transitions import Step
from sanic_dispatch.core.worker import Key, Worker
from sanic_dispatch.dispatch.batches import without_promises
from sanic_dispatch.live.connection import ViewKey, has_room
from sanic_dispatch.live.frames import Frame
from sanic_dispatch.live.hub import Hub
from sanic_dispatch.observability.event_bus import EventBus
from tests.support.clock import START_S

BOARD = ViewKey("board")


class FakeLoop:
    """An event loop and clock in one: time passes only in ``run`` and ``step``."""

    def __init__(self) -> None:
        self.elapsed_s = 0.0
        self._calls: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    def now_s(self) -> float:
        return START_S + self.elapsed_s

    def monotonic_s(self) -> float:
        return self.elapsed_s

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError

    def call_soon(self, callback: Callable[[], None], /) -> Handle:
        return self.call_later(0.0, callback)

    def call_later(self, delay_s: float, callback: Callable[[], None], /) -> Handle:
        call = (self.elapsed_s + delay_s, next(self._order), callback)
        heapq.heappush(self._calls, call)
        return Handle(lambda: self._calls.remove(call))

    def run(self, seconds: float = 0.0) -> None:
        """Let time pass, and run every call that is due."""
        end_s = self.elapsed_s + seconds
        while self._calls and self._calls[0][0] <= end_s:
            self.step()
        self.elapsed_s = max(self.elapsed_s, end_s)

    def step(self) -> None:
        """Run the next call."""
        when_s, _, callback = heapq.heappop(self._calls)
        self.elapsed_s = max(self.elapsed_s, when_s)
        callback()


class Handle:
    """A call that can be cancelled."""

    def __init__(self, cancel: Callable[[], None]) -> None:
        self.cancel = cancel


class FakeConnection:
    """A connection that a test can block: frames that were not accepted stay in ``held``."""

    transport = "websocket"

    def __init__(self, loop: FakeLoop | None = None, write_s: float = 0.0) -> None:
        self.is_held = False
        self.held: list[Frame] = []
        self.taken: list[dict[str, Any]] = []
        self.state: dict[str, Any] = {}
        self.code: int | None = None
        self.is_cut = False
        self._loop = loop
        self._write_s = write_s

    def buffered(self) -> int:
        return sum(len(frame.json) for frame in self.held)

    def offer(self, frame: Frame) -> bool:
        assert self.code is None
        assert not self.is_cut
        if not has_room(self.buffered(), len(frame.json)):
            return False
        if self._loop:
            self._loop.elapsed_s += self._write_s
        if self.is_held:
            self.held.append(frame)
        else:
            self.take(frame)
        return True

    def release(self) -> None:
        """Let the peer read again."""
        held, self.held, self.is_held = self.held, [], False
        for frame in held:
            self.take(frame)

    def close(self, code: int) -> None:
        self.code = code

    def abort(self) -> None:
        self.is_cut = True

    def take(self, frame: Frame) -> None:
        """Apply a frame as a client does."""
        content = ujson.loads(frame.json)
        self.taken.append(content)
        self.state = reduced(self.state, content)

    @property
    def at(self) -> str:
        """Return the cursor to resume with."""
        return str(self.taken[-1]["at"])


def reduced(state: dict[str, Any], frame: dict[str, Any]) -> dict[str, Any]:
    """Return the state after a frame."""
    if "state" in frame:
        return dict(frame["state"])
    merged = state | frame.get("patch", {})
    return {key: value for key, value in merged.items() if value is not None}


class Story:
    """Jobs and workers, and the events of what happens to them, in the order of the calls."""

    def __init__(self, loop: FakeLoop | None = None) -> None:
        self.loop = loop or FakeLoop()
        self.bus = EventBus()
        self.jobs: dict[int, Job] = {}
        self.promised = without_promises
        """Adds promises to events, as those of the projection that follows the story."""
        self._last_ticket = 0
        self._policy = Policy()

    @property
    def now_s(self) -> float:
        return self.loop.now_s()

    def tell(self, call: Callable[[Event], None]) -> None:
        """Call a function with each event."""
        self.bus.subscribe(lambda events: [call(event) for event in events] and None)

    def hub(self, **values: Any) -> Hub:
        """Start a hub that follows the story."""
        hub = Hub(self.bus, self.loop, self.loop, **values)
        hub.start()
        return hub

    def submit(self, data: Any = None, **values: Any) -> int:
        """Submit a job, and return its ticket."""
        self._last_ticket += 1
        ticket = self._last_ticket
        raw = ujson.dumps({"drink": "Mojito"} if data is None else data).encode()
        job = Job(secret(ticket), ticket, raw, to_rfc3339(self.now_s), float(ticket), **values)
        self._tell(job, Note(EventKind.JOB_SUBMITTED, self.now_s))
        return ticket

    def register(
        self, name: str, *, kind: EventKind = EventKind.WORKER_REGISTERED, **values: Any
    ) -> Worker:
        """Register a worker."""
        worker = robot(name)._replace(**values)
        self._publish(Note(kind, self.now_s), worker=worker)
        return worker

    def leave(self, worker: Worker, kind: EventKind = EventKind.WORKER_USED) -> None:
        """Remove a worker from the queue."""
        self._publish(Note(kind, self.now_s), worker=worker)

    def assign(self, ticket: int, worker: Worker | None = None, way: Way = Way.PUT) -> None:
        """Begin a hand-over."""
        holder = worker or robot(f"r{ticket}")
        self.take(ticket, lambda job: lifecycle.assign(job, holder, way, self.now_s))

    def confirm(self, ticket: int) -> None:
        """Confirm the hand-over."""
        self.take(ticket, lambda job: lifecycle.accept(job, self._policy, self.now_s))

    def doubt(self, ticket: int) -> None:
        """Leave it unknown whether the worker has the job."""
        self.take(ticket, lambda job: lifecycle.doubt(job, self._policy, self.now_s, "time-out"))

    def refuse(self, ticket: int) -> None:
        """Have the worker refuse the job."""
        self.take(ticket, lambda job: lifecycle.refuse(job, self._policy, self.now_s, "refused"))

    def finish(self, ticket: int) -> None:
        """Complete the job."""
        self.take(ticket, lambda job: lifecycle.finish(job, self.now_s))

    def fail(self, ticket: int, reason: str = "no more mint") -> None:
        """Fail the job."""
        self.take(ticket, lambda job: lifecycle.fail(job, self.now_s, reason))

    def cancel(self, ticket: int) -> None:
        """Cancel the job."""
        self.take(ticket, lambda job: lifecycle.cancel(job, self.now_s))

    def make_progress(self, ticket: int, percent: float | None, text: str = "") -> None:
        """Have the worker say how far it is."""
        said = Progress(percent, text)
        self.take(ticket, lambda job: lifecycle.make_progress(job, self.now_s, said))

    def ask_to_cancel(self, ticket: int, reason: str = "changed my mind") -> None:
        """Ask the worker to stop."""
        self.take(ticket, lambda job: lifecycle.ask_to_cancel(job, self.now_s, reason))

    def stop(self, ticket: int, reason: str = "poured away") -> None:
        """Have the worker say that it has stopped."""
        self.take(ticket, lambda job: lifecycle.end_cancelled(job, self.now_s, reason))

    def forget(self, ticket: int) -> None:
        """Erase the job's data, as an operator."""
        self.take(ticket, lambda job: lifecycle.forget(job, self.now_s, "ada"))

    def put_back(self, ticket: int) -> None:
        """Requeue the job at its own place, as an operator."""
        self.take(ticket, lambda job: lifecycle.put_back(job, self.now_s, "once more"))

    def move(self, ticket: int, place: float) -> None:
        """Move the job, as an operator."""
        self._tell(self.jobs[ticket]._replace(place=place), Note(EventKind.JOB_MOVED, self.now_s))

    def pause(self, kind: EventKind = EventKind.DISPATCH_PAUSED) -> None:
        """Pause the hand-overs."""
        self._publish(Note(kind, self.now_s))

    def serve(self, seconds: float) -> int:
        """Submit, assign, confirm and finish an order."""
        ticket = self.submit()
        self.assign(ticket)
        self.confirm(ticket)
        self.loop.run(seconds)
        self.finish(ticket)
        return ticket

    def take(self, ticket: int, decide: Callable[[Job], Step]) -> None:
        """Apply any other transition of a job."""
        step = decide(self.jobs[ticket])
        self._tell(step.job, step.note)

    def _tell(self, job: Job, note: Note) -> None:
        self.jobs[job.ticket] = job
        self._publish(note, job=job)

    def _publish(self, note: Note, *, job: Job | None = None, worker: Worker | None = None) -> None:
        worker = job.worker if job else worker
        number = self.bus.number + 1
        event = Event(number, note.kind, note.at_s, job, worker, note.reason)
        self.bus.publish(self.promised([event]))


def secret(ticket: int) -> str:
    """Return the secret id of a job."""
    return f"{ticket:032x}"


def robot(name: str) -> Worker:
    """Return a worker of a process instance."""
    return Worker(
        callback_url=f"http://engine.example/flow/{name}/callbacks/1/",
        registered_at=to_rfc3339(START_S),
        key=Key(name, "a1"),
        instance_url=f"http://engine.example/flow/{name}/",
        label=name,
    )


def state_of(hub: Hub, key: ViewKey = BOARD) -> dict[str, Any]:
    """Return the whole state of a view, as a new client gets it."""
    state: dict[str, Any] = ujson.loads(hub.state_frame(key).json)["state"]
    return state

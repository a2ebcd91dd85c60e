"""A worker at a websocket: it needs no address at which the service could call it.

async for job in Worker("http://localhost:2567/", "Robot-1"):
    await job.progress(40, "adding gin")
    await job.done({"glasses": 1})
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sanic_dispatch.client.answers import ServiceError
from sanic_dispatch.client.channel import FIRST_DELAY_S, ChannelLost, Lost, delay_s
from sanic_dispatch.client.dispatch_client import one_line, parse_base_url
from sanic_dispatch.client.work_channel import TurnedAway, WorkChannel, is_temporary
from sanic_dispatch.clock import Clock, SystemClock

REGISTER_AGAIN_S = 30.0
"""How often a waiting worker makes sure that it still waits: an operator may have dropped it."""

LEASE_SHARE = 3
"""How many times in a lease the service hears that the worker is alive."""

Condition = Mapping[str, str | Sequence[str]]
"""Members of a job's data, and the values that they may have."""


@dataclass
class _Place:
    """What a worker and the job in its hands both have to know."""

    is_registered: bool = False
    """Whether the worker waits in the line, as far as it knows."""
    is_stopping: bool = False


class WorkerJob:
    """A job that a worker has accepted, and has to report on: ``done`` or ``fail``.

    ``data`` is what was submitted, and ``ticket`` the number that customers see. Its lease is kept
    up until it is reported. Reports are repeated until the service has them, over the next
    connection if need be. They return whether they were taken: False if the job is not this
    worker's any more, since its lease ended, say, or it is over. They raise ServiceError for what
    the service would not read, as 413 for a result over 64 KiB; another report can follow then.

    With ``wants_next`` they ask for the next job in the same message, which saves two of the seven
    messages of a job. It is for a loop that goes on immediately: an offer that is not accepted in
    time goes to the next worker.
    """

    def __init__(self, channel: WorkChannel, place: _Place, offer: Mapping[str, Any]) -> None:
        self.id: str = offer["id"]
        self.ticket: int = offer["ticket"]
        self.data: Any = offer["data"]
        self.submitted_at: str = offer["submitted_at"]
        self.lease_s: float = offer["lease_s"]
        self.is_asked_for = False
        """Whether the worker has asked to accept it: then the service may think that it has it."""
        self.is_reported = False
        self.receipt: str = offer["receipt"]
        self._channel = channel
        self._place = place
        self._stop = asyncio.Event()

    @property
    def is_cancelled(self) -> bool:
        """Whether to stop: it is to be cancelled, or is not this worker's any more.

        Then report ``fail(…, cancelled=True)``, or ``done`` if it is too late for that.
        """
        return self._stop.is_set()

    async def until_cancelled(self) -> None:
        """Return once ``is_cancelled``, which may be never."""
        await self._stop.wait()

    async def progress(self, percent: float | None = None, text: str | None = None) -> bool:
        """Say how far it is: 0 to 100 percent, or a text for the customer, or both.

        The text becomes one line of at most 200 characters.
        """
        said = {"percent": percent, "text": None if text is None else one_line(text)}
        return await self._report("progress", _given(said)) is not None

    async def done(self, result: Any = None, *, wants_next: bool = False) -> bool:
        """Report that it is done, without a result if that is None."""
        return await self._end("done", _given({"result": result}), wants_next)

    async def fail(
        self,
        reason: str,
        *,
        retry: bool = False,
        cancelled: bool = False,
        wants_next: bool = False,
    ) -> bool:
        """Report that it failed; another worker may try with ``retry``, none if ``cancelled``.

        The reason may be any text, such as that of an exception; it becomes one line of at most
        200 characters.
        """
        said = {"reason": one_line(reason), "retry": retry, "cancelled": cancelled}
        return await self._end("fail", said, wants_next)

    def named(self, **members: Any) -> dict[str, Any]:
        """Return the members of a message about this job."""
        return {"job": self.id, "receipt": self.receipt, **members}

    def note_stop(self) -> None:
        """Note that the service asks to stop."""
        self._stop.set()

    async def keep_lease(self, clock: Clock) -> None:
        """Keep the lease up until cancelled, or until the job is lost."""
        while not self.is_reported:
            await clock.sleep(self.lease_s / LEASE_SHARE)
            if await self._report("progress", {}) is None:
                return

    async def _end(self, kind: str, members: Mapping[str, Any], wants_next: bool) -> bool:
        place = self._place
        if wants_next and not place.is_stopping:
            members = {**members, "next": True}
            place.is_registered = True  # before the reply: an offer may come together with that
        answer = await self._report(kind, members)
        if answer is None or not answer.get("registered"):
            place.is_registered = False
        self.is_reported = True
        return answer is not None

    async def _report(self, kind: str, members: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Report, and return the answer; None if the job is not this worker's any more."""
        try:
            answer = await self._channel.ask_until_answered(kind, self.named(**members))
        except ServiceError as error:
            if isinstance(error, TurnedAway) or error.status not in (404, 409):
                raise
            self._stop.set()
            return None
        if answer.get("cancel"):
            self._stop.set()
        return answer


class WebsocketWorker:
    """Waits in the line for jobs; iterate over it with ``async for``, which may take for ever.

    ``name`` identifies it: a second worker of that name replaces the first one. ``token`` is that
    of workers, if the service wants one. ``match`` and ``exclude`` say which jobs it takes, as in
    ``{"drink": ["mojito", "gin-tonic"]}``. ``label`` is what people see. ``on_lost`` is called
    whenever the connection is lost.

    After a lost connection, or a restart of the service, it goes on where it was. Iterating raises
    ServiceError if that is of no use: 401 for a wrong token, 409 if another worker of this name has
    replaced it, 400 for an invalid rule. A loop that is left hands in what it has: the job that is
    not reported goes to another worker.
    """

    def __init__(
        self,
        url: str,
        name: str,
        token: str | None = None,
        match: Condition | None = None,
        label: str | None = None,
        *,
        exclude: Condition | None = None,
        on_lost: Callable[[Lost], None] | None = None,
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        """Raises BadAddress if the URL is not http or https, or the token cannot be sent.

        That is so beside a user name in the URL, and with a line break, as from a file.
        """
        self._clock = clock or SystemClock()
        self._random = rng or random.Random()  # noqa: S311 - no secret
        self._registration = _registration(name, label, match, exclude)
        self._channel = WorkChannel(
            parse_base_url(url, token) / "work",
            {"Authorization": f"Bearer {token}"} if token else {},
            self._take,
            self._last_word,
            on_lost,
            self._clock,
            self._random,
        )
        self._place = _Place()
        self._offer: WorkerJob | None = None
        """The job that is offered, until it is accepted or has gone to another worker."""
        self._job: WorkerJob | None = None
        self._changed = asyncio.Event()

    def stop(self) -> None:
        """End the iteration: at once while it waits, else after the job in hand."""
        self._place.is_stopping = True
        self._changed.set()

    def __aiter__(self) -> AsyncGenerator[WorkerJob]:
        return self._jobs()

    async def _jobs(self) -> AsyncGenerator[WorkerJob]:
        running = asyncio.create_task(self._channel.run())
        try:
            while job := await self._next_job():
                beating = asyncio.create_task(job.keep_lease(self._clock))
                try:
                    yield job
                finally:
                    beating.cancel()
                if not job.is_reported:
                    raise RuntimeError("a job was not reported: call its done() or fail()")
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def _next_job(self) -> WorkerJob | None:
        """Return the next job once it is accepted; None if the worker is to stop."""
        self._job = None
        while offer := await self._next_offer():
            if await self._accept(offer):
                return offer
        return None

    async def _accept(self, offer: WorkerJob) -> bool:
        """Accept an offer; return whether that succeeded."""
        offer.is_asked_for = True
        try:
            await self._channel.ask("accept", offer.named())
            self._job = offer
        except ChannelLost:
            pass  # it comes again
        except ServiceError as error:
            if isinstance(error, TurnedAway):
                raise
            if is_temporary(error):
                await self._clock.sleep(FIRST_DELAY_S)
                return False
            # else too late: it went to another worker, or is cancelled
        if self._offer is offer:
            self._offer = None
        return self._job is offer

    async def _next_offer(self) -> WorkerJob | None:
        """Register, and again where that is needed, until there is an offer."""
        attempt = 0
        while not self._place.is_stopping:
            self._changed.clear()
            if self._channel.end is not None:
                raise self._channel.end
            if self._offer is not None:
                return self._offer
            if not self._channel.is_connected:
                await self._changed.wait()
            elif not self._place.is_registered and not await self._register():
                await self._changes_within(delay_s(attempt, self._random.random()))
                attempt += 1
            elif not await self._changes_within(REGISTER_AGAIN_S):
                self._place.is_registered = False
        return None

    async def _register(self) -> bool:
        """Register; return whether that succeeded. Raises ServiceError if it never would."""
        place = self._place
        place.is_registered = True  # before the reply: an offer may come together with that
        try:
            await self._channel.ask("register", self._registration)
        except ChannelLost:
            place.is_registered = False
        except ServiceError as error:
            if error.status == 409 and not isinstance(error, TurnedAway):
                return True  # it is, or has an offer
            place.is_registered = False
            if not is_temporary(error) or isinstance(error, TurnedAway):
                raise
        else:
            return True
        return False

    async def _changes_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        return self._changed.is_set()

    def _last_word(self) -> tuple[str, dict[str, Any]] | None:
        """Return the message that hands in the job that it has, or leaves the line.

        An offer that it did not ask for goes back with its place: nobody has tried that job.
        """
        for job in (self._job, self._offer):
            if job is not None and job.is_asked_for and not job.is_reported:
                return "fail", job.named(reason="its worker stopped", retry=True)
        return ("withdraw", {}) if self._place.is_registered or self._offer else None

    def _take(self, kind: str, members: Mapping[str, Any]) -> None:
        """Take a message of the service."""
        job = self._job
        if kind == "welcome":
            self._place.is_registered = members["resumed"] and job is None
            self._offer = None
        elif kind == "job":
            self._take_job(members)
        elif kind == "end":  # another worker has its job, or will: it cannot keep the lease up
            if job is not None:
                job.note_stop()
        elif kind == "error":  # it no longer holds this job
            if job is not None and job.id == members.get("job", {}).get("id"):
                job.note_stop()
        elif kind == "cancel":
            for one in (job, self._offer):  # whether an offer is still its own, accepting it tells
                if one is not None and one.id == members["job"]:
                    one.note_stop()
        self._changed.set()

    def _take_job(self, offer: Mapping[str, Any]) -> None:
        if self._job is None or self._job.receipt != offer["receipt"]:  # else it has that one
            self._place.is_registered = False
            self._offer = WorkerJob(self._channel, self._place, offer)


def _registration(
    name: str, label: str | None, match: Condition | None, exclude: Condition | None
) -> dict[str, Any]:
    rule = {kind: _lists(one) for kind, one in (("match", match), ("not", exclude)) if one}
    return {"worker": name, **({"label": label} if label else {}), **rule}


def _given(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _lists(condition: Condition) -> dict[str, list[str]]:
    return {
        member: [values] if isinstance(values, str) else list(values)
        for member, values in condition.items()
    }

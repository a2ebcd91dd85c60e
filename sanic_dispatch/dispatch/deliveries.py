"""Deliveries and probes: the calls to workers, each a task whose outcome is a command."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

import structlog

from sanic_dispatch.callbacks.outcome import Accepted, Outcome, Refused
from sanic_dispatch.clock import Clock
from sanic_dispatch.core import commands as c
from sanic_dispatch.core import effects as e
from sanic_dispatch.core.evidence import ProbeResult, state_of_ours
from sanic_dispatch.core.worker import ENDED, GONE, Worker
from sanic_dispatch.errors import StorageError
from sanic_dispatch.observability.durations import DeliveryStats
from sanic_dispatch.storage.store import Store

CONFIRM_AGAIN_S = 0.1
"""How long to wait before the store is asked again whether this process may deliver."""

CALL_FAILED = "this service could not make the call"
"""The reason of a doubt after a mistake of ours, which is in the log."""

_log = structlog.get_logger("sanic_dispatch")


class Callbacks(Protocol):
    """The calls to workers that the dispatcher makes.

    In the service: ``callback_client.CallbackClient``.
    """

    async def deliver(self, callback_url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """PUT the body to a callback, exactly once."""

    async def is_pending(self, callback_url: str, if_silent: bool | None = None) -> bool | None:
        """Return whether the callback is pending; None if that is unclear.

        Returns ``if_silent`` if there is no answer in time.
        """

    async def instance_state(self, instance_url: str) -> str | None:
        """Return an instance's state in the engine's word; None if that is unclear."""

    async def instance_uuid(self, instance_url: str) -> str | None:
        """Return the UUID of the instance that has this address now.

        Empty if the engine does not say, None if that is unclear.
        """


class Deliveries:
    """Carry out the effects that call workers, each in a task, and report the outcomes."""

    def __init__(
        self,
        callbacks: Callbacks,
        store: Store,
        clock: Clock,
        stats: DeliveryStats,
        is_still_due: Callable[[e.Effect], bool],
        report: Callable[[c.Command], None],
    ) -> None:
        """``is_still_due`` says whether an effect is still to be carried out.

        ``report`` takes the outcomes: ``Batches.report``.
        """
        self._callbacks = callbacks
        self._store = store
        self._clock = clock
        self._stats = stats
        self._is_still_due = is_still_due
        self._tell = report
        self._tasks: set[asyncio.Task[None]] = set()
        self._puts: set[asyncio.Task[None]] = set()
        self._busy: dict[str, asyncio.Task[None]] = {}
        """The PUT under way to each callback: never two at a time."""

    @property
    def is_idle(self) -> bool:
        """Whether no PUT is under way."""
        return not self._puts

    async def idle(self) -> None:
        """Return once no PUT is under way."""
        while self._puts:
            await asyncio.wait(self._puts)

    def begin(self, effect: e.Effect) -> None:
        """Carry out an effect in a task."""
        task = asyncio.get_running_loop().create_task(self._call(effect))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if isinstance(effect, e.PutJob):
            self._puts.add(task)
            task.add_done_callback(self._puts.discard)

    async def close(self) -> None:
        """Cancel all calls; a PUT that was under way is in doubt at the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _call(self, effect: e.Effect) -> None:
        try:
            outcome = await self._outcome(effect)
        except Exception:  # a mistake of ours must not hold a job for ever
            _log.exception("call.failed", effect=type(effect).__name__)
            outcome = _unclear(effect)
        self._tell(outcome)

    def _outcome(self, effect: e.Effect) -> Coroutine[Any, Any, c.Command]:
        match effect:
            case e.PutJob():
                return self._put(effect)
            case e.PutExpired():
                return self._put_expired(effect)
            case e.ProbeWorker():
                return self._probe_worker(effect)
            case e.ProbeStale():
                return self._probe_stale(effect)
            case e.ProbeHold():
                return self._probe_hold(effect)
            case _:
                raise TypeError(f"{effect!r} is no call")

    async def _put(self, effect: e.PutJob) -> c.Command:
        """PUT a job, after an earlier PUT to the same callback has ended.

        There can be one if an operator put a job back while it was under way.
        """
        assert effect.job.hold
        url = effect.job.hold.worker.callback_url
        await self._begin_put(url)
        try:
            return await self._put_now(effect, url)
        finally:
            del self._busy[url]

    async def _put_expired(self, effect: e.PutExpired) -> c.Command:
        look = effect.look
        body = b'{"Expired":{"registered_at":"%b"}}' % look.registered_at.encode()
        await self._begin_put(look.worker_id)
        try:
            if not self._store.may_act():
                await self._confirm()
            outcome = await self._deliver(look.worker_id, body, {})
        finally:
            del self._busy[look.worker_id]
        is_sure = isinstance(outcome, Accepted) or await self._waits_no_more(effect.worker)
        return c.ExpiryTold(look, is_sure, effect.request)

    async def _waits_no_more(self, worker: Worker) -> bool:
        """Whether a callback is surely used or gone; a stopped instance answers as if it were."""
        if await self._is_pending(worker) is not False:
            return False
        return await self._state_of(worker) in ("running", *ENDED)

    async def _begin_put(self, url: str) -> None:
        """Wait until no PUT to this callback is under way; from then on this task's is."""
        while (earlier := self._busy.get(url)) is not None:
            await asyncio.wait([earlier])
        task = asyncio.current_task()
        assert task is not None
        self._busy[url] = task

    async def _put_now(self, effect: e.PutJob, url: str) -> c.Command:
        job, request = effect.job, effect.request
        assert job.hold
        has_left = effect.is_probed and await self._has_left(job.hold.worker)
        if not self._store.may_act():  # looked at last, since the probe takes its time
            await self._confirm()
        if has_left:
            outcome: Outcome = Refused("its callback does not wait any more")
        elif not self._is_still_due(effect):  # an operator has put the job back meanwhile
            outcome = Refused("it was called off before it was sent")
        else:
            headers = {"Job-Receipt": effect.receipt}
            outcome = await self._deliver(url, job.to_wire(), headers)
        if isinstance(outcome, Accepted):
            return c.DeliveryAccepted(job.id, job.attempt, request)
        if isinstance(outcome, Refused):
            return c.DeliveryRefused(
                job.id, job.attempt, outcome.reason, outcome.blames_job, request
            )
        return c.DeliveryInDoubt(job.id, job.attempt, outcome.reason, request)

    async def _deliver(self, url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        began_s = self._clock.monotonic_s()
        outcome = await self._callbacks.deliver(url, body, headers)
        self._stats.ended(outcome, self._clock.monotonic_s() - began_s)
        return outcome

    async def _confirm(self) -> None:
        """Return once this process is confirmed as the owner of the topic.

        If another process owns it, this waits until the task is cancelled.
        """
        while True:
            try:
                return await self._store.confirm()
            except StorageError:
                await asyncio.sleep(CONFIRM_AGAIN_S)

    async def _has_left(self, worker: Worker) -> bool:
        """Whether a worker does not wait any more, does not answer, or its instance is gone."""
        if await self._callbacks.is_pending(worker.callback_url, if_silent=False) is False:
            return True
        return await self._state_of(worker) == GONE

    async def _probe_worker(self, effect: e.ProbeWorker) -> c.Command:
        pending = await self._is_pending(effect.worker)
        state = await self._state_of(effect.worker)
        return c.WorkerProbed(effect.look, pending, state, effect.request)

    async def _probe_stale(self, effect: e.ProbeStale) -> c.Command:
        pending = await self._callbacks.is_pending(effect.callback_url)
        return c.StaleProbed(effect.callback_url, pending, effect.request)

    async def _probe_hold(self, effect: e.ProbeHold) -> c.Command:
        worker = effect.look.hold.worker
        before = after = await self._state_of(worker)
        pending = None
        if effect.asks_callback or before in ENDED:
            pending = await self._is_pending(worker)
        if pending is False:
            after = await self._state_of(worker)
        found = ProbeResult(pending, before, after)
        return c.HoldProbed(effect.look, effect.is_timed, found, effect.request)

    async def _is_pending(self, worker: Worker) -> bool | None:
        """Probe a callback; None for a worker without a key, which cannot be probed."""
        return await self._callbacks.is_pending(worker.callback_url) if worker.key else None

    async def _state_of(self, worker: Worker) -> str | None:
        """Ask for the state of the instance that registered; None if that is unclear."""
        url = worker.instance_url
        word = await self._callbacks.instance_state(url) if url else None
        if worker.key is None or word is None or word == GONE:
            return word
        there = await self._callbacks.instance_uuid(url)
        return state_of_ours(word, worker.key.instance, there)


def _unclear(effect: e.Effect) -> c.Command:
    """Return the outcome of a call of which nothing is known."""
    match effect:
        case e.PutJob():
            return c.DeliveryInDoubt(effect.job.id, effect.job.attempt, CALL_FAILED, effect.request)
        case e.PutExpired():
            return c.ExpiryTold(effect.look, False, effect.request)
        case e.ProbeWorker():
            return c.WorkerProbed(effect.look, None, None, effect.request)
        case e.ProbeStale():
            return c.StaleProbed(effect.callback_url, None, effect.request)
        case e.ProbeHold():
            return c.HoldProbed(effect.look, effect.is_timed, ProbeResult(), effect.request)
        case _:
            raise TypeError(f"{effect!r} is no call")

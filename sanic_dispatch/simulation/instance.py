"""A process instance of the simulated engine: it calls services and waits for callbacks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from secrets import token_hex
from typing import TYPE_CHECKING
from uuid import uuid4

from sanic_dispatch.simulation.caller import ActivityCall, CallFailed, ServiceAnswer, headers_of
from sanic_dispatch.simulation.content import read_content
from sanic_dispatch.simulation.put_faults import Faults
from sanic_dispatch.simulation.waits import NOTHING, InstanceEnded, Put, Result, Wait

if TYPE_CHECKING:
    from sanic_dispatch.simulation.engine import Engine


class Instance:
    """One process instance; created by ``Engine.start_instance``.

    ``state`` is CPEE's word for it; ``faults`` are injected at its callbacks. ``puts`` records all
    PUTs to its callbacks in order of arrival, ``updates`` the values of intermediate results.
    """

    def __init__(
        self,
        engine: Engine,
        number: int,
        label: str,
        attributes: Mapping[str, str],
        inherited: Iterable[Wait] = (),
    ) -> None:
        """``inherited``: the callbacks of the number's last instance, on which it waits instead."""
        self.number = number
        self.uuid = str(uuid4())
        self.attributes = {
            "uuid": self.uuid,
            "info": label,
            "modeltype": "CPEE",
            "theme": "preset",
            **attributes,
        }
        self.state = "running"
        self.status: str | None = None
        """The value of the last CPEE-STATUS header."""
        self.deleted_at_s: float | None = None
        """When it was deleted, by the engine's clock."""
        self.waits_at_deletion: list[Wait] = []
        """The callbacks on which it waited when it was deleted."""
        self.heir: Instance | None = None
        """The instance that replaced it after its deletion."""
        self.faults = Faults()
        self.puts: list[Put] = []
        self.updates: list[object] = []
        self.engine = engine
        self._killed = False
        self._posting = 0
        self._waits = {wait.callback_id: wait for wait in inherited}
        self._positions = {wait.activity: wait for wait in inherited}
        self._inherited = set(self._waits)
        self._last = NOTHING
        self._changed = asyncio.Event()

    @property
    def url(self) -> str:
        """The instance's URL, with a slash at the end."""
        return f"{self.engine.base_url}{self.number}/"

    def callback_url(self, callback_id: str) -> str:
        """Return the URL of a callback."""
        return f"{self.url}callbacks/{callback_id}/"

    @property
    def callback_urls(self) -> list[str]:
        """The URLs of usable callbacks, oldest first."""
        return [self.callback_url(key) for key in self._waits if self.pending(key)]

    @property
    def waiting(self) -> bool:
        """Whether it waits on a callback, and no call is still unanswered."""
        return not self._posting and bool(self.callback_urls)

    @property
    def over(self) -> bool:
        """Whether it makes no more calls."""
        return self.state in ("abandoned", "finished") or self.deleted_at_s is not None

    @property
    def waits_on_inherited(self) -> bool:
        """Whether it waits on a callback of the number's last instance, without its own call."""
        return not self.over and any(key in self._waits for key in self._inherited)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until a condition holds; it is evaluated after each change of this instance."""
        while not holds():
            await self._changed.wait()

    async def call(
        self,
        url: str,
        activity: str = "a1",
        label: str = "Register worker",
        extra_headers: Mapping[str, str] | None = None,
        *,
        arguments: Mapping[str, str] | None = None,
        rescue: bool = False,
    ) -> Result:
        """Call a service and return the result, from the answer or the callback.

        While the instance is stopped, wait before the call. At an inherited position make no call,
        but wait on the inherited callback. Raises InstanceEnded, or CallFailed if the call fails;
        that stops the instance, unless the model has ``rescue`` code.
        """
        await self.ready()
        call = ActivityCall(url, activity, label, extra_headers or {}, arguments or {})
        try:
            wait = self._positions.pop(activity, None) or await self._post(call)
            while not await self._wait_for_end(wait):
                wait = await self._post(call)
        except CallFailed:
            if not rescue:
                self.stop()
            raise
        self._last = wait.result
        return self._last

    async def ready(self) -> None:
        """Wait until it is neither stopped nor killed. Raises InstanceEnded."""
        await self.until(lambda: self.over or (self.state == "running" and not self._killed))
        if self.over:
            raise InstanceEnded(f"instance {self.number} makes no more calls")

    def stop(self) -> None:
        """Stop it: callbacks are answered 503 until ``resume``; no service is notified.

        The state stays ``stopping`` while a POST is unanswered, and if the process was killed.
        """
        self._set_state("stopping" if self._posting or self._killed else "stopped")

    def resume(self) -> None:
        """Continue it: the same callbacks can be used again, and no call is repeated.

        An instance that was killed and then stopped gets a new process.
        """
        if self.state != "running":
            self._killed = False
        self._set_state("running")

    def begin_again(self) -> None:
        """Repeat waiting calls with new callbacks, as after an operator set the positions again.

        The old callbacks are unregistered, except those of a killed process: they go on taking
        jobs, which are lost.
        """
        for wait in [wait for wait in self._waits.values() if not wait.goes_on]:
            wait.is_void = True
            if not self._killed:
                self._unregister(wait)
        self._killed = False
        self._set_state("running")

    def abandon(self) -> None:
        """Abandon it: calls end with InstanceEnded; no service is notified."""
        self._set_state("abandoned")

    def finish(self) -> None:
        """Finish it, as at the end of the process."""
        self._set_state("finished")

    def delete(self) -> None:
        """Delete it: the engine still knows it for 30 s, but its number is free at once."""
        self.waits_at_deletion = [
            replace(wait) for wait in self._waits.values() if not wait.goes_on
        ]
        self.deleted_at_s = self.engine.now_s()
        self._notify()

    def kill(self) -> None:
        """Kill its operating-system process: it stays ``running``, accepts jobs and loses them.

        After ``stop`` and ``resume`` it waits on the same callbacks, without a new call.
        """
        self._killed = True
        self._notify()

    def pending(self, callback_id: str) -> bool:
        """Return whether a callback can be used now."""
        return self.state == "running" and not self.over and callback_id in self._waits

    def describe(self, callback_id: str) -> dict[str, str]:
        """Return the answer to a GET of a pending callback."""
        return self._waits[callback_id].describe(self.uuid)

    def record(self, put: Put) -> None:
        """Record a PUT that arrived, taken or not."""
        self.puts.append(put)
        self._notify()

    def take(self, put: Put) -> None:
        """Accept a PUT to a pending callback. Raises EmptyJson, which changes nothing.

        It takes effect once the evaluator has processed its body; ``unregister_after_s`` later the
        callback is unregistered. PUTs in between are lost.
        """
        value = None
        if "Transfer-Encoding" not in put.headers:
            value = read_content(put.body, put.headers.get("Content-Type", ""))
        wait = self._waits[put.callback_id]
        self.engine.evaluator.submit(lambda: self._apply_put(wait, put, value))

    def delete_callback(self, callback_id: str) -> None:
        """Unregister a callback, as a DELETE does; its call then waits for ever."""
        self._unregister(self._waits[callback_id])

    def _apply_put(self, wait: Wait, put: Put, value: object) -> None:
        """Apply a PUT whose body the evaluator has processed."""
        if self._killed or self.over or wait.goes_on or wait.is_void:
            return
        self.status = put.headers.get("CPEE-STATUS", self.status)
        brought = Result(value, put.body, by_callback=True, headers=put.headers)
        wait.result = self._last if "CPEE-EVENT" in put.headers else brought
        if "CPEE-UPDATE" in put.headers:
            self.updates.append(value)
        else:
            wait.goes_on = True
            loop = asyncio.get_running_loop()
            loop.call_later(self.engine.unregister_after_s, self._unregister, wait)
        if "CPEE-SALVAGE" in put.headers:
            self.stop()
        self._notify()

    def _apply_answer(self, wait: Wait, answer: ServiceAnswer) -> None:
        """Apply the answer to a call: its result, or an update before the callback."""
        if answer.callback and answer.body:
            self.engine.evaluator.submit(lambda: self._apply_update(wait, answer))
        elif not answer.callback:
            value = answer.value if answer.status == 200 else None
            wait.result = Result(value, answer.body, by_callback=False, headers=answer.headers)
            self._unregister(wait)
            wait.goes_on = True

    def _apply_update(self, wait: Wait, answer: ServiceAnswer) -> None:
        """Apply the evaluated body of an answer with ``CPEE-CALLBACK: true``."""
        if self._killed or self.over or wait.has_ended:
            return
        wait.result = Result(answer.value, answer.body, by_callback=False, headers=answer.headers)
        self.updates.append(answer.value)
        self._notify()

    def _end_activity(self, wait: Wait) -> None:
        """End the activity; later results have no effect."""
        wait.has_ended = True
        self._notify()

    def _unregister(self, wait: Wait) -> None:
        self._waits.pop(wait.callback_id, None)
        self._notify()

    async def _post(self, call: ActivityCall) -> Wait:
        """Post a call with a new callback, and apply the answer."""
        wait = Wait(token_hex(16), call.activity, call.label)
        self._waits[wait.callback_id] = wait
        self._posting += 1
        self._notify()
        try:
            headers = {**headers_of(self, wait), **call.extra_headers}
            answer = await self.engine.caller.post(call.url, headers, call.arguments)
            self._apply_answer(wait, answer)
        except BaseException:
            self._unregister(wait)
            raise
        finally:
            self._posting -= 1
            if self.state == "stopping" and not self._killed:
                self.state = "stopped"
            self._notify()
        return wait

    async def _wait_for_end(self, wait: Wait) -> bool:
        """Wait for the activity's end; return False if the call has to be repeated.

        Raises InstanceEnded.
        """
        try:
            await self.until(lambda: self.over or wait.goes_on or wait.is_void)
            self.engine.evaluator.submit(lambda: self._end_activity(wait))
            await self.until(lambda: self.over or wait.has_ended)
            await self.ready()
        finally:
            if not (wait.goes_on or wait.is_void or self._killed):
                self._unregister(wait)
        return not wait.is_void

    def _set_state(self, state: str) -> None:
        if not self.over:
            self.state = state
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

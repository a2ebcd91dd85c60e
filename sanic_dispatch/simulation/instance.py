"""A process instance of the simulated engine: it calls services and waits for callbacks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from secrets import token_hex
from typing import TYPE_CHECKING
from uuid import uuid4

from sanic_dispatch.simulation.caller import Answer, Call, CallFailed, headers_of
from sanic_dispatch.simulation.content import read_content
from sanic_dispatch.simulation.faults import Faults
from sanic_dispatch.simulation.waits import NOTHING, InstanceEnded, Put, Result, Wait

if TYPE_CHECKING:
    from sanic_dispatch.simulation.engine import Engine


class Instance:
    """One process instance; made by ``Engine.start_instance``.

    ``state`` is the engine's word; ``faults`` says how callbacks misbehave; ``puts`` (every PUT to
    a callback of this instance, in order of arrival) and ``updates`` record what came.
    """

    def __init__(
        self,
        engine: Engine,
        number: int,
        label: str,
        attributes: Mapping[str, str],
        inherited: Iterable[Wait] = (),
    ) -> None:
        """``inherited``: where it stands, and waits, without having called anybody."""
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
        """What the last CPEE-STATUS said."""
        self.deleted_at_s: float | None = None
        """When it was deleted, by the engine's clock."""
        self.left_behind: list[Wait] = []
        """What it waited for when it was deleted."""
        self.heir: Instance | None = None
        """The instance that was started in its place."""
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
        """Where the engine shows this instance, with a slash at the end."""
        return f"{self.engine.base_url}{self.number}/"

    def callback_url(self, callback_id: str) -> str:
        """Where it waits for the result of a call."""
        return f"{self.url}callbacks/{callback_id}/"

    @property
    def callback_urls(self) -> list[str]:
        """The callbacks that can be used now, oldest first."""
        return [self.callback_url(key) for key in self._waits if self.pending(key)]

    @property
    def waiting(self) -> bool:
        """Whether a call waits for its callback, and none for its answer."""
        return not self._posting and bool(self.callback_urls)

    @property
    def over(self) -> bool:
        """Whether it makes no more calls."""
        return self.state in ("abandoned", "finished") or self.deleted_at_s is not None

    @property
    def is_where_the_last_one_was(self) -> bool:
        """Whether it waits, and has called nobody for it."""
        return not self.over and any(key in self._waits for key in self._inherited)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Return as soon as the condition holds; it is looked at after each change here."""
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
        """Call a service and return what it brings, be it at once or by the callback.

        Waits first while the instance is stopped. At a position that was inherited it calls nobody
        and waits on the callback that is there. Raises CallFailed where the call went wrong (the
        instance is then stopped, unless the model has ``rescue`` code), and InstanceEnded.
        """
        await self.ready()
        call = Call(url, activity, label, extra_headers or {}, arguments or {})
        try:
            wait = self._positions.pop(activity, None) or await self._begin(call)
            while not await self._comes_through(wait):
                wait = await self._begin(call)
        except CallFailed:
            if not rescue:
                self.stop()
            raise
        self._last = wait.result
        return self._last

    async def ready(self) -> None:
        """Return when it is neither stopped nor killed. Raises InstanceEnded."""
        await self.until(lambda: self.over or (self.state == "running" and not self._killed))
        if self.over:
            raise InstanceEnded(f"instance {self.number} makes no more calls")

    def stop(self) -> None:
        """Stop: callbacks are answered 503 until ``resume``; the service is told nothing.

        While a POST is unanswered, or its process is dead, the state stays ``stopping``.
        """
        self._turn("stopping" if self._posting or self._killed else "stopped")

    def resume(self) -> None:
        """Continue: the same callbacks can be used again, and nothing is posted.

        One that was killed, and stopped then, gets a new process.
        """
        if self.state != "running":
            self._killed = False
        self._turn("running")

    def begin_anew(self) -> None:
        """Stop it, remove its positions, set them again, and continue: waiting calls are repeated.

        Each has a new callback then. The old one is gone, but not that of a killed process, which
        cannot unregister it any more: that goes on to take jobs, and loses them.
        """
        for wait in [wait for wait in self._waits.values() if not wait.goes_on]:
            wait.is_void = True
            if not self._killed:
                self._unregister(wait)
        self._killed = False
        self._turn("running")

    def abandon(self) -> None:
        """Abandon: calls end with InstanceEnded; the service is told nothing."""
        self._turn("abandoned")

    def finish(self) -> None:
        """Come to the process's end."""
        self._turn("finished")

    def delete(self) -> None:
        """Delete: the engine knows it for a while more, but its number is free at once."""
        self.left_behind = [replace(wait) for wait in self._waits.values() if not wait.goes_on]
        self.deleted_at_s = self.engine.now_s()
        self._note()

    def kill(self) -> None:
        """Kill its operating-system process: it stays ``running``, takes jobs and loses them.

        Once it was stopped and continued it waits on the same callbacks, and nothing is posted.
        """
        self._killed = True
        self._note()

    def pending(self, callback_id: str) -> bool:
        """Whether a callback can be used now."""
        return self.state == "running" and not self.over and callback_id in self._waits

    def describe(self, callback_id: str) -> dict[str, str]:
        """What a GET of a pending callback shows."""
        return self._waits[callback_id].describe(self.uuid)

    def record(self, put: Put) -> None:
        """Note that a PUT arrived, whatever becomes of it."""
        self.puts.append(put)
        self._note()

    def take(self, put: Put) -> None:
        """Take a PUT to a pending callback; raises EmptyJson, and nothing happened.

        It takes effect when the evaluator is through with its body; a moment after that the
        process unregisters its callback. What comes in between is lost.
        """
        value = None
        if "Transfer-Encoding" not in put.headers:
            value = read_content(put.body, put.headers.get("Content-Type", ""))
        wait = self._waits[put.callback_id]
        self.engine.evaluator.submit(lambda: self._received(wait, put, value))

    def delete_callback(self, callback_id: str) -> None:
        """What DELETE does: the callback is gone and its call waits for ever."""
        self._unregister(self._waits[callback_id])

    def _received(self, wait: Wait, put: Put, value: object) -> None:
        """The evaluator is through with the body of a PUT."""
        if self._killed or self.over or wait.goes_on or wait.is_void:
            return
        self.status = put.headers.get("CPEE-STATUS", self.status)
        brought = Result(value, put.body, True, put.headers)
        wait.result = self._last if "CPEE-EVENT" in put.headers else brought
        if "CPEE-UPDATE" in put.headers:
            self.updates.append(value)
        else:
            wait.goes_on = True
            loop = asyncio.get_running_loop()
            loop.call_later(self.engine.unregister_after_s, self._unregister, wait)
        if "CPEE-SALVAGE" in put.headers:
            self.stop()
        self._note()

    def _answered(self, wait: Wait, answer: Answer) -> None:
        """The service has answered the call: this was all, or the result comes later."""
        if answer.callback and answer.body:
            self.engine.evaluator.submit(lambda: self._updated(wait, answer))
        elif not answer.callback:
            value = answer.value if answer.status == 200 else None
            wait.result = Result(value, answer.body, False, answer.headers)
            self._unregister(wait)
            wait.goes_on = True

    def _updated(self, wait: Wait, answer: Answer) -> None:
        """The evaluator is through with a body that came beside ``CPEE-CALLBACK: true``."""
        if self._killed or self.over or wait.has_ended:
            return
        wait.result = Result(answer.value, answer.body, False, answer.headers)
        self.updates.append(answer.value)
        self._note()

    def _end(self, wait: Wait) -> None:
        """The evaluator has run the activity's own code: what comes now comes too late."""
        wait.has_ended = True
        self._note()

    def _unregister(self, wait: Wait) -> None:
        self._waits.pop(wait.callback_id, None)
        self._note()

    async def _begin(self, call: Call) -> Wait:
        """Make the call, with a new callback."""
        wait = Wait(token_hex(16), call.activity, call.label)
        self._waits[wait.callback_id] = wait
        self._posting += 1
        self._note()
        try:
            headers = {**headers_of(self, wait), **call.extra_headers}
            answer = await self.engine.caller.post(call.url, headers, call.arguments)
            self._answered(wait, answer)
        except BaseException:
            self._unregister(wait)
            raise
        finally:
            self._posting -= 1
            if self.state == "stopping" and not self._killed:
                self.state = "stopped"
            self._note()
        return wait

    async def _comes_through(self, wait: Wait) -> bool:
        """Wait for the activity's end; False where it has to begin anew. Raises InstanceEnded."""
        try:
            await self.until(lambda: self.over or wait.goes_on or wait.is_void)
            self.engine.evaluator.submit(lambda: self._end(wait))
            await self.until(lambda: self.over or wait.has_ended)
            await self.ready()
        finally:
            if not (wait.goes_on or wait.is_void or self._killed):
                self._unregister(wait)
        return not wait.is_void

    def _turn(self, state: str) -> None:
        if not self.over:
            self.state = state
        self._note()

    def _note(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

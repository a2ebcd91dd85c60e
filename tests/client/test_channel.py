"""The client of the live channel: resume, backoff and refusals, on a real server and a fake one."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from http import HTTPStatus
from typing import Any

import pytest
from websockets.asyncio.server import Request, Response, ServerConnection, serve

from sanic_dispatch.client import (
    DispatchClient,
    Lost,
    ServiceError,
    ViewState,
    reduce,
)
from sanic_dispatch.client.channel import delay_s
from tests.client.conftest import TOKEN
from tests.support.server import Service, free_port


class QuickClock:
    """A clock that sleeps in no time and records the durations."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now_s(self) -> float:
        return 0.0

    def monotonic_s(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


async def first(states: Any, holds: Callable[[ViewState], Any] = lambda _: True) -> ViewState:
    """Return the first state for which ``holds`` is true, and close the channel."""
    async with asyncio.timeout(5), aclosing(states) as states:
        async for state in states:
            if holds(state):
                return state
    raise AssertionError("the states ended")


def test_the_reducer() -> None:
    """A state replaces, a patch sets or removes, a heartbeat keeps the same map."""
    state = reduce(None, {"at": "e:1", "now": 1.0, "state": {"a": 1, "b": 2}})
    patched = reduce(state, {"at": "e:2", "now": 2.0, "patch": {"b": None, "c": 3}})
    beat = reduce(patched, {"at": "e:2", "now": 3.0})
    assert patched == ViewState("e:2", 2.0, {"a": 1, "c": 3})
    assert beat.map is patched.map
    assert state.map == {"a": 1, "b": 2}
    assert reduce(beat, {"at": "f:0", "now": 4.0, "state": {}}).map == {}


def test_the_backoff() -> None:
    """From 0.5 s to 15 s, doubled each time, with jitter of up to half of it."""
    assert [delay_s(n, 0.0) for n in range(7)] == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0]
    assert delay_s(0, 1.0) == 0.75
    assert delay_s(5000, 1.0) == 15.0


async def test_no_proxy_from_the_environment(client: DispatchClient, no_way_out: None) -> None:
    """Proxies from the environment are not used, as for requests."""
    await client.submit(1)
    assert "order/1" in (await first(client.follow())).map


async def test_follow_the_board(client: DispatchClient) -> None:
    """First the whole view, then each change."""
    await client.submit({"drink": "mojito", "name": "Ada"})
    async with aclosing(client.follow()) as states:
        state = await anext(states)
        assert state.map["order/1"]["drink"] == "mojito"
        await client.submit(2)
        async with asyncio.timeout(5):
            while "order/2" not in state.map:
                state = await anext(states)
    assert state.map["order/1"]["state"] == "waiting"


async def test_follow_an_order_to_its_end(client: DispatchClient) -> None:
    """An order is followed by its secret id."""
    job_id = (await client.submit({"name": "Ada"})).job_id
    waiting = await first(client.follow(order=job_id))
    assert (waiting.map["order"]["name"], waiting.map["order"]["ahead"]) == ("Ada", 0)
    await client.cancel(job_id)
    await first(
        client.follow(order=job_id), lambda state: state.map["order"]["state"] == "cancelled"
    )


async def test_the_monitor_needs_the_token(service: Service, client: DispatchClient) -> None:
    """Without the operator's token the monitor is refused, and there is no retry."""
    async with DispatchClient(service.base_url, TOKEN) as operator:
        await operator.submit({"name": "Ada"})
        state = await first(operator.follow("monitor"))
    assert state.map["order/1"]["name"] == "Ada"
    with pytest.raises(ServiceError) as caught:
        await first(client.follow("monitor"))
    assert caught.value.status == 401


@pytest.mark.parametrize(("query", "status"), [({"order": "f" * 32}, 404), ({"view": "x"}, 400)])
async def test_unknown_views_and_orders_are_not_retried(
    client: DispatchClient, query: dict[str, str], status: int
) -> None:
    """An unknown order or view ends the iteration with an error."""
    with pytest.raises(ServiceError) as caught:
        await first(client.follow(**query))
    assert caught.value.status == status


Behave = Callable[[ServerConnection], Awaitable[None]]


class Channel:
    """A live channel with a behaviour for each connection; the last one is repeated for ever."""

    def __init__(self, *behaviours: Behave | int) -> None:
        self.behaviours = list(behaviours)
        self.asked: list[str] = []

    def refuse(self, connection: ServerConnection, request: Request) -> Response | None:
        self.asked.append(request.path)
        if isinstance(self.behaviours[0], int):
            return connection.respond(HTTPStatus(self.behaviours.pop(0)), "")
        return None

    async def handle(self, connection: ServerConnection) -> None:
        behave = self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]
        assert not isinstance(behave, int)
        await behave(connection)


def says(*frames: dict[str, Any], code: int | None = None) -> Behave:
    """Send frames, then close with this code, cut the connection (0), or stay silent."""

    async def behave(connection: ServerConnection) -> None:
        for number, frame in enumerate(frames):
            await connection.send(json.dumps({"at": f"e:{number}", "now": 1.0, **frame}))
        if code:
            await connection.close(code, "so it is")
        elif code == 0:
            connection.transport.abort()
        else:
            await connection.wait_closed()

    return behave


@asynccontextmanager
async def followed(
    *behaviours: Behave | int, **options: Any
) -> AsyncIterator[tuple[Channel, DispatchClient, QuickClock]]:
    """Run such a channel, and a client of it whose clock does not wait."""
    channel, clock = Channel(*behaviours), QuickClock()
    server = serve(channel.handle, "127.0.0.1", 0, process_request=channel.refuse)
    async with server as running:
        port = next(iter(running.sockets)).getsockname()[1]
        url = f"http://127.0.0.1:{port}/prefix/"
        async with DispatchClient(url, clock=clock, rng=random.Random(1), **options) as client:
            yield channel, client, clock


@pytest.mark.parametrize("code", [0, 1000, 1001, 1012, 4503])
async def test_reconnects_and_resumes(code: int) -> None:
    """After any code but 44xx it reconnects with the cursor of the last frame."""
    lost: list[Lost] = []
    again = says({"at": "e:7", "patch": {"b": 2}})
    async with followed(says({"state": {"a": 1}}, code=code), again) as (channel, client, clock):
        state = await first(client.follow(on_lost=lost.append), lambda state: "b" in state.map)
    assert state.map == {"a": 1, "b": 2}
    assert channel.asked == ["/prefix/live?view=board", "/prefix/live?view=board&since=e:0"]
    assert [each.delay_s for each in lost] == clock.slept
    assert 0.5 <= clock.slept[0] <= 0.75
    assert lost[0].reason == ("so it is" if code else "the connection broke")


async def test_waits_longer_each_time_until_a_frame_comes() -> None:
    """The pause grows with attempts without a frame, and is reset by a frame."""
    bad, good = says(code=4503), says({"state": {}}, code=1000)
    last = says({"state": {"end": 1}})
    async with followed(503, 429, bad, good, last) as (_, client, clock):
        await first(client.follow(), lambda state: "end" in state.map)
    lows = (0.5, 1.0, 2.0, 0.5)
    assert all(low <= slept <= 1.5 * low for slept, low in zip(clock.slept, lows, strict=True))


@pytest.mark.parametrize(
    ("behaviour", "status"), [(says(code=4401), 401), (says(code=4404), 404), (403, 403)]
)
async def test_44xx_is_final(behaviour: Behave | int, status: int) -> None:
    """A close code 44xx, or a handshake refused for good, is an error."""
    async with followed(behaviour, says()) as (channel, client, clock):
        with pytest.raises(ServiceError) as caught:
            await first(client.follow())
    assert (caught.value.status, len(channel.asked), clock.slept) == (status, 1, [])


async def test_a_refused_cursor_is_forgotten() -> None:
    """4400 after resuming may be about the cursor: it reconnects once without."""
    begin, end = says({"state": {"a": 1}}, code=1000), says(code=4400)
    async with followed(begin, end, end) as (channel, client, _):
        with pytest.raises(ServiceError, match="so it is"):
            await first(client.follow(), lambda _: False)
    assert [path.partition("&")[2] for path in channel.asked] == ["", "since=e:0", ""]


async def test_a_silent_connection_is_replaced() -> None:
    """A connection that is silent for too long is closed, and another one opened."""
    lost: list[Lost] = []
    silent, end = says({"state": {}}), says({"state": {"end": 1}})
    async with followed(silent, end, watchdog_s=0.05) as (_, client, _):
        await first(client.follow(on_lost=lost.append), lambda state: "end" in state.map)
    assert lost[0].reason == "silent for 0.05 s"


async def test_invalid_json_is_retried() -> None:
    """A frame that is not JSON ends the connection, and it reconnects."""

    async def noise(connection: ServerConnection) -> None:
        await connection.send("<html>")
        await connection.wait_closed()

    async with followed(noise, says({"state": {"end": 1}})) as (_, client, clock):
        await first(client.follow(), lambda state: "end" in state.map)
    assert len(clock.slept) == 1


async def test_an_unreachable_server_is_retried() -> None:
    """While the server is unreachable, it keeps trying."""
    clock, lost = QuickClock(), asyncio.Event()
    async with DispatchClient(f"http://127.0.0.1:{free_port()}", clock=clock) as client:
        reasons: list[str] = []

        def note(loss: Lost) -> None:
            reasons.append(loss.reason)
            if len(reasons) == 3:
                lost.set()

        following = asyncio.create_task(first(client.follow(on_lost=note)))
        await lost.wait()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    assert reasons[0] == "connection refused"


async def test_reconnects_after_a_restart(service: Service, client: DispatchClient) -> None:
    """After a restart of the server it reconnects."""
    async with aclosing(client.follow()) as states:
        await anext(states)
        service.app.ctx.hub.stop()
        service.app.ctx.hub.start()
        await client.submit(1)
        async with asyncio.timeout(5):
            while "order/1" not in (await anext(states)).map:
                pass

"""Readiness: /ready is red while nothing can be written, or a job and a worker wait together."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sanic_dispatch.config.settings import Mode
from sanic_dispatch.core import matching
from sanic_dispatch.dispatch import pairing_watchdog
from sanic_dispatch.dispatch.dispatcher import Dispatcher
from sanic_dispatch.dispatch.pairing_watchdog import Watchdog
from sanic_dispatch.dispatch.readiness import FRESH_S, Readiness
from sanic_dispatch.errors import ShuttingDown, StorageFailed
from sanic_dispatch.observability.event_bus import EventBus
from sanic_dispatch.storage.memory import InMemoryStore
from sanic_dispatch.storage.store import Store
from tests.support.clock import FakeClock
from tests.support.network import FakeNetwork
from tests.support.redis import redis_values
from tests.support.server import Service, eventually, running_service
from tests.support.tablet import tablet


class FailingStore(InMemoryStore):
    """A store in which ``try_writing`` fails, or does not end, as a test says."""

    def __init__(self) -> None:
        super().__init__()
        self.tries, self.answers = 0, asyncio.Event()
        self.answers.set()
        self.error: Exception | None = None

    async def try_writing(self) -> None:
        self.tries += 1
        await self.answers.wait()
        if self.error:
            raise self.error


async def readiness(store: Store, clock: FakeClock) -> Readiness:
    """Return the readiness of a recovered dispatcher."""
    dispatcher = Dispatcher(store, FakeNetwork(), EventBus(), clock)
    await dispatcher.load()
    await dispatcher.start()
    return Readiness(store, Watchdog(lambda: None, clock, lambda: True), clock, dispatcher)


async def test_ready_asks_the_storage_at_most_once_a_second() -> None:
    """However many requests there are; and it recovers by itself."""
    store, clock = FailingStore(), FakeClock()
    ready = await readiness(store, clock)
    store.error = StorageFailed("nothing can be written: disk full")
    said = await asyncio.gather(*(ready.reasons() for _ in range(10)))
    assert said == [["nothing can be written: disk full"]] * 10
    assert store.tries == 1
    store.error = None
    await clock.advance(FRESH_S)
    assert await ready.reasons() == []


async def test_a_storage_that_does_not_answer_is_not_ready(monkeypatch) -> None:
    """A disk that hangs is reported after TEST_WRITE_TIMEOUT_S."""
    monkeypatch.setattr("sanic_dispatch.dispatch.readiness.TEST_WRITE_TIMEOUT_S", 0.05)
    store, clock = FailingStore(), FakeClock()
    store.answers.clear()
    ready = await readiness(store, clock)
    assert await ready.reasons() == ["the storage does not answer"]


async def test_a_failed_commit_is_looked_after() -> None:
    """Where nobody orders any more, a test write tells that the storage works again."""
    store, clock = FailingStore(), FakeClock()
    ready = await readiness(store, clock)
    stats = ready._dispatcher.commit_stats
    await ready.look_again()
    assert store.tries == 0
    stats.failed()
    store.error = StorageFailed("nothing can be written: disk full")
    await ready.look_again()
    assert stats.is_failing
    store.error = None
    await clock.advance(FRESH_S)
    await ready.look_again()
    assert (stats.is_failing, stats.failures) == (False, 1)


async def test_a_service_that_stops_is_not_ready() -> None:
    """While stopping, the storage is not tried."""
    store, clock = FailingStore(), FakeClock()
    ready = await readiness(store, clock)
    await ready._dispatcher.stop(0)
    with pytest.raises(ShuttingDown):
        await ready.reasons()
    assert store.tries == 0


async def _answer(service: Service) -> tuple[int, str]:
    async with service.http.get(service.base_url + "ready") as response:
        said = await response.json()
        return response.status, said.get("detail", said.get("status"))


@pytest.mark.parametrize("mode", list(Mode), ids=str)
async def test_a_service_that_can_write_is_ready(mode: Mode, tmp_path: Path) -> None:
    """In every mode, also repeatedly."""
    values = redis_values(mode, tmp_path)
    async with running_service(mode=mode, data_dir=tmp_path, **values) as service:
        service.app.ctx.readiness._clock = FakeClock()
        for _ in range(3):
            assert await _answer(service) == (200, "ready")
            await service.app.ctx.readiness._clock.advance(1)


@pytest.mark.parametrize("mode", [Mode.JSON_FILE, Mode.CACHED_JSON_FILE], ids=str)
async def test_a_folder_that_is_gone_is_not_ready(mode: Mode, tmp_path: Path) -> None:
    """503 with the reason, since what is written now would be lost."""
    folder = tmp_path / "data"
    folder.mkdir()
    async with running_service(mode=mode, data_dir=folder) as service:
        folder.rename(tmp_path / "elsewhere")
        status, detail = await _answer(service)
        assert status == 503
        assert detail.startswith("nothing can be written: ")
        (tmp_path / "elsewhere").rename(folder)


async def test_a_pair_that_is_not_made_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """503 while a job and a worker wait together; the end of a pause matches them."""
    async with running_service() as service:
        operator = service.app.ctx.dispatcher.operator
        await operator.pause("")
        await service.submit("x")
        headers = {"CPEE-CALLBACK": "http://127.0.0.1:9/callbacks/1/"}
        async with service.http.post(service.base_url + "register-worker", headers=headers) as said:
            assert said.status == 202
        with monkeypatch.context() as patch:
            patch.setattr(matching, "next_pair", lambda tables: None)
            await operator.resume("")
            await eventually(lambda: _is_red(service))
        await operator.pause("")
        await operator.resume("once more")
        await eventually(lambda: _is_green(service))


async def test_workers_that_are_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tablet without a network, and a script between two polls, could get no order: ready."""
    monkeypatch.setattr(pairing_watchdog, "CHECK_S", 0.01)
    monkeypatch.setattr(pairing_watchdog, "STUCK_S", 0.05)
    async with running_service() as service:
        async with tablet(service) as worker:
            await worker.ok(register={"worker": "tablet-1"})
        poll, headers = service.base_url + "register-worker?wait=0", {"Worker-Id": "shell-1"}
        async with service.http.post(poll, headers=headers) as said:
            assert said.status == 204
        await service.submit("x")
        for _ in range(10):
            await asyncio.sleep(0.05)
            assert await _answer(service) == (200, "ready")
        assert len(await service.app.ctx.dispatcher.queries.workers()) == 2


async def _is_red(service: Service) -> bool:
    return await _answer(service) == (503, "a job and a worker wait together")


async def _is_green(service: Service) -> bool:
    return (await _answer(service))[0] == 200


async def test_not_ready_while_a_file_cannot_be_read(tmp_path: Path) -> None:
    """While an edit has damaged jobs.json, /ready is 503; it is 200 once that is mended."""
    async with running_service(mode=Mode.JSON_FILE, data_dir=tmp_path) as service:
        await service.submit("a")
        file = tmp_path / "jobs.json"
        before = file.read_text()
        file.write_text("[")
        assert (await service.submit("b"))[0] == 503
        async with service.http.get(service.base_url + "ready") as answer:
            assert answer.status == 503
            assert "jobs.json: is no JSON array" in (await answer.json())["detail"]
        failing = 'dispatch_storage_failing{queue="both"} '
        assert failing + "1.0" in await _metrics(service)
        file.write_text(before.replace('"a"', '"edited"'))

        async def is_ready() -> bool:
            async with service.http.get(service.base_url + "ready") as answer:
                return answer.status == 200

        await eventually(is_ready)
        assert failing + "0.0" in await _metrics(service)
        assert (await service.submit("b"))[0] == 202
        assert "edited" in file.read_text()


async def _metrics(service: Service) -> str:
    async with service.http.get(service.base_url + "metrics") as answer:
        return await answer.text()

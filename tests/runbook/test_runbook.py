"""Every entry of the runbook: a real fault, the alert's query becomes true, the cure.

Debian's prometheus with the files of deploy/, and real servers; the text is in docs/operations.md.
"""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from sanic_dispatch.simulation import Engine
from tests.runbook.alerting_bar import FAULTY, Bar, repeated
from tests.support.phone_order import PhoneOrder
from tests.support.prometheus import PATIENCE_S, RULES, Prometheus, watching
from tests.support.receiver import OK, running_receiver, status
from tests.support.server import eventually, free_port

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

PORTS = {rule["alert"]: free_port() for rule in RULES}
"""A server of its own for each alert."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def prometheus(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Prometheus]:
    folder = tmp_path_factory.mktemp("prometheus")
    async with watching(folder, list(PORTS.values())) as prometheus:
        yield prometheus


@pytest_asyncio.fixture(loop_scope="module")
async def bar(
    request: pytest.FixtureRequest, prometheus: Prometheus, tmp_path: Path
) -> AsyncIterator[Bar]:
    """The server for the alert that the test is named after, not started yet."""
    name = request.node.originalname.removeprefix("test_").replace("_", "")
    (port,) = [port for alert, port in PORTS.items() if alert.lower() == f"dispatch{name}"]
    async with aiohttp.ClientSession() as http:
        bar = Bar(port, tmp_path, prometheus, http)
        yield bar
        bar.kill()


@pytest_asyncio.fixture(loop_scope="module")
async def engine() -> AsyncIterator[Engine]:
    async with Engine() as engine:
        yield engine


async def test_prometheus_has_the_rules(prometheus: Prometheus) -> None:
    """Those of the file, and no others."""
    (group,) = (await prometheus.ask("rules"))["groups"]
    assert [rule["name"] for rule in group["rules"]] == [rule["alert"] for rule in RULES]


async def test_down(bar: Bar) -> None:
    """The process is gone; after a restart the acknowledged jobs are there."""
    await bar.start()
    await bar.submit()
    bar.kill()
    await bar.fires("DispatchDown")
    await bar.start()
    await bar.is_quiet("DispatchDown")
    assert await bar.states() == ["waiting"]


async def test_storage_failing(bar: Bar) -> None:
    """No file can grow: 503, /ready is red; with room again it recovers by itself."""
    await bar.start()
    bar.disk_is_full(full=True)
    assert await bar.submit() == 503
    await bar.fires("DispatchStorageFailing")
    assert not await bar.is_ready()
    bar.disk_is_full(full=False)
    await eventually(bar.is_ready, PATIENCE_S)
    assert await bar.submit() == 202


async def test_history_failing(bar: Bar) -> None:
    """The history is not a folder any more; orders go on, and once it is back it has all events."""
    await bar.start()
    history, aside = bar.folder / "history", bar.folder / "aside"
    history.rename(aside)
    history.write_text("in the way")
    assert await bar.submit() == 202
    await bar.fires("DispatchHistoryFailing")
    assert await bar.submit() == 202
    history.unlink()
    aside.rename(history)
    assert await bar.submit() == 202
    await bar.is_quiet("DispatchHistoryFailing")
    bar.kill()
    kept = await bar.cli("export-log", "--data-dir", str(bar.folder))
    assert kept.count("job.submitted") == 3


async def test_pairing_stuck(bar: Bar, engine: Engine) -> None:
    """Syncs take seconds: no frame is sent before its commit, so the alert does not fire."""
    await bar.start()
    await bar.cli("ctl", "pause")
    await bar.submit()
    robot = engine.start_instance("Ada")
    async with AsyncExitStack() as stack:
        await repeated(lambda: robot.call(bar.url + "register-worker", rescue=True), stack)
        await eventually(lambda: _has_worker(bar), PATIENCE_S)
        async with bar.slow_disk(3.0):
            await repeated(lambda: bar.cli("ctl", "resume"), stack)
            await bar.has("done")
        await bar.is_quiet("DispatchPairingStuck")


async def test_no_workers(bar: Bar, engine: Engine) -> None:
    """A job without a worker; an instance is started, and registers."""
    await bar.start()
    await bar.submit()
    await bar.fires("DispatchNoWorkers")
    await engine.start_instance("Ada").call(bar.url + "register-worker")
    await bar.is_quiet("DispatchNoWorkers")


async def test_paused(bar: Bar) -> None:
    """An operator has paused, and the log says who; ctl resume."""
    await bar.start()
    await bar.cli("ctl", "pause", "--reason", "out of ice")
    await bar.fires("DispatchPaused")
    await bar.cli("ctl", "resume")
    await bar.is_quiet("DispatchPaused")


async def test_jobs_in_doubt(bar: Bar) -> None:
    """A worker's machine takes the PUT and does not answer; ctl put-back."""
    await bar.start("--callback-timeout", "0.5", "--submit-wait", "0.1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        callback = f"http://127.0.0.1:{silent.getsockname()[1]}/callbacks/1/"
        key = {"CPEE-INSTANCE-UUID": "i", "CPEE-ACTIVITY": "a"}
        assert (await bar.register(callback, **key))[0] == 202
        await bar.submit()
        await bar.fires("DispatchJobsInDoubt")
        assert "in doubt" in await bar.cli("ctl", "jobs", "--state", "assigned")
        await bar.cli("ctl", "put-back", "1")
        await bar.is_quiet("DispatchJobsInDoubt")
        assert await bar.states() == ["waiting"]


async def test_jobs_unconsumed(bar: Bar) -> None:
    """A callback accepts the job and still waits; once it is used, the alert ends."""
    await bar.start("--unconsumed-after", "0.5")
    async with DeadInstance() as dead:
        key = {"CPEE-INSTANCE-UUID": "i", "CPEE-ACTIVITY": "a", "CPEE-INSTANCE-URL": dead.url}
        assert (await bar.register(dead.url + "callbacks/1/", **key))[0] == 202
        await bar.submit()
        await bar.fires("DispatchJobsUnconsumed")
        said = await bar.cli("ctl", "jobs", "--state", "assigned")
        assert "taken" in said  # in doubt, unless it is just being sent again
        dead.is_alive = True
        await bar.is_quiet("DispatchJobsUnconsumed")
        assert await bar.states() == ["assigned"]


class DeadInstance:
    """An instance whose process was killed: it runs, and does not use the jobs that it accepts."""

    is_alive = False

    async def __aenter__(self) -> DeadInstance:
        app = web.Application()
        app.router.add_route("*", "/4/{path:.*}", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        port = free_port()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{port}/4/"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        if request.path.endswith("/state/"):
            return web.Response(text="running")
        if "/callbacks/" in request.path:
            is_used_up = self.is_alive and request.method == "GET"
            return web.Response(status=404 if is_used_up else 200)
        return web.Response(status=404)


async def test_jobs_failed(bar: Bar) -> None:
    """A worker reports that it failed; with more mint, ctl put-back."""
    await bar.start()
    await bar.submit()
    key = {"CPEE-INSTANCE-UUID": "i", "CPEE-ACTIVITY": "a"}
    _, handed = await bar.register("http://127.0.0.1:9/callbacks/1/", **key)
    url = f"{bar.url}jobs/{handed['Job']['id']}/fail"
    async with bar.http.post(url, json={"reason": "no mint"}, headers=key) as answer:
        assert answer.status == 200
    await bar.fires("DispatchJobsFailed")
    assert "no mint" in await bar.cli("ctl", "jobs", "--state", "failed")
    assert "no mint" in await bar.cli("history", "1")
    await bar.cli("ctl", "put-back", "1")
    assert await bar.states() == ["waiting"]


async def test_deliveries_failing(bar: Bar, engine: Engine) -> None:
    """A callback is unreachable; its jobs go to the next worker."""
    await bar.start()
    await bar.register("http://127.0.0.1:9/callbacks/1/")
    await bar.submit()
    await bar.fires("DispatchDeliveriesFailing")
    assert "connection refused" in await bar.cli("ctl", "workers")
    await bar.has("waiting")
    await engine.start_instance("Ada").call(bar.url + "register-worker")
    await bar.has("assigned")


async def test_workers_aside(bar: Bar, engine: Engine) -> None:
    """An instance is stopped while it waits; continued, it returns to its place."""
    await bar.start()
    robot = engine.start_instance("Ada")
    async with AsyncExitStack() as stack:
        await repeated(lambda: robot.call(bar.url + "register-worker", rescue=True), stack)
        await eventually(lambda: _has_worker(bar), PATIENCE_S)
        robot.stop()
        await bar.submit()
        await bar.fires("DispatchWorkersAside")
        robot.resume()
        await bar.is_quiet("DispatchWorkersAside")
        await bar.has("done")


async def test_long_wait(bar: Bar, engine: Engine) -> None:
    """A job from yesterday in the original's file; a robot is added."""
    job = {"id": "old", "data": "mojito", "submitted_at": "2020-01-01T00:00:00Z"}
    (bar.folder / "jobs.json").write_text(json.dumps([job]))
    await bar.start()
    await bar.fires("DispatchLongWait")
    await engine.start_instance("Ada").call(bar.url + "register-worker")
    await bar.is_quiet("DispatchLongWait")


async def test_queue_filling(bar: Bar) -> None:
    """Nearly max-jobs jobs wait; some are cancelled."""
    await bar.start("--max-jobs", "5")
    for number in range(5):
        assert await bar.submit(number) == 202
    assert await bar.submit() == 503
    await bar.fires("DispatchQueueFilling")
    await bar.cli("ctl", "cancel", "1")
    await bar.is_quiet("DispatchQueueFilling")


async def test_clients_filling(bar: Bar) -> None:
    """Nearly max-connections pages follow; one leaves."""
    await bar.start("--max-connections", "5")
    pages = [await bar.http.ws_connect(bar.url + "live") for _ in range(5)]
    await bar.fires("DispatchClientsFilling")
    await pages[0].close()
    await bar.is_quiet("DispatchClientsFilling")


async def test_slow_storage(bar: Bar) -> None:
    """Each sync takes half a second."""
    await bar.start()
    async with AsyncExitStack() as stack, bar.slow_disk(0.5):
        await repeated(bar.submit, stack)
        await bar.fires("DispatchSlowStorage")


async def test_slow_loop(bar: Bar) -> None:
    """The process has the processor for a tenth of the time."""
    await bar.start()
    async with bar.without_cpu():
        await bar.fires("DispatchSlowLoop")


async def test_push_failing(bar: Bar) -> None:
    """The push service refuses all messages; when it takes them again, one is sent at once."""
    await bar.start("--allow-push", "127.0.0.0/8")
    async with running_receiver() as receiver:
        receiver.answer = status(403)
        order = PhoneOrder(bar.http, receiver)
        await order.submit(bar.url)
        await order.make(bar.url)
        await bar.fires("DispatchPushFailing")
        pending = json.loads(await bar.cli("ctl", "outbox", "--json"))
        assert (pending["kind"], pending["reason"]) == ("making", "status 403")
        receiver.answer = OK
        await bar.cli("ctl", "push", "continue", pending["id"])
        await bar.is_quiet("DispatchPushFailing")


async def test_errors(bar: Bar) -> None:
    """A bug: 500, and the log has the traceback."""
    await bar.start(code=FAULTY)
    async with bar.http.get(bar.url + "menu") as answer:
        assert answer.status == 500
    await bar.fires("DispatchErrors")
    log = (bar.folder / "log").read_text()
    assert "unexpected error" in log
    assert "ZeroDivisionError" in log


async def _has_worker(bar: Bar) -> bool:
    return "/callbacks/" in await bar.cli("ctl", "workers")

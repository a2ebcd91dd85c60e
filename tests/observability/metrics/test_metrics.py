"""The metrics, and their description in docs/operations.md."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSMsgType

from sanic_dispatch.clock import SystemClock
from sanic_dispatch.config.settings import Mode
from sanic_dispatch.observability.metrics import LoopLag
from sanic_dispatch.simulation import Engine
from tests.observability.metrics.scraping import Scrape, scrape
from tests.support.paths import DOCS
from tests.support.server import Service, eventually, running_service
from tests.support.story import FakeLoop
from tests.support.tablet import tablet

OPERATIONS = DOCS / "operations.md"
STAFF = "token-of-an-operator"
ROW = re.compile(r"^\| `((?:dispatch|process)_\w+)(?:\{(.*?)\})?` \| (\w+) \|", re.MULTILINE)


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    (data := tmp_path / "data").mkdir()
    async with running_service(mode=Mode.CACHED_JSON_FILE, data_dir=data) as service:
        yield service


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with Engine() as engine:
        yield engine


async def register(service: Service, callback: str, **headers: str) -> int:
    headers |= {"CPEE-CALLBACK": callback}
    async with service.http.post(service.base_url + "register-worker", headers=headers) as answer:
        return answer.status


async def test_counts_and_times_of_jobs(service: Service, engine: Engine) -> None:
    """Submitted, waiting, delivered and done jobs, their times, and their commits."""
    for number in range(3):
        await service.submit(number)
    before = await scrape(service)
    assert before.value("dispatch_jobs", state="waiting") == 3
    assert before.value("dispatch_oldest_waiting_job_age_seconds") > 0
    assert before.value("dispatch_live_frames_total") == 0

    robot = engine.start_instance("Ada")
    await robot.call(service.base_url + "register-worker")
    await robot.call(service.base_url + "register-worker")
    await eventually(
        lambda: _is(service, "dispatch_deliveries_total", 2, way="answer", outcome="accepted")
    )
    after = await scrape(service)
    assert after.value("dispatch_jobs", state="waiting") == 1
    assert after.value("dispatch_jobs", state="assigned") == 1
    assert after.value("dispatch_workers", state="assigned") == 1
    assert after.value("dispatch_jobs_finished_total", state="done") == 1
    assert after.value("dispatch_events_total", kind="job.submitted") == 3
    assert after.value("dispatch_job_wait_seconds_count") == 2
    assert after.value("dispatch_job_service_seconds_count") == 1
    assert after.value("dispatch_http_responses_total", code="202") == 3
    changes = after.value("dispatch_commit_changes_sum", queue="both")
    assert changes >= after.value("dispatch_commit_duration_seconds_count", queue="both") > 0
    assert after.value("dispatch_storage_failing", queue="both") == 0


async def test_a_storage_that_failed_and_works_again(service: Service, tmp_path: Path) -> None:
    """It does not fail for the rest of the night, although nobody orders any more."""

    async def is_failing() -> bool:
        scraped = await scrape(service)
        assert scraped.value("dispatch_commit_failures_total", queue="both") == 1
        return scraped.value("dispatch_storage_failing", queue="both") == 1

    data = tmp_path / "data"
    data.rename(tmp_path / "aside")
    async with service.http.post(service.base_url + "submit-job", json=1) as answer:
        assert answer.status == 503
    assert await is_failing()
    (tmp_path / "aside").rename(data)
    await eventually(lambda: _not(is_failing))


async def _not(condition: Callable[[], Awaitable[bool]]) -> bool:
    return not await condition()


class EarlierClock(SystemClock):
    """A wall clock that can be set back."""

    back_s = 0.0

    def now_s(self) -> float:
        return super().now_s() - self.back_s


@pytest.mark.parametrize("settings", [{"priorities": True}, {"fair_by": "/name"}], ids=str)
async def test_the_oldest_job_is_not_the_next(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its age counts, also where another comes before it by its priority, or by its turn."""
    monkeypatch.setattr("sanic_dispatch.app.SystemClock", EarlierClock)
    async with running_service(operator_tokens=(STAFF,), **settings) as service:
        await service.submit({"name": "Ada"})
        await register(service, "http://127.0.0.1:9/callbacks/1/")
        monkeypatch.setattr(EarlierClock, "back_s", 600.0)
        await service.submit({"name": "Ada"})
        monkeypatch.undo()
        headers = {"Authorization": f"Bearer {STAFF}", "Job-Priority": "0"}
        await service.submit({"name": "Bert"}, **headers)
        metrics = await scrape(service)
        (next_job,) = service.app.ctx.hub.projection.first(1)
    assert next_job.texts.name == "Bert"
    assert metrics.value("dispatch_oldest_waiting_job_age_seconds") >= 600


async def test_deliveries_by_outcome(service: Service) -> None:
    """An unreachable callback is a refusal; its worker is set aside."""
    await register(service, "http://127.0.0.1:9/callbacks/1/")
    await service.submit("x")
    await eventually(
        lambda: _is(service, "dispatch_deliveries_total", 1, way="put", outcome="refused")
    )
    await eventually(lambda: _is(service, "dispatch_workers", 1, state="aside"))
    after = await scrape(service)
    assert after.value("dispatch_delivery_duration_seconds_count") == 1
    assert after.value("dispatch_jobs_finished_total", state="done") == 0


async def test_counts_of_the_live_channel(service: Service) -> None:
    """Clients by transport, frames sent, and the push lag."""
    async with service.http.ws_connect(service.base_url + "live") as ws:
        await ws.receive()
        await service.submit("x")
        assert (await ws.receive()).type is WSMsgType.TEXT
        await eventually(lambda: _is(service, "dispatch_live_lag_seconds_count", 1))
        during = await scrape(service)
        assert during.value("dispatch_live_clients", transport="websocket", view="board") == 1
        assert during.value("dispatch_live_frames_total") == 2
    await eventually(
        lambda: _is(service, "dispatch_live_clients", 0, transport="websocket", view="board")
    )


async def test_connections_of_workers(service: Service) -> None:
    """Open websockets and waiting polls, of all topics together."""

    async def are(websockets: int, polls: int) -> bool:
        counts = {"websocket": websockets, "poll": polls}
        found = await scrape(service)
        name = "dispatch_worker_connections"
        return {channel: found.value(name, channel=channel) for channel in counts} == counts

    async with tablet(service), tablet(service):
        url, headers = service.base_url + "register-worker?wait=60", {"Worker-Id": "shell-1"}
        polling = asyncio.create_task(service.http.post(url, headers=headers))
        await eventually(lambda: are(2, 1))
        await service.submit("x")
        (await polling).release()
    await eventually(lambda: are(0, 0))


@pytest.mark.parametrize(("process", "label"), [(0, None), (2, "2")])
async def test_one_of_several_processes(process: int, label: str | None) -> None:
    """Every sample says which of them it is of; the only process of a service says nothing."""
    async with running_service(process=process, topics={"roof": {}}) as service:
        samples = (await scrape(service)).samples()
    assert {sample.labels.get("process") for sample in samples} == {label}


async def test_no_label_identifies_a_job(service: Service) -> None:
    """No label has a payload, a callback or an id."""
    await register(service, "http://127.0.0.1:9/callbacks/secretcallback/")
    _, _, job_id = await service.submit({"name": "secretname"})
    text = (await scrape(service)).text
    assert "secret" not in text
    assert job_id not in text


async def test_the_documentation_has_every_metric(service: Service) -> None:
    """docs/operations.md lists exactly what exists, with kind and labels."""
    async with service.http.ws_connect(service.base_url + "live"):
        await scrape(service)
        scraped = await scrape(service)
    documented = {
        (name, kind, labels) for name, labels, kind in ROW.findall(OPERATIONS.read_text())
    }
    missing = ["promise_hit_ratio"]  # until the first was due
    missing += ["members", "owner", "owner_epoch"]  # but in the mode Redis
    documented -= {(f"dispatch_{name}", "gauge", "") for name in missing}
    assert documented == set(_described(scraped))


async def test_promtool_has_no_complaints(service: Service) -> None:
    """promtool accepts the output."""
    if (promtool := shutil.which("promtool")) is None:
        pytest.skip("promtool is not installed")
    text = (await scrape(service)).text
    checked = subprocess.run([promtool, "check", "metrics"], input=text, text=True,  # noqa: ASYNC221
                             capture_output=True, check=False)  # fmt: skip
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


async def test_openmetrics(service: Service) -> None:
    """The format is the one in the Accept header."""
    headers = {"Accept": "application/openmetrics-text; version=1.0.0"}
    async with service.http.get(service.base_url + "metrics", headers=headers) as response:
        assert response.content_type == "application/openmetrics-text"
        assert (await response.text()).endswith("# EOF\n")


@pytest.mark.parametrize("media_type", ["application/openmetrics-text", "text/plain"])
@pytest.mark.parametrize(
    "version", ["x", "1", "1.0.0.0", "1.x", "-1.0.0", "9" * 4400, '"1.0.0"', "", " 1.0.0", "1.0.٣"]
)
async def test_a_malformed_accept_header(service: Service, media_type: str, version: str) -> None:
    """A malformed ``version=`` gets the plain format, not a 500."""
    headers = {"Accept": f"{media_type}; version={version}"}
    async with service.http.get(service.base_url + "metrics", headers=headers) as response:
        assert response.status == 200
        assert "dispatch_paused 0.0" in await response.text()
    assert (await scrape(service)).value("dispatch_http_responses_total", code="500") == 0


def test_a_blocked_loop_has_a_lag() -> None:
    """A blocking call shows as lag."""
    loop = FakeLoop()
    lag = LoopLag(loop, loop.monotonic_s)
    lag.start()
    loop.run(1.0)
    assert lag.seconds.total == 0
    loop.elapsed_s += 2.0
    loop.run()
    assert lag.seconds.total == pytest.approx(1.75)
    count = lag.seconds.count
    lag.stop()
    loop.run(10.0)
    assert lag.seconds.count == count


async def _is(service: Service, name: str, value: float, **labels: str) -> bool:
    return (await scrape(service)).value(name, **labels) == value


def _described(scraped: Scrape) -> list[tuple[str, str, str]]:
    """Return name, kind and labels of each family; a counter's name as queries have it."""
    described = []
    for family in scraped.families.values():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = ", ".join(sorted(family.samples[0].labels.keys() - {"le"}))
        described.append((name, family.type, labels))
    return described

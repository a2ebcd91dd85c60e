"""Each fault of the original, tried through real sockets: it must not come back."""

from __future__ import annotations

import asyncio
import json
import os
from io import BytesIO
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from sanic_dispatch.config.settings import Mode
from sanic_dispatch.errors import NotAQueue
from sanic_dispatch.simulation import Engine
from tests.support.disk_faults import Disk
from tests.support.server import Service, eventually, running_service

FILE_MODES = [Mode.JSON_FILE, Mode.CACHED_JSON_FILE]
JOBS = [
    {"id": f"0c3f{n:028x}", "data": n, "submitted_at": f"2025-03-0{n}T10:00:00.123456789Z"}
    for n in (1, 2, 3)
]


async def register(service: Service, n: int, **headers: str) -> tuple[int, Any]:
    """Register without an engine: only the answer matters."""
    callback = f"http://127.0.0.1:9/{n}/callbacks/{n:032x}/"
    async with service.http.post(
        service.base_url + "register-worker", headers={"CPEE-CALLBACK": callback, **headers}
    ) as response:
        return response.status, await response.json()


@pytest.mark.parametrize("mode", FILE_MODES)
async def test_the_originals_files_go_on_oldest_first(mode: Mode, tmp_path: Path) -> None:
    """The original's file queues took the newest first; its files are read in the right order."""
    (tmp_path / "jobs.json").write_text(json.dumps(JOBS, indent=2))
    async with running_service(mode=mode, data_dir=tmp_path) as service:
        for n, job in enumerate(JOBS):
            assert await register(service, n) == (200, {"Job": job})


async def test_a_job_and_a_worker_never_wait_together() -> None:
    """Register and submit raced, so that a job and a worker waited for ever."""
    async with Engine() as engine, running_service() as service:
        url = service.base_url + "register-worker"
        calls = [asyncio.create_task(engine.start_instance().call(url)) for _ in range(200)]
        answers = await asyncio.gather(*(service.submit(n) for n in range(200)))
        assert {status for status, _, _ in answers} <= {200, 202}
        results = await asyncio.gather(*calls)
        assert sorted(result.value["Job"]["data"] for result in results) == list(range(200))


async def test_a_hanging_callback_does_not_hold_the_customer_up() -> None:
    """The customer's request waited for the callback without a time-out."""
    async with (
        Engine() as engine,
        running_service(submit_wait_s=0.2, callback_timeout_s=1) as service,
    ):
        instance = engine.start_instance()
        instance.faults.hang = True
        calling = asyncio.create_task(instance.call(service.base_url + "register-worker"))
        await instance.until(lambda: instance.waiting)
        began_s = monotonic()
        assert (await service.submit(1))[:2] == (202, {"Queued": {"position": 1}})
        assert monotonic() - began_s < 2
        calling.cancel()


async def test_one_failed_put_throws_no_worker_away_and_no_job_to_the_tail() -> None:
    """After one failed PUT the worker was dropped, and the job was put at the tail."""
    async with Engine() as engine, running_service() as service:
        instance = engine.start_instance()
        calling = asyncio.create_task(instance.call(service.base_url + "register-worker"))
        await instance.until(lambda: instance.waiting)
        instance.stop()
        for n in (1, 2):
            assert (await service.submit(n))[:2] == (202, {"Queued": {"position": n}})
        instance.resume()
        assert (await calling).value["Job"]["data"] == 1


@pytest.mark.parametrize("mode", FILE_MODES)
async def test_a_failed_write_is_not_acknowledged(
    mode: Mode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed write was only logged, and the job was acknowledged."""
    disk = Disk(monkeypatch, tmp_path)
    async with running_service(mode=mode, data_dir=tmp_path) as service:
        await service.submit(1)
        disk.fill()
        status, problem, _ = await service.submit(2)
        assert (status, problem["Error"]) == (503, "StorageFailed")
        disk.before = lambda number, name, path: None
        assert (await service.submit(3))[:2] == (202, {"Queued": {"position": 2}})
    assert [entry["data"] for entry in json.loads((tmp_path / "jobs.json").read_bytes())] == [1, 3]


@pytest.mark.parametrize("mode", FILE_MODES)
@pytest.mark.parametrize("content", ["", "[", json.dumps(JOBS)[:-40], "null", "{}"])
async def test_a_torn_file_is_never_read_as_empty(mode: Mode, content: str, tmp_path: Path) -> None:
    """A damaged file was read as an empty queue, and then overwritten."""
    path = tmp_path / "jobs.json"
    path.write_text(content)
    with pytest.raises(NotAQueue, match=r"jobs\.json"):
        async with running_service(mode=mode, data_dir=tmp_path):
            pass
    assert path.read_text() == content


@pytest.mark.parametrize("mode", FILE_MODES)
async def test_an_entry_that_does_not_parse_does_not_vanish(mode: Mode, tmp_path: Path) -> None:
    """Entries that could not be parsed were skipped, and overwritten."""
    path = tmp_path / "jobs.json"
    path.write_text(content := json.dumps([*JOBS, {"id": 4}]))
    with pytest.raises(NotAQueue, match="entry 3"):
        async with running_service(mode=mode, data_dir=tmp_path):
            pass
    assert path.read_text() == content


async def test_a_job_survives_the_workers_dropped_connection() -> None:
    """The job was lost when the worker's connection broke before the answer."""
    async with running_service() as service:
        await service.submit("precious")
        port = int(service.base_url.rstrip("/").rpartition(":")[2])
        for n in range(50):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(
                b"POST /register-worker HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n"
                b"CPEE-CALLBACK: http://127.0.0.1:9/1/callbacks/%032x/\r\n"
                b"CPEE-INSTANCE-UUID: one\r\nCPEE-ACTIVITY: a1\r\n\r\n" % n
            )
            writer.transport.abort()

        async def is_given_again() -> bool:
            key = {"CPEE-INSTANCE-UUID": "one", "CPEE-ACTIVITY": "a1"}
            async with service.http.post(
                service.base_url + "register-worker?lost",
                headers={"CPEE-CALLBACK": f"http://127.0.0.1:9/1/callbacks/{99:032x}/", **key},
            ) as response:
                return response.status == 200 and b"precious" in await response.read()

        await eventually(is_given_again)


async def test_there_are_limits_and_forbidden_addresses() -> None:
    """There was no limit on the body, and any callback address was called."""
    async with running_service() as service:
        big = BytesIO(json.dumps("x" * (2 * 2**20)).encode())
        async with service.http.post(
            service.base_url + "submit-job", data=big, headers={"Content-Type": "application/json"}
        ) as response:
            assert response.status == 413
        async with service.http.post(
            service.base_url + "register-worker",
            headers={"CPEE-CALLBACK": "http://169.254.169.254/"},
        ) as response:
            assert response.status == 403


@pytest.mark.parametrize("mode", [Mode.IN_MEMORY, Mode.CACHED_JSON_FILE])
async def test_thousands_of_jobs_and_ten_workers(mode: Mode, tmp_path: Path) -> None:
    """All jobs are delivered once, in order."""
    count = 10_000 if "TORTURE" in os.environ else 1_000
    async with Engine() as engine, running_service(mode=mode, data_dir=tmp_path) as service:
        received: list[list[int]] = [[] for _ in range(10)]

        async def robot(glasses: list[int]) -> None:
            instance = engine.start_instance(attributes={"nednoamol": "true"})
            while True:
                result = await instance.call(service.base_url + "register-worker")
                glasses.append(result.value["Job"]["data"])

        async def customer(first: int) -> None:
            for n in range(first, count, 8):
                status, _, _ = await service.submit(n)
                assert status in (200, 202)

        robots = [asyncio.create_task(robot(glasses)) for glasses in received]
        await asyncio.gather(*(customer(first) for first in range(8)))

        async def all_received() -> bool:
            return sum(map(len, received)) >= count

        await eventually(all_received, within_s=60)
        for task in robots:
            task.cancel()
        assert sorted(n for glasses in received for n in glasses) == list(range(count))
        for glasses in received:
            for customer_number in range(8):
                own = [n for n in glasses if n % 8 == customer_number]
                assert own == sorted(own)

"""The examples of workers without an address, and the lines in the docs."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import line_of
from tests.support.paths import DOCS, ROOT
from tests.support.proxy import Proxy
from tests.support.server import Service, eventually, running_service

BY_WEBSOCKET = (sys.executable, str(ROOT / "examples/websocket/worker.py"))
BY_POLLING = (str(ROOT / "examples/poll/worker.sh"),)
HASTE = {"SECONDS_A_JOB": "0.01", "WAIT_S": "20", "PYTHONPATH": str(ROOT)}

both = pytest.mark.parametrize(
    ("command", "arguments"),
    [(BY_WEBSOCKET, ("--seconds", "0.01")), (BY_POLLING, ())],
    ids=["websocket", "poll"],
)


@asynccontextmanager
async def process(*command: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a worker as a process; it is killed at the end, with what it has started."""
    worker = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, **HASTE, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield worker
    finally:
        with suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        await worker.wait()


async def result(service: Service, job_id: str) -> Any:
    """Return a job's result once it is done."""

    async def is_done() -> bool:
        return (await service.job(job_id))["state"] == "done"

    await eventually(is_done, 20)
    return (await service.job(job_id))["result"]


@both
async def test_it_makes_one_job_after_the_other(
    service: Service, command: tuple[str, ...], arguments: tuple[str, ...]
) -> None:
    """Whatever JSON the jobs are, and whether they come at once or later."""
    async with process(*command, service.base_url, *arguments) as worker:
        for data in ({"drink": 'a"},b', "path": "\\n", "n": [1, None]}, "one"):
            _, _, job_id = await service.submit(data)
            assert await result(service, job_id) == {"made": data}
            await line_of(worker.stdout, lambda line: "done" in line)


@both
async def test_it_outlives_a_broken_network(
    service: Service, command: tuple[str, ...], arguments: tuple[str, ...]
) -> None:
    """It says so, and takes the next job once the network is back."""
    async with (
        Proxy(service.app.ctx.settings.port) as proxy,
        process(*command, proxy.url, *arguments) as worker,
    ):
        _, _, first = await service.submit("one")
        await result(service, first)
        proxy.go_offline()
        await line_of(worker.stdout, lambda line: line.startswith("no "))
        proxy.go_online()
        _, _, second = await service.submit("two")
        assert await result(service, second) == {"made": "two"}


@both
async def test_it_needs_the_token(command: tuple[str, ...], arguments: tuple[str, ...]) -> None:
    """With a wrong one it prints the refusal and ends."""
    async with running_service(worker_tokens=("worker-token-1",)) as service:
        start = (*command, service.base_url, *arguments)
        async with process(*start, WORKER_TOKEN="wrong") as worker:
            await line_of(worker.stdout, lambda line: "the dispatcher says no" in line)
            assert await asyncio.wait_for(worker.wait(), 20) == 1
        async with process(*start, WORKER_TOKEN="worker-token-1"):
            _, _, job_id = await service.submit("one")
            await result(service, job_id)


async def test_a_polling_worker_that_was_killed_gets_its_job_again(service: Service) -> None:
    """The next poll under its name has the same job."""
    _, _, job_id = await service.submit("one")
    async with process(*BY_POLLING, service.base_url, SECONDS_A_JOB="600") as worker:
        await line_of(worker.stdout, lambda line: "working" in line)
    async with process(*BY_POLLING, service.base_url):
        await result(service, job_id)


async def test_a_polling_worker_reports_a_large_result(service: Service) -> None:
    """It is larger than an argument of a command may be."""
    data = "x" * 200_000
    _, _, job_id = await service.submit(data)
    async with process("sh", "-c", f"{BY_POLLING[0]} {service.base_url} >/dev/null 2>&1"):
        assert await result(service, job_id) == {"made": data}


async def test_a_polling_worker_whose_result_is_refused() -> None:
    """The job fails, or each poll would bring it again."""
    async with (
        running_service(max_body_bytes=1024) as service,
        process(*BY_POLLING, service.base_url) as worker,
    ):
        _, _, large = await service.submit("x" * 1020)
        await line_of(worker.stdout, lambda line: "report refused: 413" in line)
        _, _, job_id = await service.submit("one")
        assert await result(service, job_id) == {"made": "one"}
        assert (await service.job(large))["state"] == "failed"


async def test_a_polling_worker_that_cannot_report_now(service: Service) -> None:
    """It reports again: the job is done, and does not fail."""
    _, _, job_id = await service.submit("one")
    async with Proxy(service.app.ctx.settings.port) as proxy:
        proxy.not_now = {f"POST /jobs/{job_id}/complete": "408 Request Timeout"}
        async with process(*BY_POLLING, proxy.url):
            assert await result(service, job_id) == {"made": "one"}
        assert proxy.not_now == {}


async def test_a_websocket_worker_stops_after_its_job(service: Service) -> None:
    """Ctrl-C ends it without a trace, once the job in hand is done."""
    async with process(*BY_WEBSOCKET, service.base_url, "--seconds", "0.5") as worker:
        _, _, job_id = await service.submit("one")
        await line_of(worker.stdout, lambda line: "working" in line)
        worker.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(worker.wait(), 20) == 0
    assert (await service.job(job_id))["state"] == "done"


async def test_a_websocket_worker_outlives_a_result_that_is_too_large(service: Service) -> None:
    """The job fails, or each worker in turn would make it and end."""
    async with process(*BY_WEBSOCKET, service.base_url, "--seconds", "0.01"):
        _, _, large = await service.submit("x" * 70_000)

        async def has_failed() -> bool:
            return (await service.job(large))["state"] == "failed"

        await eventually(has_failed, 20)
        _, _, job_id = await service.submit("one")
        assert await result(service, job_id) == {"made": "one"}


async def test_the_lines_in_the_docs(service: Service, tmp_path: Path) -> None:
    """The program in docs/workers.md works as it stands."""
    found = re.search(r"```python\n(.*?)```", (DOCS / "workers.md").read_text(), re.DOTALL)
    assert found
    program = tmp_path / "worker.py"
    program.write_text(found[1].replace("http://localhost:2567/", service.base_url))
    async with process(sys.executable, str(program)):
        _, _, job_id = await service.submit({"drink": "mojito"})
        assert await result(service, job_id) == {"glasses": 1}


async def test_the_lines_for_a_shell(service: Service) -> None:
    """They get a job, and report it with its result."""
    found = re.search(
        r"```bash\n(curl .*?)\n(curl .*?)\n```", (DOCS / "workers.md").read_text(), re.DOTALL
    )
    assert found
    poll, complete = (
        line.replace("http://localhost:2567/", service.base_url) for line in found.groups()
    )
    _, _, job_id = await service.submit("one")
    async with process("bash", "-c", poll) as curl:
        answer = (await curl.communicate())[0].decode()
    receipt = re.search(r"(?i)^job-receipt: (\S+)", answer, re.MULTILINE)
    assert receipt
    complete = complete.replace("<id>", job_id).replace("<receipt>", receipt[1])
    async with process("bash", "-c", complete) as curl:
        await curl.communicate()
    assert await result(service, job_id) == {"made": True}

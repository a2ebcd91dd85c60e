"""docs/cpee.md: its commands and their output."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sanic_dispatch.simulation import CallFailed, Engine, Instance
from tests.simulation import conftest as stand_in
from tests.support.commands import CLEAN, line_of
from tests.support.http_requests import CALLBACK, register
from tests.support.server import ROOT, Service, free_port, running_service

GUIDE = (ROOT / "docs" / "cpee.md").read_text()
COMMANDS = [
    re.sub(r"^ +", "", code, flags=re.MULTILINE).strip()
    for code in re.findall(r"```bash\n(.*?)```", GUIDE, re.DOTALL)
]
SERVE, ROBOT, WATCH, SUBMIT, WORK, ASIDE, STOPPING, RUNNING = COMMANDS
"""All commands of the guide: a new one needs a test here."""
TOKEN = "an-operator-of-the-guide"


@pytest.fixture
def programs(tmp_path: Path) -> str:
    """A PATH with the sanic-dispatch and python of this environment."""
    for name, module in (("sanic-dispatch", "-m sanic_dispatch"), ("python", "")):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {module} "$@"\n')
        program.chmod(0o755)
    return f"{tmp_path}{os.pathsep}{os.environ['PATH']}"


@asynccontextmanager
async def running(
    line: str, programs: str, **env: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a command of the guide in a shell."""
    environment = {**CLEAN, "PATH": programs, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **env}
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        line,
        cwd=ROOT,
        env=environment,
        start_new_session=True,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running_service(operator_tokens=(TOKEN,)) as service:
        yield service


@pytest.fixture
async def instance() -> AsyncIterator[Instance]:
    """An instance of a running engine."""
    async with Engine() as engine:
        yield engine.start_instance("Ada", {"nednoamol": "true"})


@asynccontextmanager
async def registered(service: Service, instance: Instance) -> AsyncIterator[None]:
    """Wait until the instance waits for a job."""
    calling = asyncio.create_task(instance.call(service.base_url + "register-worker"))
    await instance.until(lambda: instance.waiting)
    try:
        yield
    finally:
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)


async def test_serve(programs: str, tmp_path: Path) -> None:
    """serve prints its address, and the monitor's with the operator's token."""
    port = str(free_port())
    env = {"SANIC_DISPATCH_PORT": port, "SANIC_DISPATCH_DATA_DIR": str(tmp_path)}
    async with running(SERVE, programs, **env) as process:
        line = await line_of(process.stdout, lambda line: "operator: " in line)
    assert re.search(rf":{port}/public/monitor\.html\?token=\S+", line)


async def test_the_robot(programs: str) -> None:
    """The robot prints its address for the models, which is the one in them."""
    async with running(f"{ROBOT} --port 0", programs) as process:
        line = await line_of(process.stdout, bool)
    assert re.fullmatch(r"A robot mixes at http://127\.0\.0\.1:\d+/mix\n", line)
    source = (ROOT / "examples/cpee/robot.py").read_text()
    assert 'default="127.0.0.1"' in source
    assert "default=9000" in source


async def test_work(programs: str, service: Service) -> None:
    """The robots of a simulated engine work."""
    env = {"SANIC_DISPATCH_URL": service.base_url}
    async with running(WORK, programs, **env) as process:
        await service.submit({"drink": "mojito", "name": "Ada"})
        await line_of(process.stdout, lambda line: "mixes mojito for Ada" in line)


async def test_watch_needs_the_token(programs: str, service: Service, instance: Instance) -> None:
    """With the operator's token the monitor shows the robot, by its process's name."""
    env = {"SANIC_DISPATCH_URL": service.base_url}
    async with registered(service, instance):
        async with running(WATCH, programs, **env) as process:
            refused = await line_of(process.stdout, bool)
        async with running(WATCH, programs, **env, SANIC_DISPATCH_TOKEN=TOKEN) as process:
            shown = json.loads(await line_of(process.stdout, lambda line: '"worker/' in line))
    assert "operator" in refused
    assert (shown["value"]["state"], shown["value"]["label"]) == ("waiting", "Ada")


async def test_submit(programs: str, service: Service, instance: Instance) -> None:
    """An order is followed until the waiting robot has it."""
    env = {"SANIC_DISPATCH_URL": service.base_url}
    async with (
        registered(service, instance),
        running(SUBMIT, programs, **env) as process,
    ):
        await line_of(process.stdout, lambda line: "assigned" in line)


async def test_a_worker_set_aside(programs: str, service: Service, instance: Instance) -> None:
    """A stopped robot is set aside after refusing an order, with the reason and its link."""
    env = {"SANIC_DISPATCH_URL": service.base_url, "SANIC_DISPATCH_TOKEN": TOKEN}
    async with registered(service, instance):
        instance.stop()
        await service.submit(1)
        async with running(f"{ASIDE} --unbuffered", programs, **env) as process:
            aside = json.loads(await line_of(process.stdout, lambda line: line.startswith("{")))
    assert (aside["label"], aside["link"]) == ("Ada", instance.url)
    assert aside["reason"]


async def test_what_helps_a_killed_instance(
    programs: str, service: Service, instance: Instance
) -> None:
    """After a stop and a continue it waits on the same callback, without registering again."""
    async with registered(service, instance):
        (url,) = instance.callback_urls
        instance.kill()
        for state, line in (("stopping", STOPPING), ("running", RUNNING)):
            async with running(line, programs, INSTANCE=instance.url) as process:
                assert await asyncio.wait_for(process.wait(), 20) == 0
            assert instance.state == state
        assert instance.callback_urls == [url]
        await service.submit(1)
        await instance.until(lambda: not instance.callback_urls)


# ---- what each answer means


@pytest.fixture
async def dispatcher() -> AsyncIterator[stand_in.Service]:
    """A service with prepared answers."""
    service = stand_in.Service()
    await service.start()
    yield service
    await service.stop()


ANSWERS = dict(re.findall(r"^\| `(\d{3})[^|]*\| (.*?) \|$", GUIDE, re.MULTILINE))


async def test_an_order_that_waited_is_in_the_answer(service: Service, instance: Instance) -> None:
    """200: the activity ends at once."""
    await service.submit(1)
    result = await instance.call(service.base_url + "register-worker")
    assert result.value["Job"]["data"] == 1  # type: ignore[index]
    assert ANSWERS["200"].startswith("ends immediately")


async def test_a_registration_waits(service: Service, instance: Instance) -> None:
    """202: the job comes by PUT to the callback."""
    async with registered(service, instance):
        assert not instance.puts
        await service.submit(1)
        await instance.until(lambda: bool(instance.puts))
    assert ANSWERS["202"].startswith("waits; the order comes by `PUT`")


@pytest.mark.parametrize(
    ("status", "settings", "callback", "query"),
    [
        (400, {}, "no address", ""),
        (403, {}, "http://169.254.169.254/", ""),
        (401, {"worker_tokens": ("a-token-of-workers",)}, CALLBACK, "?token=wrong-token"),
        (503, {"max_workers": 1}, CALLBACK, ""),
    ],
)
async def test_refused_registrations(
    status: int, settings: dict[str, object], callback: str, query: str
) -> None:
    """400, 401, 403 and 503, for the reasons in the guide."""
    async with running_service(**settings) as service:
        if status == 503:
            await register(service, CALLBACK.replace("/4/", "/5/"))
        answer = await register(service, callback)
    assert answer.status == status
    assert f"`{status}`" in GUIDE


@pytest.mark.parametrize("status", [400, 401, 403, 503])
async def test_a_call_that_failed_stops_the_instance(
    dispatcher: stand_in.Service, instance: Instance, status: int
) -> None:
    """Without rescue code the instance stops, and the call is not repeated."""
    dispatcher.answers = [b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status]
    with pytest.raises(CallFailed):
        await instance.call(dispatcher.url)
    assert (instance.state, len(dispatcher.requests)) == ("stopped", 1)


async def test_a_host_without_a_dot_stops_the_instance(instance: Instance) -> None:
    """The instance stops before calling."""
    with pytest.raises(CallFailed, match="has no dot"):
        await instance.call("http://dispatcher:2567/register-worker")
    assert instance.state == "stopped"


def test_what_the_guide_quotes_of_the_models() -> None:
    """The guide's lines of Ruby and XML are in the examples."""
    report = (ROOT / "examples/cpee/report.xml").read_text()
    quoted = re.findall(r"```(?:ruby|xml)\n(.*?)\n```", GUIDE, re.DOTALL)
    assert len(quoted) == 4
    assert [line for line in quoted if line not in report] == []


def test_the_folders_are_named_as_the_guide_says() -> None:
    """The folder is named by the whole endpoint with its query, URL-escaped."""
    folder = re.search(r"`(http-post%3A[^`]*)`", GUIDE)
    assert folder is not None
    assert (ROOT / "examples/cpee/resources" / folder[1]).is_dir()

"""The commands for clients, as processes, against the real server."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sanic_dispatch.client import DispatchClient
from sanic_dispatch.simulation import Engine, Robot, RobotModel
from tests.support.commands import ended, line_of, on_a_terminal, run, run_here, start
from tests.support.server import Service, free_port, running_service
from tests.support.tablet import tablet

TOKEN = "an-operator-of-the-tests"


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running_service(operator_tokens=(TOKEN,)) as service:
        yield service


@asynccontextmanager
async def robot_at(service: Service) -> AsyncIterator[Robot]:
    """Start one robot that mixes in no time."""
    async with Engine() as engine:
        model = RobotModel(service.base_url, mix_s=0.01, pause_s=0.01)
        robot = Robot(engine.start_instance(), model)
        working = asyncio.create_task(robot.run())
        yield robot
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


# ---- submit


async def test_submit_from_argument_file_and_stdin(service: Service, tmp_path: Path) -> None:
    """Argument, file and standard input submit the same bytes."""
    (tmp_path / "order.json").write_bytes(b'{ "drink" : "mojito" }\n')
    env = {"SANIC_DISPATCH_URL": service.base_url}
    for n, done in enumerate(
        [
            await run_here("submit", '{ "drink" : "mojito" }', env=env),
            await run_here("submit", "--file", str(tmp_path / "order.json"), env=env),
            await run_here("submit", "-", stdin=b'{ "drink" : "mojito" }', env=env),
            await run("submit", "-f", "-", stdin=b'{ "drink" : "mojito" }', env=env),
        ],
        1,
    ):
        assert (done.code, done.err) == (0, "")
        assert done.out.startswith(f"waiting, position {n}, id ")


async def test_submit_as_json(service: Service) -> None:
    """--json prints one object, whose id can be looked up."""
    done = await run_here("submit", "7", "--json", "--url", service.base_url)
    (said,) = done.lines
    assert (said["state"], said["position"]) == ("waiting", 1)
    assert (await service.job(said["id"]))["ticket"] == 1


async def test_submit_and_follow(service: Service) -> None:
    """--follow prints each step, and exits with 0 when the order is done."""
    async with robot_at(service):
        done = await run("submit", '{"name": "Ada"}', "--follow", "--url", service.base_url)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[-1] == "order 1: done"


async def test_submit_and_follow_with_an_estimate(service: Service) -> None:
    """It says in minutes when the order will be ready."""
    async with Engine() as engine:
        instance = engine.start_instance()
        for _ in range(6):
            await service.submit(1)
            await instance.call(service.base_url + "register-worker")
        process = await start("submit", "1", "--follow", "--url", service.base_url)
        line = await line_of(process.stdout, lambda line: "ready in" in line)
        process.send_signal(signal.SIGINT)
        await ended(process)
    assert line.endswith(", ready in 1 min\n")


async def test_submit_and_follow_as_json(service: Service) -> None:
    """With --json each step is an object that begins with the id."""
    async with robot_at(service):
        done = await run("submit", '{"name": "Ada"}', "-F", "--json", "--url", service.base_url)
    assert {line["id"] for line in done.lines} == {done.lines[0]["id"]}
    assert (done.lines[-1]["state"], done.lines[-1]["name"]) == ("done", "Ada")


async def test_submit_and_follow_a_cancelled_order(service: Service) -> None:
    """An order that is cancelled exits with 1."""
    process = await start("submit", "1", "--follow", "--json", "--url", service.base_url)
    job_id = json.loads(await line_of(process.stdout, lambda line: "id" in line))["id"]
    await line_of(process.stdout, lambda line: "ahead" in line)
    async with service.http.delete(f"{service.base_url}jobs/{job_id}") as response:
        assert response.status == 204
    done = await ended(process)
    assert (done.code, done.lines[-1]["state"]) == (1, "cancelled")


async def test_the_same_key_is_the_same_job(service: Service) -> None:
    """Repeated with the same --key it is the same job."""
    command = ("submit", "1", "--json", "--idempotency-key", "table-7", "--url", service.base_url)
    first, second = await run_here(*command), await run_here(*command)
    assert first.lines[0]["id"] == second.lines[0]["id"]


async def test_submit_with_a_priority() -> None:
    """A token for it is needed; the order is served before others."""
    values = {"priorities": True, "priority_tokens": ("a-token-of-the-staff",)}
    async with running_service(**values) as service:
        await service.submit(1)
        command = ("submit", "2", "--json", "--priority", "0", "--url", service.base_url)
        done = await run_here(*command, "--token", "a-token-of-the-staff")
        job = await service.job(done.lines[0]["id"])
    assert (job["priority"], job["position"]) == (0, 1)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "Give a job: as the argument, with --file, or - for standard input."),
        (["1", "--file", "-"], 2, "Give a job"),
        (["{drink: mojito}"], 2, "not JSON"),
        (["NaN"], 2, "NaN"),
        (["1", "--priority", "8"], 2, "8 is not in the range 0<=x<=7"),
        (["1", "--url", "localhost:2567"], 2, "does not begin with http:// or https://."),
        (["1", "--url", "http://"], 2, "'http://' has no host."),
        (["1", "--url", "http://bar.example:99999/"], 2, "Port out of range"),
        (["1", "--url", "http://[::1/", "--topic", "roof"], 2, "Invalid IPv6 URL"),
        (["1", "--url", "http://bar..example/"], 2, "label empty"),
        (["1", "--token", "from-windows\r"], 2, "the token has a line break"),
        (["1", "--idempotency-key", "table 7\n"], 2, "the key has a line break"),
        (["1", "--url", "http://ada:pw@bar.example/", "--token", "t"], 2, "a user name in the URL"),
        (["--file", "/no/such/file"], 2, "No such file"),
    ],
)
async def test_wrong_usage(arguments: list[str], code: int, words: str) -> None:
    """Wrong usage is refused before anything is sent, with exit code 2."""
    done = await run_here("submit", *arguments)
    assert (done.code, done.out) == (code, "")
    assert words in done.err


async def test_submit_to_an_unreachable_dispatcher() -> None:
    """An unreachable dispatcher is one line, and exit code 3."""
    url = f"http://127.0.0.1:{free_port()}/"
    done = await run_here("submit", "1", "--url", url)
    assert (done.code, done.out) == (3, "")
    assert done.err == f"sanic-dispatch: {url}: connection refused\n"


async def test_submit_waits_as_long_as_the_dispatcher(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is awaited for longer than others, since --submit-wait may be an hour."""
    monkeypatch.setitem(DispatchClient.__init__.__kwdefaults__, "timeout_s", 0.2)
    async with running_service(callback_timeout_s=0.5) as service, tablet(service) as worker:
        await worker.ok(register={"worker": "slow-1"})  # and it never accepts
        done = await run_here("submit", "1", "--url", service.base_url)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("waiting, position 1, id ")


async def test_submit_is_refused() -> None:
    """What the service refuses is one line and exit code 1; with the token it succeeds."""
    async with running_service(submit_tokens=("a-customer-of-the-tests",)) as service:
        done = await run_here("submit", "1", "--url", service.base_url)
        assert done.code == 1
        assert done.err.startswith("sanic-dispatch: ")
        assert done.err.endswith("(401)\n")
        env = {"SANIC_DISPATCH_TOKEN": "a-customer-of-the-tests"}
        assert (await run_here("submit", "1", "--url", service.base_url, env=env)).code == 0


# ---- watch


async def test_watch_as_lines(service: Service) -> None:
    """Without a terminal each change is a JSON line; Ctrl-C exits with 0."""
    process = await start("watch", "--url", service.base_url)
    await line_of(process.stdout, lambda line: json.loads(line)["key"] == "bar")
    await service.submit({"drink": "mojito"})
    line = json.loads(await line_of(process.stdout, lambda line: "order/1" in line))
    assert (line["value"]["drink"], sorted(line)) == ("mojito", ["at", "key", "now", "value"])
    process.send_signal(signal.SIGINT)
    done = await ended(process)
    assert (done.code, done.err) == (0, "")


async def test_watch_the_monitor_and_an_order(service: Service) -> None:
    """The monitor needs the operator's token, an order its secret id."""
    job_id = (await service.submit({"name": "Ada"}))[2]
    for arguments in (("--view", "monitor", "--token", TOKEN), ("--order", job_id)):
        process = await start("watch", *arguments, "--url", service.base_url)
        await line_of(process.stdout, lambda line: '"name":"Ada"' in line)
        process.send_signal(signal.SIGTERM)
        assert (await ended(process)).code == 0


@pytest.mark.parametrize(
    ("arguments", "end"), [(["--view", "monitor"], "(401)\n"), (["--order", "f" * 32], "(404)\n")]
)
async def test_watch_is_refused(service: Service, arguments: list[str], end: str) -> None:
    """A view that the service refuses is one line, and exit code 1."""
    done = await run("watch", *arguments, "--url", service.base_url)
    assert (done.code, done.out) == (1, "")
    assert done.err.endswith(end)


async def test_watch_retries(service: Service) -> None:
    """While the dispatcher is unreachable, it says so and keeps trying."""
    process = await start("watch", "--url", f"http://127.0.0.1:{free_port()}/")
    line = await line_of(process.stderr, bool)
    assert line.startswith("sanic-dispatch: cut off: connection refused; trying again in 0.")
    process.send_signal(signal.SIGINT)
    assert (await ended(process)).code == 0


async def test_watch_on_a_terminal(service: Service) -> None:
    """On a terminal it is a table, until Ctrl-C."""
    await service.submit({"drink": "Caipirinha"})
    async with on_a_terminal("watch", "--url", service.base_url) as (process, until):
        await until(b"Caipirinha")
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 20) == 0


# ---- help

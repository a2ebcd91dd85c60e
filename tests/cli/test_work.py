"""``sanic-dispatch work``: simulated robots as a process, against the real server."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator

import pytest
from click.testing import CliRunner

from sanic_dispatch.cli.main import cli
from tests.support.commands import ended, line_of, on_a_terminal, start
from tests.support.server import Service, eventually, free_port, running_service


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running_service() as service:
        yield service


async def test_work(service: Service) -> None:
    """Robots register, mix the waiting orders, and stop at Ctrl-C."""
    process = await start("work", service.base_url, "-s", "0.01", "--label", "Bot", "-n", "2")
    try:
        job_id = (await service.submit({"drink": "mojito", "name": "Ada"}))[2]
        line = await line_of(process.stdout, lambda line: "is done" in line)
        assert line.split(" ", 1)[1] in [f"Bot {n} is done with mojito for Ada\n" for n in (1, 2)]
        async with asyncio.timeout(10):
            while (await service.job(job_id))["state"] != "done":
                await service.http.get(service.base_url + "health")
    finally:
        process.send_signal(signal.SIGINT)
    done = await ended(process)
    assert (done.code, done.err) == (0, "")


async def test_work_with_a_rule(service: Service) -> None:
    """Its robots get only what they make; conditions go into their registrations."""
    await service.submit({"drink": "beer"})
    await service.submit({"drink": "gin|tonic", "size": "s"})
    rule = ("--match", "drink=mojito|gin||tonic", "--not", "size=xl", "--not", "name=Eve")
    process = await start("work", service.base_url, "-s", "0.01", "-n", "1", *rule)
    line = await line_of(process.stdout, lambda line: "is done" in line)
    assert "gin|tonic" in line
    normal_form = "match.drink=gin||tonic|mojito&not.name=Eve&not.size=xl"

    async def waits_again() -> bool:
        workers = await service.app.ctx.dispatcher.queries.workers()
        return [worker.rule for worker in workers] == [normal_form]

    await eventually(waits_again)
    process.send_signal(signal.SIGINT)
    assert (await ended(process)).code == 0


async def test_work_leaves_nobody_in_line() -> None:
    """Once it has ended no order is sent to a robot of it."""
    async with running_service(worker_tokens=("worker-token-1",)) as service:
        process = await start("work", f"{service.base_url}?token=worker-token-1", "-n", "3")
        workers = service.app.ctx.dispatcher.queries.workers

        async def all_wait() -> bool:
            return len(await workers()) == 3

        await eventually(all_wait, 20)
        process.send_signal(signal.SIGINT)
        done = await ended(process)
        assert (done.code, done.err) == (0, "")
        assert await workers() == []


@pytest.mark.parametrize("channel", ["websocket", "poll"])
async def test_work_without_an_address(service: Service, channel: str) -> None:
    """Robots come by websocket or poll, keep to their rule, and give back what they do not end."""
    others = [{"drink": "beer"}, *({"drink": "mojito", "size": size} for size in ("l", "xl"))]
    not_its = [(await service.submit(one))[2] for one in others]
    ids = [(await service.submit({"drink": "gin|tonic", "size": "s"}))[2] for _ in range(2)]
    rule = ("--match", "drink=mojito|gin||tonic", "--not", "size=xl", "--not", "size=l")
    work = ("work", service.base_url, "--channel", channel, "-n", "1", *rule)
    process = await start(*work, "-s", "0.01")
    for _ in ids:
        await line_of(process.stdout, lambda line: "Robot 1 is done with gin|tonic" in line)
    process.send_signal(signal.SIGINT)
    assert (await ended(process)).code == 0
    assert [(await service.job(one))["state"] for one in ids] == ["done", "done"]
    assert [(await service.job(one))["state"] for one in not_its] == ["waiting"] * 3
    _, _, left = await service.submit({"drink": "mojito"})
    process = await start(*work, "-s", "600")
    await line_of(process.stdout, lambda line: "mixes mojito" in line)
    process.send_signal(signal.SIGTERM)
    assert (await ended(process)).code == 0
    assert (await service.job(left))["state"] == "waiting"


@pytest.mark.parametrize("channel", ["websocket", "poll"])
async def test_work_without_an_address_waits_for_the_dispatcher(channel: str) -> None:
    """It says why it waits."""
    process = await start("work", f"http://127.0.0.1:{free_port()}/", "--channel", channel)
    await line_of(process.stdout, lambda line: "cannot reach it:" in line)
    process.send_signal(signal.SIGINT)
    assert (await ended(process)).code == 0


@pytest.mark.parametrize("channel", ["websocket", "poll"])
async def test_work_without_an_address_and_with_a_wrong_token(channel: str) -> None:
    """It prints the refusal, and does not try again; the token is in the query."""
    async with running_service(worker_tokens=("worker-token-1",)) as service:
        for token, code in (("wrong", 1), ("worker-token-1", 0)):
            url = f"{service.base_url}?token={token}"
            process = await start("work", url, "--channel", channel, "-n", "1", "-s", "0.01")
            if code == 0:
                await service.submit("one")
                await line_of(process.stdout, lambda line: "is done" in line)
                process.send_signal(signal.SIGINT)
            assert (await ended(process)).code == code


async def test_work_on_a_terminal(service: Service) -> None:
    """On a terminal there is a line for each robot."""
    async with on_a_terminal("work", service.base_url, "-s", "0.01") as (process, until):
        await until(b"Robot 2")
        await until(b"waits")
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 20) == 0


async def test_work_with_mishaps(service: Service) -> None:
    """Robots that refuse, hang or are stopped say so."""
    rates = ("--fail-rate", "0.5", "--hang-rate", "0.5", "--stop-rate", "1", "--seed", "1")
    process = await start("work", service.base_url, "-s", "0.01", *rates)
    await line_of(process.stdout, lambda line: "is stopped" in line)
    await line_of(process.stdout, lambda line: "is continued" in line)
    process.send_signal(signal.SIGTERM)
    assert (await ended(process)).code == 0


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        ("--kill-rate", ["is killed", "is repaired"]),
        ("--delete-rate", ["is deleted, and started again"]),
        ("--busy-rate", ["sleeps in its code"]),
    ],
)
async def test_work_with_engine_faults(service: Service, rate: str, words: list[str]) -> None:
    """Instances die, are replaced, and block the evaluator, as the options say."""
    process = await start("work", service.base_url, "-s", "0.01", rate, "1")
    for word in words:
        await line_of(process.stdout, lambda line, word=word: word in line)
    process.send_signal(signal.SIGTERM)
    assert (await ended(process)).code == 0


async def test_work_waits_for_the_dispatcher() -> None:
    """Robots wait for a dispatcher that is not started yet; a variable can have its address."""
    env = {"SANIC_DISPATCH_URL": f"http://127.0.0.1:{free_port()}/", "TERM": "xterm"}
    process = await start("work", "-n", "1", env=env)
    line = await line_of(process.stdout, bool)
    assert "Robot 1 cannot register: connection refused" in line
    process.send_signal(signal.SIGINT)
    assert (await ended(process)).code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--fail-rate", "1.1"], "is not in the range 0<=x<=1"),
        (["--fail-rate", "0.6", "--hang-rate", "0.6"], "together are more than 1"),
        (["--stop-rate", "0.6", "--kill-rate", "0.6"], "together are more than 1"),
        (["--seconds", "nan"], "'nan' is no number"),
        (["--stop-rate", "NaN"], "'nan' is no number"),
        (["--count", "0"], "is not in the range"),
        (["--match", "mojito"], "'mojito' is not like drink=mojito"),
        (["--not", "=x"], "not. names no member"),
        (["--channel", "poll", "--fail-rate", "0.1"], "are for --channel callback"),
        (["--channel", "post"], "is not one of"),
        (["bar.example"], "does not begin with http:// or https://"),
        (["http://bar.example/?token=from-windows%0D"], "the token has a line break"),
        (["--label", "Ada\nLovelace"], "the label has a line break"),
    ],
)
def test_work_refuses_wrong_usage(arguments: list[str], words: str) -> None:
    """Wrong usage exits with 2."""
    done = CliRunner().invoke(cli, ["work", *arguments])
    assert done.exit_code == 2
    assert words in " ".join(done.stderr.split())

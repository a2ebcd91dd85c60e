"""Workers that poll, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sanic_dispatch.core.job import State
from tests.support.http_requests import CALLBACK, Answer, address_of, ask, send_raw
from tests.support.server import Service, eventually, running_service

NAME = {"Worker-Id": "shell-1"}


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running_service() as service:
        yield service


async def poll(service: Service, wait: str = "5", query: str = "", **options: Any) -> Answer:
    headers = NAME | options.pop("headers", {})
    path = f"register-worker?wait={wait}{query}"
    return await ask(service, "POST", path, headers=headers, **options)


def polling(service: Service, *arguments: Any, **options: Any) -> asyncio.Task[Answer]:
    return asyncio.create_task(poll(service, *arguments, **options))


def request_of(name: str) -> bytes:
    """Return the bytes of a poll for a minute."""
    head = f"POST /register-worker?wait=60 HTTP/1.1\r\nHost: x\r\nWorker-Id: {name}\r\n\r\n"
    return head.encode()


async def waits(service: Service, name: str = "poll:shell-1") -> None:
    """Return once a worker is reached by a poll."""
    workers = service.app.ctx.dispatcher._machine.tables.workers

    async def is_present() -> bool:
        return name in workers.connection_of and workers.get(name) is not None

    await eventually(is_present)


async def test_a_poll_waits_for_a_job(service: Service) -> None:
    """200 with the job and its receipt; the order was taken."""
    answer = polling(service)
    await waits(service)
    assert (await service.submit({"drink": "mojito"}))[:2] == (200, "Assigned")
    status, body, headers, _ = await answer
    assert (status, body["Job"]["data"]) == (200, {"drink": "mojito"})
    assert len(headers["Job-Receipt"]) == 32


async def test_a_poll_never_finishes_a_job(service: Service) -> None:
    """The same 200 again, at once, until the worker has reported; then the next job."""
    for data in (1, 2):
        asyncio.ensure_future(service.submit(data))
    first = await poll(service)
    for _ in range(2):
        again = await poll(service)
        assert again.raw == first.raw
        assert again.headers["Job-Receipt"] == first.headers["Job-Receipt"]
    job_id = first.body["Job"]["id"]
    receipt = {"Job-Receipt": first.headers["Job-Receipt"]}
    assert (await ask(service, "POST", f"jobs/{job_id}/complete", headers=receipt)).status == 200
    assert (await poll(service)).body["Job"]["data"] == 2


async def test_a_poll_without_a_job(service: Service) -> None:
    """204; the worker keeps its place until its next poll."""
    for wait in ("0", "0.05"):
        answer = await poll(service, wait)
        assert (answer.status, answer.raw) == (204, b"")
    workers = await service.app.ctx.dispatcher.queries.workers()
    assert [each.id for each in workers] == ["poll:shell-1"]


async def test_a_rule_and_a_label(service: Service) -> None:
    """As of any registration, in the query or in a form."""
    answer = polling(service, query="&match.drink=gin", data={"not.size": "xl"},
                     headers={"CPEE-LABEL": "Shell"})  # fmt: skip
    await waits(service)
    (worker,) = await service.app.ctx.dispatcher.queries.workers()
    assert (worker.rule, worker.label) == ("match.drink=gin&not.size=xl", "Shell")
    await service.submit({"drink": "gin"})
    assert (await answer).status == 200


@pytest.mark.parametrize("wait", ["", "x", "-1", "60.1", "1e1", "nan"])
async def test_a_wait_that_is_none(service: Service, wait: str) -> None:
    """400, with what is allowed."""
    answer = await poll(service, wait)
    assert (answer.status, answer.body["Error"]) == (400, "InvalidRequest")
    assert "from 0 to 60" in answer.body["detail"]


@pytest.mark.parametrize(
    ("query", "headers", "error"),
    [
        ("", NAME, "InvalidRequest"),
        ("?wait=1", {"Worker-Id": ""}, "InvalidRequest"),
        ("?wait=1", {"Worker-Id": "x" * 101}, "InvalidRequest"),
        ("?wait=1", {"Worker-Id": "a b"}, "InvalidRequest"),
        ("?wait=1", {}, "Missing"),
        ("?wait=1&match.=x", NAME, "InvalidMatch"),
    ],
)
async def test_a_poll_that_is_refused(
    service: Service, query: str, headers: dict[str, str], error: str
) -> None:
    """400."""
    answer = await ask(service, "POST", f"register-worker{query}", headers=headers)
    assert (answer.status, answer.body["Error"]) == (400, error)


async def test_a_callback_comes_before_the_name(service: Service) -> None:
    """With a callback it is a registration as ever."""
    answer = await poll(service, headers={"CPEE-CALLBACK": CALLBACK})
    assert (answer.status, answer.body) == (202, "Queued")


async def test_another_poll_of_the_name_takes_over(service: Service) -> None:
    """The first one ends with 204."""
    first = polling(service)
    await waits(service)
    second = polling(service)
    assert (await first).status == 204
    await service.submit(1)
    assert (await second).status == 200


async def test_a_client_that_goes_away(service: Service) -> None:
    """Its worker is passed over at once, and its place is kept; the next poll has it."""
    _, writer = await asyncio.open_connection(*address_of(service))
    writer.write(request_of("shell-1"))
    await waits(service)
    other = polling(service, headers={"Worker-Id": "shell-2"})
    await waits(service, "poll:shell-2")
    writer.transport.abort()
    tables = service.app.ctx.dispatcher._machine.tables

    async def has_left() -> bool:
        return "poll:shell-1" not in tables.workers.connection_of

    await eventually(has_left)
    await service.submit(1)
    assert (await other).status == 200
    assert [each.id for each in await service.app.ctx.dispatcher.queries.workers()] == [
        "poll:shell-1"
    ]
    assert not service.app.ctx.worker_connections._polls


async def test_a_client_that_goes_away_as_its_job_comes(service: Service) -> None:
    """The job is not lost: it waits, or the worker has it and gets it again."""
    for number in range(20):
        _, writer = await asyncio.open_connection(*address_of(service))
        name = f"w{number}"
        writer.write(request_of(name))
        await waits(service, f"poll:{name}")
        submitting = asyncio.create_task(service.submit(number))
        for _ in range(number % 5):
            await asyncio.sleep(0)
        writer.transport.abort()
        again = await poll(service, "10", headers={"Worker-Id": name})
        assert (again.status, again.body["Job"]["data"]) == (200, number)
        await submitting
        job_id = again.body["Job"]["id"]
        receipt = {"Job-Receipt": again.headers["Job-Receipt"]}
        await ask(service, "POST", f"jobs/{job_id}/complete", headers=receipt)


async def test_polls_end_at_the_stop() -> None:
    """With 204, long before their time."""
    async with running_service() as service:
        answer = asyncio.create_task(send_raw(service, request_of("shell-1"), 30))
        await waits(service)
    assert (await answer).startswith(b"HTTP/1.1 204 ")


async def test_withdrawing_by_name(service: Service) -> None:
    """204 once; 409 while it has a job."""
    await poll(service, "0")
    assert (await ask(service, "DELETE", "register-worker", headers=NAME)).status == 204
    assert (await ask(service, "DELETE", "register-worker", headers=NAME)).status == 404
    answer = polling(service)
    await waits(service)
    await service.submit(1)
    await answer
    refused = await ask(service, "DELETE", "register-worker", headers=NAME)
    assert (refused.status, refused.body["job"]["ticket"]) == (409, 1)


async def test_operators_act_on_it_by_its_id() -> None:
    """Aside, back, drop; its name proves that it is the holder."""
    async with running_service(operator_tokens=("an-operator",)) as service:

        async def act(name: str) -> int:
            body = {"callback": "poll:shell-1"}
            path = f"operator/workers/{name}"
            return (await ask(service, "POST", path, "an-operator", json=body)).status

        answer = polling(service)
        await waits(service)
        assert await act("aside") == 200
        asyncio.ensure_future(service.submit(1))
        assert await act("back") == 200
        job_id = (await answer).body["Job"]["id"]
        proof = {"CPEE-CALLBACK": "poll:shell-1"}
        done = await ask(service, "POST", f"jobs/{job_id}/complete", headers=proof)
        assert done.body["state"] == State.DONE
        await poll(service, "0")
        assert await act("drop") == 200
        assert await service.app.ctx.dispatcher.queries.workers() == []

"""POST /register-worker, literally, with engines that behave like CPEE."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sanic_dispatch.simulation import Engine, Instance
from tests.support.http_requests import register
from tests.support.server import Service, eventually, running_service

CALLBACK = "http://127.0.0.1:1/4/callbacks/5480964890e4a865b1cee2b2fe93f45a/"


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running_service() as service:
        yield service


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with Engine() as engine:
        yield engine


@pytest.mark.parametrize(
    ("headers", "media_type", "body"),
    [
        ({}, "application/json", b'"Queued"'),
        ({"CPEE-ACTIVITY": "a1"}, "application/json", b'"Queued"'),
        ({"CPEE-INSTANCE-UUID": "b0bc965b", "CPEE-ACTIVITY": "a1"}, "text/plain", b""),
        ({"CPEE-INSTANCE-UUID": "b0bc965b"}, "text/plain", b""),
    ],
)
async def test_without_jobs_the_worker_waits(
    service: Service, headers: dict[str, str], media_type: str, body: bytes
) -> None:
    """202 with the header that makes an engine wait; a process instance gets no body."""
    headers = {**headers, "CPEE-CALLBACK": CALLBACK}
    for _ in range(2):  # a repeat gets the same answer
        async with service.http.post(
            service.base_url + "register-worker", headers=headers
        ) as response:
            assert response.status == 202
            assert response.content_type == media_type
            assert await response.read() == body
            assert response.headers["Content-Length"] == str(len(body))
            assert response.headers["CPEE-CALLBACK"] == "true"


async def test_with_a_job_it_is_in_the_answer(service: Service) -> None:
    """200 {"Job":{"id","data","submitted_at"}}, with the data as it was sent."""
    body = b'{ "drink" : "mojito" , "n": 1.0 }'
    await service.http.post(
        service.base_url + "submit-job", data=body, headers={"Content-Type": "application/json"}
    )
    async with service.http.post(
        service.base_url + "register-worker", headers={"CPEE-CALLBACK": CALLBACK}
    ) as response:
        assert response.status == 200
        assert response.content_type == "application/json"
        assert "CPEE-CALLBACK" not in response.headers
        answer = await response.read()
        assert b'"data":' + body + b',"submitted_at":"' in answer
        assert list((await response.json())["Job"]) == ["id", "data", "submitted_at"]


@pytest.mark.parametrize(
    ("callback", "error"),
    [
        (None, "Missing"),
        ("", "NotAUrl"),
        ("http://b\u00fc.example/", "NotAString"),
        ("http://a b/", "NotAString"),
        ("nonsense", "NotAUrl"),
        ("/relative", "NotAUrl"),
        ("http://", "NotAUrl"),
        ("http://host:99999/", "NotAUrl"),
    ],
)
async def test_a_wrong_callback_gets_the_originals_words(
    service: Service, callback: str | None, error: str
) -> None:
    """400 with "Error": Missing, NotAString or NotAUrl."""
    headers = {} if callback is None else {"CPEE-CALLBACK": callback}
    async with service.http.post(service.base_url + "register-worker", headers=headers) as response:
        assert response.status == 400
        assert (await response.json(content_type="application/problem+json"))["Error"] == error


@pytest.mark.parametrize("callback", ["ftp://host/", "http://169.254.169.254/", "http://u:p@host/"])
async def test_a_forbidden_callback_is_not_allowed(service: Service, callback: str) -> None:
    """403 with "NotAllowed" if the address guard refuses it."""
    async with service.http.post(
        service.base_url + "register-worker", headers={"CPEE-CALLBACK": callback}
    ) as response:
        assert response.status == 403
        problem = await response.json(content_type="application/problem+json")
        assert problem["Error"] == "NotAllowed"


@pytest.mark.parametrize(
    ("info", "name"),
    [("Ada", "Ada"), (None, "Get an order"), ("", "Get an order"), (" \u200b", "Get an order")],
)
async def test_the_label_of_a_worker(service: Service, info: str | None, name: str) -> None:
    """The process's attribute ``info``, or the activity's label if there is no visible one."""
    headers = {"CPEE_LABEL": "Get an order", **({} if info is None else {"CPEE_ATTR_INFO": info})}
    await register(service, **headers)
    (worker,) = await service.app.ctx.dispatcher.queries.workers()
    assert worker.label == name


def call(service: Service, instance: Instance, query: str = "") -> asyncio.Task[Any]:
    """Let an instance make its call, as a process model does."""
    return asyncio.create_task(instance.call(service.base_url + "register-worker" + query))


async def test_an_order_goes_to_the_waiting_instance(service: Service, engine: Engine) -> None:
    """Register, submit, PUT: the instance's result is the job."""
    calling = call(service, instance := engine.start_instance())
    await instance.until(lambda: instance.waiting)
    status, body, job_id = await service.submit({"drink": "mojito"})
    assert (status, body) == (200, "Assigned")
    result = (await calling).value
    assert result["Job"]["data"] == {"drink": "mojito"}
    assert result["Job"]["id"] == job_id


async def test_stop_and_continue(service: Service, engine: Engine) -> None:
    """A robot that was stopped gets its next order once it is continued."""
    calling = call(service, instance := engine.start_instance())
    await instance.until(lambda: instance.waiting)
    instance.stop()
    status, body, job_id = await service.submit(1)
    assert (status, body) == (202, {"Queued": {"position": 1}})
    instance.resume()
    assert (await calling).value["Job"]["id"] == job_id


async def test_the_next_registration_means_done(service: Service, engine: Engine) -> None:
    """The states are waiting, assigned, done."""
    _, _, job_id = await service.submit(1)
    instance = engine.start_instance()
    await call(service, instance)
    assert (await service.job(job_id))["state"] == "assigned"
    calling = call(service, instance)
    await instance.until(lambda: instance.waiting)
    assert (await service.job(job_id))["state"] == "done"
    calling.cancel()


async def test_a_lost_answer_is_given_again(service: Service, engine: Engine) -> None:
    """?lost from the model's rescue code brings the same job."""
    _, _, job_id = await service.submit(1)
    instance = engine.start_instance()
    first = await call(service, instance)
    second = await call(service, instance, "?lost")
    assert first.value["Job"]["id"] == second.value["Job"]["id"] == job_id


async def test_a_client_that_resets_before_the_answer_loses_no_job(service: Service) -> None:
    """In the original that lost the job."""
    host, port = service.base_url.removeprefix("http://").strip("/").split(":")
    await service.submit("precious")
    for n in range(20):
        _, writer = await asyncio.open_connection(host, int(port))
        callback = CALLBACK.replace("5480", f"{n:04}")
        writer.write(
            b"POST /register-worker HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n"
            b"CPEE-INSTANCE-UUID: i%d\r\nCPEE-ACTIVITY: a1\r\nCPEE-CALLBACK: %b\r\n\r\n"
            % (n, callback.encode())
        )
        writer.transport.abort()

    async def is_there() -> bool:
        return bool(service.app.ctx.dispatcher.snapshot().jobs)

    await eventually(is_there)

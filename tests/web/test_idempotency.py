"""The Idempotency-Key header."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sanic_dispatch.config.settings import Mode
from tests.support.http_requests import Answer, ask, register
from tests.support.redis import redis_values
from tests.support.server import Service, running_service

UUID = "8e03978e-40d5-43e8-bc93-6894a57f9324"


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running_service(submit_wait_s=0.2) as service:
        yield service


async def submit(service: Service, key: str, body: object = 1) -> Answer:
    headers = {"Idempotency-Key": key}
    return await ask(service, "POST", "submit-job", json=body, headers=headers)


async def test_the_same_key_and_body_are_one_job(service: Service) -> None:
    """The same answer and Location, quoted as in the draft or bare; without a key, two jobs."""
    first = await submit(service, f'"{UUID}"')
    for key in (f'"{UUID}"', UUID, f"  {UUID} "):
        again = await submit(service, key)
        assert (again.status, again.body) == (first.status, first.body) == (
            202, {"Queued": {"position": 1}},
        )  # fmt: skip
        assert again.headers["Location"] == first.headers["Location"]
    other = await ask(service, "POST", "submit-job", json=1)
    assert other.body == {"Queued": {"position": 2}}


async def test_a_repeat_has_the_present_state(service: Service) -> None:
    """A cancelled order waits at no place; an assigned or finished one is assigned."""
    first = await submit(service, UUID)
    await ask(service, "DELETE", first.headers["Location"])
    again = await submit(service, UUID)
    assert (again.status, again.body) == (202, {"Queued": {"position": 0}})
    assert again.headers["Location"] == first.headers["Location"]
    await submit(service, UUID[::-1])
    await register(service)
    assert (await submit(service, UUID[::-1])).body == "Assigned"


async def test_another_body_is_422(service: Service) -> None:
    """The first job is unchanged."""
    first = await submit(service, UUID, {"drink": "mojito"})
    answer = await submit(service, UUID, {"drink": "lemonade"})
    assert (answer.status, answer.body["Error"]) == (422, "IdempotencyMismatch")
    assert (await ask(service, "GET", first.headers["Location"])).body["position"] == 1


async def test_while_the_first_is_under_way_it_is_409(service: Service) -> None:
    """The first request waits for a worker's answer; its repeat does not."""
    asked, may_answer = asyncio.Event(), asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await may_answer.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(slow, "127.0.0.1", 0) as worker:
        await register(service, f"http://127.0.0.1:{worker.sockets[0].getsockname()[1]}/cb/")
        first = asyncio.create_task(submit(service, UUID))
        await asyncio.wait_for(asked.wait(), 5)
        answer = await submit(service, UUID)
        assert (answer.status, answer.body["Error"]) == (409, "StillUnderWay")
        may_answer.set()
        assert (await first).status == 200
    again = await submit(service, UUID)
    assert (again.status, again.body) == (200, "Assigned")
    assert again.headers["Location"] == (await first).headers["Location"]


@pytest.mark.parametrize(
    "key",
    ["", '""', '"', 'a"b', '"a', '"a"b', '"a";p=1', "a, b", '"a", "b"', r'"\a"', "a b", '"a b"',
     "\u00fc", '"\u00fc"', "x" * 256, f'"{"x" * 256}"'],
    ids=ascii,
)  # fmt: skip
async def test_a_malformed_key_is_400(service: Service, key: str) -> None:
    """Neither quoted nor bare, not visible ASCII, or too long: nothing is queued."""
    answer = await submit(service, key)
    assert (answer.status, answer.body["Error"]) == (400, "InvalidIdempotencyKey")
    assert (await ask(service, "POST", "submit-job", json=1)).body == {"Queued": {"position": 1}}


@pytest.mark.parametrize("key", ["x", "x" * 255, r'"a\"\\b"', '"' + "~" * 255 + '"'])
async def test_keys_of_all_kinds(service: Service, key: str) -> None:
    """Up to 255 characters; quotes and backslashes only escaped."""
    assert (await submit(service, key)).status == 202


async def test_two_keys_are_400(service: Service) -> None:
    """It would be unknown which of them counts."""
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "a")]
    url = service.base_url + "submit-job"
    async with service.http.post(url, json=1, headers=headers) as response:
        assert response.status == 400


async def test_order_of_the_checks() -> None:
    """JSON, idempotency key, queue full."""
    async with running_service(max_jobs=1) as service:
        headers = {"Idempotency-Key": '"', "Content-Type": "application/json"}
        answer = await ask(service, "POST", "submit-job", data=b"NaN", headers=headers)
        assert answer.body["Error"] == "InvalidJson"
        first = await submit(service, UUID)
        assert (await submit(service, '"')).body["Error"] == "InvalidIdempotencyKey"
        assert (await submit(service, "other")).body["Error"] == "QueueFull"
        again = await submit(service, UUID)
        assert again.headers["Location"] == first.headers["Location"]


@pytest.mark.parametrize("mode", [mode for mode in Mode if mode.is_durable])
async def test_ten_at_a_time_and_a_restart_are_one_job(mode: Mode, tmp_path: Path) -> None:
    """Ten concurrent submissions with one key, a restart, ten more: one job, one Location."""
    values = {"data_dir": tmp_path, **redis_values(mode, tmp_path)}
    locations: set[str] = set()
    for _ in range(2):
        async with running_service(mode=mode, **values) as service:
            answers = await asyncio.gather(*(submit(service, UUID, {"n": 1}) for _ in range(10)))
            assert {answer.status for answer in answers} <= {202, 409}
            locations |= {a.headers["Location"] for a in answers if a.status == 202}
            assert (await submit(service, UUID, {"n": 2})).status == 422
            following = await ask(service, "POST", "submit-job", json={"n": 3})
            await ask(service, "DELETE", following.headers["Location"])
            assert following.body == {"Queued": {"position": 2}}
    assert len(locations) == 1

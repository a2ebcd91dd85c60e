"""Complete, fail and extend: only whoever holds the job."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.kit.server import Service, running_service
from tests.web.asking import CALLBACK, Answer, ask, register

KEY = {"CPEE_INSTANCE_UUID": "b0bc965b", "CPEE_ACTIVITY": "a1"}
KEY_HEADERS = {"CPEE-INSTANCE-UUID": "b0bc965b", "CPEE-ACTIVITY": "a1"}


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running_service(lease_s=600.0, keep_done_s=3600.0) as service:
        yield service


async def held(service: Service) -> tuple[str, str]:
    """A job that the worker of KEY got in the answer: its id and its receipt."""
    _, _, job_id = await service.submit({"drink": "mojito"})
    answer = await register(service, **KEY)
    assert answer.body["Job"]["id"] == job_id
    return job_id, answer.headers["Job-Receipt"]


async def report(
    service: Service, job_id: str, act: str, headers: dict[str, str], **options: Any
) -> Answer:
    return await ask(service, "POST", f"jobs/{job_id}/{act}", headers=headers, **options)


@pytest.mark.parametrize("proof", ["callback", "key", "receipt"])
async def test_each_proof_is_enough(service: Service, proof: str) -> None:
    """The callback it got the job on, its key, or the receipt that came with the job."""
    job_id, receipt = await held(service)
    headers = {
        "callback": {"CPEE-CALLBACK": CALLBACK},
        "key": KEY_HEADERS,
        "receipt": {"Job-Receipt": receipt},
    }[proof]
    assert (await report(service, job_id, "extend", headers)).body["state"] == "assigned"
    answer = await report(service, job_id, "complete", headers, json={"glass": 7})
    assert (answer.status, answer.body["state"]) == (200, "done")
    assert (await report(service, job_id, "complete", headers)).status == 200


async def test_the_result_is_shown_to_the_byte(service: Service) -> None:
    """To whoever has the id, from then on."""
    job_id, receipt = await held(service)
    result = b'{"glass" : 9007199254740993, "note":"\xc3\xa4" }'
    headers = {"Job-Receipt": receipt, "Content-Type": "application/json"}
    done = await report(service, job_id, "complete", headers, data=result)
    looked_up = await ask(service, "GET", f"jobs/{job_id}")
    for answer in (done, looked_up):
        assert answer.raw.endswith(b',"result":%b}' % result)


async def test_the_reason_of_a_failure_is_shown(service: Service) -> None:
    """To whoever has the id."""
    job_id, _ = await held(service)
    await report(service, job_id, "fail", KEY_HEADERS, json={"reason": "no ice"})
    assert (await service.job(job_id))["reason"] == "no ice"


async def test_a_repeated_registration_has_the_same_receipt(service: Service) -> None:
    """Whichever of the answers arrived, what came with it proves who has the job."""
    job_id, receipt = await held(service)
    again = await register(service, **KEY)
    assert again.headers["Job-Receipt"] == receipt
    done = await report(service, job_id, "complete", {"Job-Receipt": receipt})
    assert done.body["state"] == "done"


async def test_a_report_without_a_body_leaves_no_trace_in_the_log(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    """Some clients say that they send one, and send nothing."""
    job_id, _ = await held(service)
    for _ in range(2):
        answer = await report(service, job_id, "extend", KEY_HEADERS, json={"seconds": 60})
        assert answer.status == 200
    assert not caplog.records


@pytest.mark.parametrize("act", ["complete", "fail", "extend"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"CPEE-CALLBACK": CALLBACK[:-1]},
        {"CPEE-INSTANCE-UUID": "b0bc965b"},
        {"CPEE-INSTANCE-UUID": "b0bc965b", "CPEE-ACTIVITY": "a2"},
        {"Job-Receipt": "0" * 32},
        {"Job-Receipt": ""},
        {"Job-Receipt": "\u00fc"},
        {"CPEE-CALLBACK": "\u00fc"},
    ],
)
async def test_anybody_else_gets_409(service: Service, act: str, headers: dict[str, str]) -> None:
    """The job's id alone is no proof; the answer says the state, and nothing changes."""
    job_id, _ = await held(service)
    answer = await report(service, job_id, act, headers)
    assert (answer.status, answer.body["Error"]) == (409, "NotTheHolder")
    assert answer.body["state"] == "assigned"
    assert (await service.job(job_id))["state"] == "assigned"


async def test_a_former_holder_gets_409(service: Service) -> None:
    """Once an operator has put the job back and another has it, the first one's word is void."""
    job_id, receipt = await held(service)
    await service.app.ctx.control.put_back(job_id, "test")
    answer = await register(service, CALLBACK.replace("/4/", "/5/"), CPEE_INSTANCE_UUID="other",
                            CPEE_ACTIVITY="a1")  # fmt: skip
    assert answer.body["Job"]["id"] == job_id
    for proof in (KEY_HEADERS, {"CPEE-CALLBACK": CALLBACK}, {"Job-Receipt": receipt}):
        assert (await report(service, job_id, "complete", proof)).status == 409


async def test_fail_and_retry(service: Service) -> None:
    """{"reason","retry"}: back to its place for another worker, or failed."""
    job_id, receipt = await held(service)
    headers = {"Job-Receipt": receipt}
    answer = await report(
        service, job_id, "fail", headers, json={"reason": "no ice", "retry": True}
    )
    assert (answer.status, answer.body["state"], answer.body["position"]) == (200, "waiting", 1)
    again = await register(service, CALLBACK.replace("/4/", "/5/"), **KEY)
    headers = {"Job-Receipt": again.headers["Job-Receipt"]}
    answer = await report(service, job_id, "fail", headers, json={"reason": "no ice"})
    assert (answer.status, answer.body["state"]) == (200, "failed")
    answer = await report(service, job_id, "complete", headers)
    assert (answer.status, answer.body["Error"], answer.body["state"]) == (
        409, "WrongState", "failed",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("act", "body", "media_type", "error"),
    [
        ("complete", b"NaN", "application/json", "InvalidJson"),
        ("complete", b"1", "text/plain", "UnsupportedMediaType"),
        ("complete", b"1" * (2 * 2**20 + 1), "application/json", "TooLarge"),
        ("fail", b"[]", "application/json", "InvalidRequest"),
        ("fail", b'{"reason":1}', "application/json", "InvalidRequest"),
        ("fail", b'{"reason":"a\\nb"}', "application/json", "InvalidRequest"),
        ("fail", b'{"retry":"yes"}', "application/json", "InvalidRequest"),
    ],
    ids=lambda value: repr(value)[:30],
)
async def test_a_report_that_cannot_be_read(
    service: Service, act: str, body: bytes, media_type: str, error: str
) -> None:
    """400, 413 or 415, and the job is as before."""
    job_id, receipt = await held(service)
    headers = {"Job-Receipt": receipt, "Content-Type": media_type}
    answer = await report(service, job_id, act, headers, data=body)
    assert answer.body["Error"] == error
    assert (await service.job(job_id))["state"] == "assigned"


async def test_the_receipt_comes_with_a_put_too(service: Service) -> None:
    """A worker that is called back gets the same proof, in a header of the PUT."""
    got: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.set_result(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as worker:
        port = worker.sockets[0].getsockname()[1]
        await register(service, f"http://127.0.0.1:{port}/cb/")
        _, _, job_id = await service.submit(1)
        receipt = re.search(rb"Job-Receipt: (\w+)", await got)
    assert receipt
    headers = {"Job-Receipt": receipt[1].decode()}
    assert (await report(service, job_id, "complete", headers)).body["state"] == "done"

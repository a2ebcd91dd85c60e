"""Complete, fail and extend: for the worker that holds the job only."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from unittest import TestCase
from urllib.parse import urlencode

import pytest

from sanic_dispatch.config.settings import Mode
from tests.support.http_requests import CALLBACK, Answer, ask, register
from tests.support.server import Service, eventually, running_service

TOKEN = "operator-token"
OTHER_CALLBACK = CALLBACK.replace("/4/", "/5/")
"""A callback at the number of another instance."""
NEW_CALLBACK = CALLBACK.replace("5480", "9999")
"""Another callback of the same instance."""
KEY = {"CPEE_INSTANCE_UUID": "b0bc965b", "CPEE_ACTIVITY": "a1"}
KEY_HEADERS = {"CPEE-INSTANCE-UUID": "b0bc965b", "CPEE-ACTIVITY": "a1"}


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running_service(
        lease_s=600.0, keep_done_s=3600.0, operator_tokens=(TOKEN,)
    ) as service:
        yield service


async def held(service: Service) -> tuple[str, str]:
    """Have the worker of KEY get a job in the answer; return its id and its receipt."""
    _, _, job_id = await service.submit({"drink": "mojito"})
    answer = await register(service, **KEY)
    assert answer.body["Job"]["id"] == job_id
    return job_id, answer.headers["Job-Receipt"]


async def report(
    service: Service, job_id: str, act: str, headers: dict[str, str], **options: Any
) -> Answer:
    return await ask(service, "POST", f"jobs/{job_id}/{act}", headers=headers, **options)


@pytest.mark.parametrize("proof", ["callback", "key", "receipt", "instance", "activity"])
async def test_each_proof_is_enough(service: Service, proof: str) -> None:
    """The job's callback, its key, its receipt, or any activity of an instance that holds no other
    job."""
    job_id, receipt = await held(service)
    headers = {
        "callback": {"CPEE-CALLBACK": CALLBACK},
        "key": KEY_HEADERS,
        "receipt": {"Job-Receipt": receipt},
        "instance": {"CPEE-INSTANCE-UUID": "b0bc965b"},
        "activity": {
            "CPEE-INSTANCE-UUID": "b0bc965b",
            "CPEE-ACTIVITY": "a7",
            "CPEE-CALLBACK": "http://127.0.0.1:1/4/callbacks/of-a7/",
        },
    }[proof]
    assert (await report(service, job_id, "extend", headers)).body["state"] == "assigned"
    answer = await report(service, job_id, "complete", headers, json={"glass": 7})
    assert (answer.status, answer.body["state"]) == (200, "done")
    assert (await report(service, job_id, "complete", headers)).status == 200


async def test_the_result_is_shown_to_the_byte(service: Service) -> None:
    """In look-ups by the job's id."""
    job_id, receipt = await held(service)
    result = b'{"glass" : 9007199254740993, "note":"\xc3\xa4" }'
    headers = {"Job-Receipt": receipt, "Content-Type": "application/json"}
    done = await report(service, job_id, "complete", headers, data=result)
    looked_up = await ask(service, "GET", f"jobs/{job_id}")
    for answer in (done, looked_up):
        assert answer.raw.endswith(b',"result":%b}' % result)


async def test_reports_on_jobs_that_are_not_kept(tmp_path: Path) -> None:
    """Each is answered with its job, also if others that end meanwhile push it out."""
    settings: dict[str, Any] = {"mode": Mode.CACHED_JSON_FILE, "data_dir": tmp_path}
    async with running_service(lease_s=600.0, keep_done_s=0.0, **settings) as service:
        held = []
        for n in range(4):
            await service.submit({"drink": "mojito"})
            worker = {"CPEE_INSTANCE_UUID": f"i{n}", "CPEE_ACTIVITY": "a1"}
            answer = await register(service, f"{CALLBACK}{n}/", **worker)
            held.append((answer.body["Job"]["id"], answer.headers["Job-Receipt"]))
        answers = await asyncio.gather(
            *(
                report(service, job_id, act, {"Job-Receipt": receipt})
                for (job_id, receipt), act in zip(held, ("complete", "fail") * 2, strict=True)
            )
        )
        assert [answer.status for answer in answers] == [200] * 4
        ends = [(answer.body["id"], answer.body["state"]) for answer in answers]
        assert ends == [
            (job_id, state) for (job_id, _), state in zip(held, ("done", "failed") * 2, strict=True)
        ]


async def test_the_reason_of_a_failure_is_shown(service: Service) -> None:
    """In look-ups by the job's id."""
    job_id, _ = await held(service)
    await report(service, job_id, "fail", KEY_HEADERS, json={"reason": "no ice"})
    assert (await service.job(job_id))["reason"] == "no ice"


async def test_a_repeated_registration_has_the_same_receipt(service: Service) -> None:
    """Whichever answer arrived, its receipt is valid."""
    job_id, receipt = await held(service)
    again = await register(service, **KEY)
    assert again.headers["Job-Receipt"] == receipt
    done = await report(service, job_id, "complete", {"Job-Receipt": receipt})
    assert done.body["state"] == "done"


async def test_a_body_that_extend_ignores_leaves_no_trace_in_the_log(service: Service) -> None:
    """extend reads the body and drops it; an unread body would be logged."""
    job_id, _ = await held(service)
    with TestCase().assertNoLogs():
        for _ in range(2):
            answer = await report(service, job_id, "extend", KEY_HEADERS, json={"seconds": 60})
            assert answer.status == 200


@pytest.mark.parametrize("act", ["complete", "fail", "extend"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"CPEE-CALLBACK": CALLBACK[:-1]},
        {"CPEE-ACTIVITY": "a1"},
        {"CPEE-INSTANCE-UUID": "another"},
        {"CPEE-INSTANCE-UUID": "another", "CPEE-ACTIVITY": "a1"},
        {"Job-Receipt": "0" * 32},
        {"Job-Receipt": ""},
        {"Job-Receipt": "\u00fc"},
        {"CPEE-CALLBACK": "\u00fc"},
    ],
)
async def test_others_get_409(service: Service, act: str, headers: dict[str, str]) -> None:
    """The id alone does not prove it; the answer has the state, and nothing changes."""
    job_id, _ = await held(service)
    answer = await report(service, job_id, act, headers)
    assert (answer.status, answer.body["Error"]) == (409, "NotTheHolder")
    assert answer.body["state"] == "assigned"
    assert (await service.job(job_id))["state"] == "assigned"


async def test_a_former_holder_gets_409(service: Service) -> None:
    """After a put-back and another assignment the first worker's report is refused."""
    job_id, receipt = await held(service)
    await service.app.ctx.dispatcher.operator.put_back(job_id, "test")
    answer = await register(service, OTHER_CALLBACK, CPEE_INSTANCE_UUID="other",
                            CPEE_ACTIVITY="a1")  # fmt: skip
    assert answer.body["Job"]["id"] == job_id
    for proof in (KEY_HEADERS, {"CPEE-CALLBACK": CALLBACK}, {"Job-Receipt": receipt}):
        assert (await report(service, job_id, "complete", proof)).status == 409


async def test_fail_and_retry(service: Service) -> None:
    """{"reason","retry"}: the job returns to its place for another worker, or fails."""
    job_id, receipt = await held(service)
    headers = {"Job-Receipt": receipt}
    answer = await report(
        service, job_id, "fail", headers, json={"reason": "no ice", "retry": True}
    )
    assert (answer.status, answer.body["state"], answer.body["position"]) == (200, "waiting", 1)
    again = await register(service, OTHER_CALLBACK, **KEY)
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
    """400, 413 or 415, and the job is unchanged."""
    job_id, receipt = await held(service)
    headers = {"Job-Receipt": receipt, "Content-Type": media_type}
    answer = await report(service, job_id, act, headers, data=body)
    assert answer.body["Error"] == error
    assert (await service.job(job_id))["state"] == "assigned"


async def test_the_receipt_comes_with_a_put_too(service: Service) -> None:
    """As a header of the PUT."""
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


INSTANCE = {"CPEE-INSTANCE-UUID": "b0bc965b"}


async def test_an_instance_that_holds_two_jobs_has_to_say_which_activity(service: Service) -> None:
    """With two jobs the UUID alone is ambiguous, and is refused."""
    first, _ = await held(service)
    _, _, second = await service.submit(2)
    key = {**KEY, "CPEE_ACTIVITY": "a2"}
    answer = await register(service, OTHER_CALLBACK, **key)
    assert answer.body["Job"]["id"] == second
    for job_id in (first, second):
        assert (await report(service, job_id, "complete", INSTANCE)).status == 409
    assert (await report(service, first, "complete", KEY_HEADERS)).status == 200
    assert (await report(service, second, "complete", INSTANCE)).status == 200


async def test_the_uuid_of_a_former_holder_is_void(service: Service) -> None:
    """Once the job is assigned to another worker; until then it counts."""
    job_id, _ = await held(service)
    await service.app.ctx.dispatcher.operator.put_back(job_id, "test")
    assert (await report(service, job_id, "complete", INSTANCE)).status == 409
    await register(service, OTHER_CALLBACK, CPEE_INSTANCE_UUID="other",
                   CPEE_ACTIVITY="a1")  # fmt: skip
    assert (await report(service, job_id, "complete", INSTANCE)).status == 409


@pytest.mark.parametrize(
    ("form", "result"),
    [
        ({"result": '{"glass" : 7}'}, b'{"glass" : 7}'),
        ({"result": '"ä & b"', "other": "1"}, '"ä & b"'.encode()),
        ({"result": ""}, None),
        ({"other": "1"}, None),
        ({}, None),
    ],
)
async def test_a_result_may_come_in_a_form(
    service: Service, form: dict[str, str], result: bytes | None
) -> None:
    """As process models send it: ``result`` is JSON, kept to the byte."""
    job_id, _ = await held(service)
    headers = {**INSTANCE, "Content-Type": "application/x-www-form-urlencoded"}
    done = await report(service, job_id, "complete", headers, data=urlencode(form).encode())
    assert (done.status, done.body["state"]) == (200, "done")
    assert (result is None) is ("result" not in done.body)
    assert result is None or done.raw.endswith(b',"result":%b}' % result)


@pytest.mark.parametrize(
    ("form", "state", "reason"),
    [
        (b"reason=no+ice", "failed", "no ice"),
        (b"reason=no%20ice&retry=false", "failed", "no ice"),
        (b"reason=no%20ice&retry=true", "waiting", None),
        (b"retry=true", "waiting", None),
        (b"reason=true", "failed", "true"),
        (b"", "failed", None),
    ],
)
async def test_a_failure_may_come_in_a_form(
    service: Service, form: bytes, state: str, reason: str | None
) -> None:
    """``reason`` is any text, ``retry`` is true or false."""
    job_id, _ = await held(service)
    headers = {**INSTANCE, "Content-Type": "application/x-www-form-urlencoded"}
    answer = await report(service, job_id, "fail", headers, data=form)
    assert (answer.status, answer.body["state"]) == (200, state)
    assert answer.body.get("reason") == reason


async def test_extend_takes_a_form(service: Service) -> None:
    """Its fields are ignored."""
    job_id, _ = await held(service)
    headers = {**INSTANCE, "Content-Type": "application/x-www-form-urlencoded"}
    assert (await report(service, job_id, "extend", headers, data=b"seconds=60")).status == 200


@pytest.mark.parametrize(
    ("act", "form", "error"),
    [
        ("complete", b"result=hello", "InvalidJson"),
        ("complete", b"result=%ff", "InvalidRequest"),
        ("complete", b"a=1&" * 101, "InvalidRequest"),
        ("complete", b"result=" + b"1" * (2 * 2**20), "TooLarge"),
        ("fail", b"retry=yes", "InvalidRequest"),
        ("fail", b"retry=", "InvalidRequest"),
        ("fail", b"reason=a%0Ab", "InvalidRequest"),
        ("fail", b"reason=" + b"x" * 201, "InvalidRequest"),
    ],
    ids=lambda value: repr(value)[:30],
)
async def test_a_form_that_cannot_be_read(
    service: Service, act: str, form: bytes, error: str
) -> None:
    """400 or 413, and the job is unchanged."""
    job_id, _ = await held(service)
    headers = {**INSTANCE, "Content-Type": "application/x-www-form-urlencoded"}
    answer = await report(service, job_id, act, headers, data=form)
    assert answer.body["Error"] == error
    assert (await service.job(job_id))["state"] == "assigned"


async def logged(service: Service, job_id: str) -> list[tuple[str, str]]:
    """Return the kinds and reasons of a job's events in the log, once all work is done."""
    await service.app.ctx.dispatcher.batches.idle()
    ticket = (await service.job(job_id))["ticket"]
    page = await service.app.ctx.events.of_ticket(ticket)
    return [(event.event, event.reason) for event in page.events]


async def on_the_monitor(service: Service, job_id: str) -> dict[str, Any]:
    """Return the order in the monitor's view."""
    ticket = (await service.job(job_id))["ticket"]
    answer = await ask(service, "GET", "state?view=monitor", TOKEN)
    return answer.body["state"][f"order/{ticket}"]


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("act", "headers", "body", "why"),
    [
        ("fail", {}, b"", "fail: only the worker that holds the job can do this"),
        ("fail", {**INSTANCE, "Content-Type": FORM}, b"retry=y", "fail: retry is true or false"),
        ("complete", {**INSTANCE, "Content-Type": FORM}, b"result=x", "complete: not JSON"),
        ("complete", {**INSTANCE, "Content-Type": "text/plain"}, b"x", "complete: send the body"),
        ("extend", {"CPEE-INSTANCE-UUID": "another"}, b"", "extend: only the worker that holds"),
    ],
)
async def test_a_refused_report_does_not_go_unnoticed(
    service: Service, act: str, headers: dict[str, str], body: bytes, why: str
) -> None:
    """The next registration still completes the job; log and monitor have the refused report and
    its reason."""
    job_id, _ = await held(service)
    assert (await report(service, job_id, act, headers, data=body)).status >= 400
    (*_, (event, reason)) = await logged(service, job_id)
    assert event == "job.report_refused"
    assert reason.startswith(why)
    drawn = await on_the_monitor(service, job_id)
    assert drawn["hold"]["refused"].startswith(why)
    await register(service, NEW_CALLBACK, **KEY)
    (*_, (event, reason)) = await logged(service, job_id)
    assert event == "job.done"
    assert reason.startswith(f"done by its next registration, but a report was refused: {why}")
    drawn = await on_the_monitor(service, job_id)
    assert drawn["state"] == "done"
    assert drawn["reason"] == reason
    assert drawn["hold"]["refused"].startswith(why)
    assert "reason" not in (await ask(service, "GET", f"jobs/{job_id}")).body


async def test_a_report_without_the_token_does_not_go_unnoticed() -> None:
    """A model may have the token in its registration, and not in its report."""
    async with running_service(worker_tokens=("worker-token",)) as service:
        _, _, job_id = await service.submit(1)
        headers = {"CPEE-CALLBACK": CALLBACK, **KEY_HEADERS}
        await ask(service, "POST", "register-worker", "worker-token", headers=headers)
        assert (await report(service, job_id, "fail", KEY_HEADERS)).status == 401
        assert ("job.report_refused", "fail: the worker token is needed") in await logged(
            service, job_id
        )


@pytest.mark.parametrize(
    ("method", "body", "status", "why"),
    [
        ("PUT", b"", 405, "complete: Method PUT not allowed"),
        ("POST", b" " * (3 * 2**20), 413, "complete: "),
    ],
)
async def test_a_report_that_reaches_no_handler_does_not_go_unnoticed(
    service: Service, method: str, body: bytes, status: int, why: str
) -> None:
    """A wrong method, or a body that is too large."""
    job_id, _ = await held(service)
    headers = {**INSTANCE, "Content-Type": "application/json"}
    answer = await ask(service, method, f"jobs/{job_id}/complete", headers=headers, data=body)
    assert answer.status == status
    (*_, (event, reason)) = await logged(service, job_id)
    assert event == "job.report_refused"
    assert reason.startswith(why)


async def test_a_report_on_an_unknown_job_marks_what_its_instance_holds(service: Service) -> None:
    """With a wrong id, the instance's present job is marked."""
    job_id, _ = await held(service)
    assert (await report(service, "f" * 32, "fail", INSTANCE)).status == 404
    assert ("job.report_refused", "fail: no such job is known") in await logged(service, job_id)


async def test_an_accepted_report_removes_the_mark(service: Service) -> None:
    """If the second try succeeds, nothing is shown."""
    job_id, _ = await held(service)
    await report(service, job_id, "complete", {"CPEE-INSTANCE-UUID": "another"})
    assert (await report(service, job_id, "complete", INSTANCE)).status == 200
    assert (await logged(service, job_id))[-1] == ("job.done", "")
    drawn = await on_the_monitor(service, job_id)
    assert "refused" not in drawn["hold"]
    assert "reason" not in drawn


async def test_refused_reports_are_noted_once(service: Service) -> None:
    """So that clients with an order's id cannot fill the log."""
    job_id, _ = await held(service)
    for _ in range(5):
        await report(service, job_id, "complete", {})
    kinds = [event for event, _ in await logged(service, job_id)]
    assert kinds.count("job.report_refused") == 1


async def test_a_refused_report_does_not_move_the_lease(service: Service) -> None:
    """The hold is unchanged."""
    job_id, _ = await held(service)
    before = (await on_the_monitor(service, job_id))["hold"]["since"]
    await report(service, job_id, "extend", {})
    await logged(service, job_id)
    assert (await on_the_monitor(service, job_id))["hold"]["since"] == before


async def test_a_report_on_a_job_without_a_holder_leaves_no_mark(service: Service) -> None:
    """It waits, or is finished: only the answer says so."""
    _, _, job_id = await service.submit(1)
    assert (await report(service, job_id, "complete", INSTANCE)).status == 409
    assert [event for event, _ in await logged(service, job_id)] == ["job.submitted"]


async def test_progress(service: Service) -> None:
    """Either or both; what is not said stays as it was."""
    job_id, receipt = await held(service)
    headers = {"Job-Receipt": receipt}
    answer = await report(service, job_id, "progress", headers, json={"percent": 40.5})
    assert (answer.status, answer.body) == (200, {"cancel": False, "lease_s": 600.0})
    assert (await service.job(job_id))["progress"] == {"percent": 40.5}
    await report(service, job_id, "progress", headers, json={"text": "adding gin"})

    async def is_kept() -> bool:
        progress = (await service.job(job_id))["progress"]
        return progress == {"percent": 40.5, "text": "adding gin"}

    await eventually(is_kept)
    form = {**headers, "Content-Type": FORM}
    answer = await report(service, job_id, "progress", form, data=b"percent=100&text=ready")
    assert answer.status == 200
    await report(service, job_id, "complete", headers)
    assert "progress" not in await service.job(job_id)
    answer = await report(service, job_id, "progress", headers, json={"percent": 1})
    assert (answer.status, answer.body["state"]) == (409, "done")


@pytest.mark.parametrize(
    "said",
    [{}, {"percent": 101}, {"percent": -1}, {"percent": "40"}, {"percent": True}, {"text": 1},
     {"text": "x" * 201}, {"text": "two\nlines"}, []],
    ids=repr,
)  # fmt: skip
async def test_progress_that_is_none(service: Service, said: Any) -> None:
    """400, and the job has none."""
    job_id, receipt = await held(service)
    answer = await report(service, job_id, "progress", {"Job-Receipt": receipt}, json=said)
    assert (answer.status, answer.body["Error"]) == (400, "InvalidRequest")
    assert "progress" not in await service.job(job_id)


async def test_only_the_holder_tells_and_asks(service: Service) -> None:
    """409, NotTheHolder."""
    job_id, _ = await held(service)
    wrong = {"Job-Receipt": "0" * 32}
    for method, act in (("POST", "progress"), ("GET", "cancelling")):
        options = {"json": {"percent": 1}} if method == "POST" else {}
        answer = await ask(service, method, f"jobs/{job_id}/{act}", headers=wrong, **options)
        assert (answer.status, answer.body["Error"]) == (409, "NotTheHolder")


@pytest.mark.parametrize("act", ["progress", "extend"])
async def test_a_holder_that_cannot_hear_is_not_cancelled(service: Service, act: str) -> None:
    """409 until it has sent progress or extend; then it is asked to stop, and ends it."""
    options = {"json": {"percent": 1}} if act == "progress" else {}
    job_id, receipt = await held(service)
    headers = {"Job-Receipt": receipt}
    assert (await ask(service, "DELETE", f"jobs/{job_id}")).status == 409
    asking = f"jobs/{job_id}/cancelling"
    assert (await ask(service, "GET", asking, headers=headers)).body == {"cancel": False}
    await report(service, job_id, act, headers, **options)
    for _ in range(2):  # a repeat changes nothing
        answer = await ask(service, "DELETE", f"jobs/{job_id}")
        assert (answer.status, answer.body) == (202, {"Cancelling": True})
    assert (await ask(service, "GET", asking, headers=headers)).body == {"cancel": True}
    job = await service.job(job_id)
    assert (job["state"], job["cancelling"]) == ("assigned", True)
    answer = await report(service, job_id, "extend", headers)
    assert (answer.body["cancel"], answer.body["lease_s"]) == (True, 600.0)
    answer = await report(service, job_id, "fail", headers, json={"cancelled": True})
    assert (answer.status, answer.body["state"]) == (200, "cancelled")
    assert "cancelling" not in answer.body


async def test_an_operator_asks_any_holder_to_stop(service: Service) -> None:
    """202 with the job; it may be done all the same."""
    job_id, receipt = await held(service)
    cancel = f"operator/jobs/{job_id}/cancel"
    answer = await ask(service, "POST", cancel, TOKEN, json={"reason": "he left"})
    assert (answer.status, answer.body["state"], answer.body["cancelling"]) == (
        202, "assigned", True,
    )  # fmt: skip
    answer = await report(service, job_id, "complete", {"Job-Receipt": receipt})
    assert (answer.status, answer.body["state"]) == (200, "done")
    assert (await ask(service, "POST", cancel, TOKEN)).status == 409


@pytest.mark.parametrize("cancelled", ["yes", 1, None])
async def test_cancelled_is_true_or_false(service: Service, cancelled: Any) -> None:
    """400 for anything else."""
    job_id, receipt = await held(service)
    said = {"cancelled": cancelled}
    answer = await report(service, job_id, "fail", {"Job-Receipt": receipt}, json=said)
    assert (answer.status, answer.body["Error"]) == (400, "InvalidRequest")

"""The Job-Priority header: who may choose a priority, and which are invalid."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.http_requests import Answer, ask
from tests.support.server import Service, running_service

STAFF, GUEST, OPERATOR = "token-of-the-staff", "token-of-a-guest", "operator-token"
ON: dict[str, Any] = {
    "priorities": True,
    "priority_tokens": (STAFF,),
    "operator_tokens": (OPERATOR,),
    "submit_wait_s": 0.1,
}
DEFAULT = 3


async def submit(service: Service, token: str | None = None, *priority: str, **more: str) -> Answer:
    """Submit a job with this header, once for each value."""
    headers = [*(("Job-Priority", each) for each in priority), *more.items()]
    if token:
        headers.append(("Authorization", f"Bearer {token}"))
    url = service.base_url + "submit-job"
    async with service.http.post(url, json=1, headers=headers) as answer:
        body = await answer.json(content_type=None)
        return Answer(answer.status, body, answer.headers, b"")


async def priority_of(service: Service, submitted: Answer) -> int:
    """Return the priority of the job that was submitted."""
    assert submitted.status == 202
    return int((await ask(service, "GET", submitted.headers["Location"])).body["priority"])


@pytest.mark.parametrize("token", [STAFF, OPERATOR])
async def test_those_who_may_choose_a_priority(token: str) -> None:
    """With a token for it, or an operator's; 0 is served first, and without a header it is 3."""
    async with running_service(**ON) as service:
        for given, expected in ((), DEFAULT), (("7",), 7), ((" 0 ",), 0):
            submitted = await submit(service, token, *given)
            assert await priority_of(service, submitted) == expected
        jobs = (await ask(service, "GET", "operator/jobs", OPERATOR)).body["jobs"]
        assert [job["priority"] for job in jobs] == [DEFAULT, 7, 0]
        assert (await ask(service, "GET", submitted.headers["Location"])).body["position"] == 1


@pytest.mark.parametrize("given", ["8", "-1", "03", "1.0", "high", "", "\u0663"])
async def test_what_is_no_priority(given: str) -> None:
    """400 InvalidPriority, and nothing is queued."""
    async with running_service(**ON) as service:
        answer = await submit(service, STAFF, given)
        assert (answer.status, answer.body["Error"]) == (400, "InvalidPriority")
        twice = await submit(service, STAFF, "1", "1")
        assert (twice.status, twice.body["Error"]) == (400, "InvalidPriority")
        assert not service.app.ctx.dispatcher.snapshot().jobs


@pytest.mark.parametrize("given", ["0", "high"])
async def test_without_permission_it_is_as_if_not_there(given: str) -> None:
    """Without a token for it, whatever the header says, and also where priorities are off."""
    async with running_service(**ON) as service:
        for token in (None, GUEST):
            assert await priority_of(service, await submit(service, token, given)) == DEFAULT
    async with running_service(**{**ON, "priorities": False}) as service:
        for token in (None, STAFF, OPERATOR):
            assert await priority_of(service, await submit(service, token, given)) == DEFAULT


@pytest.mark.parametrize("priorities", [True, False])
async def test_who_may_submit(priorities: bool) -> None:
    """A token for priorities is one for submitting, too, but makes none needed."""
    values = {**ON, "priorities": priorities}
    async with running_service(**values) as service:
        assert (await submit(service)).status == 202
    async with running_service(**values, submit_tokens=(GUEST,)) as service:
        statuses = [
            (await submit(service, token)).status for token in (None, GUEST, STAFF, OPERATOR)
        ]
    assert statuses == [401, 202, 202, 202 if priorities else 401]


async def test_a_repeat_keeps_its_priority() -> None:
    """The same key and body are the same job, whatever priority the repeat has."""
    async with running_service(**ON) as service:
        first = await submit(service, STAFF, "1", **{"Idempotency-Key": "one"})
        again = await submit(service, STAFF, "5", **{"Idempotency-Key": "one"})
        assert again.headers["Location"] == first.headers["Location"]
        assert await priority_of(service, again) == 1

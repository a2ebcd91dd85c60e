"""Operators' actions over HTTP: each action, its name and reason, and refusals."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sanic_dispatch.config.settings import Mode
from sanic_dispatch.core.events import Event
from tests.support.http_requests import CALLBACK, Answer, ask, register
from tests.support.server import Service, running_service

TOKEN = "operator-token"


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running_service(operator_tokens=(TOKEN,), submit_wait_s=0.2) as service:
        yield service


async def act(service: Service, path: str, who: str | None = None, **said: Any) -> Answer:
    """Send an operator's request."""
    headers = {"X-Operator": who} if who else {}
    return await ask(service, "POST", f"operator/{path}", TOKEN, json=said, headers=headers)


def log_of(service: Service) -> list[Event]:
    """Return the monitor's log."""
    return list(service.app.ctx.hub.projection.log)


def last_event(service: Service) -> Event:
    """Return its last event."""
    return log_of(service)[-1]


async def test_pause_and_resume(service: Service) -> None:
    """During a pause no jobs are handed out, and customers see it."""
    answer = await act(service, "pause", reason="out of ice")
    assert (answer.status, answer.body) == (200, {"paused": True})
    assert last_event(service).reason == "127.0.0.1: out of ice"
    assert (await register(service)).status == 202
    _, body, job_id = await service.submit(1)
    assert body == {"Queued": {"position": 1}}
    board = await ask(service, "GET", "state")
    assert board.body["state"]["bar"]["paused"] is True
    assert (await act(service, "resume")).body == {"paused": False}
    (resumed,) = [event for event in log_of(service) if event.kind == "dispatch.resumed"]
    assert resumed.reason == "127.0.0.1"
    assert (await ask(service, "GET", "state")).body["state"]["bar"]["paused"] is False


async def test_a_pause_outlives_a_restart(tmp_path: Path) -> None:
    """It is stored, and in the board's first frame."""
    settings = {"mode": Mode.CACHED_JSON_FILE, "data_dir": tmp_path, "operator_tokens": (TOKEN,)}
    async with running_service(**settings) as service:
        await act(service, "pause")
    async with running_service(**settings) as service:
        assert (await ask(service, "GET", "state")).body["state"]["bar"]["paused"] is True
        await service.submit(1)
        assert (await register(service)).status == 202


async def test_name_and_reason(service: Service) -> None:
    """The name is X-Operator, else the address; the reason follows it."""
    for who, said, reason in (
        ("Ada", {"reason": "no ice"}, "Ada: no ice"),
        ("Ada", {}, "Ada"),
        (None, {"reason": "\u00fcber"}, "127.0.0.1: \u00fcber"),
    ):
        await act(service, "resume")
        await act(service, "pause", who, **said)
        assert last_event(service).reason == reason


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"X-Operator": "x" * 65}, b"{}"),
        ({"X-Operator": ""}, b"{}"),
        ({"X-Operator": "\u00fc"}, b"{}"),
        ({}, b'{"reason":"a\\nb"}'),
        ({}, b'{"reason":"\\u001b[2J"}'),
        ({}, b'{"reason":7}'),
        ({}, b'{"reason":"' + b"x" * 201 + b'"}'),
        ({}, b"[]"),
    ],
    ids=lambda value: repr(value)[:40],
)
async def test_what_cannot_be_logged_is_400(
    service: Service, headers: dict[str, str], body: bytes
) -> None:
    """A name or a reason that is not a short line is refused, and nothing is done."""
    headers = {"Content-Type": "application/json", **headers}
    answer = await ask(service, "POST", "operator/pause", TOKEN, data=body, headers=headers)
    assert (answer.status, answer.body["Error"]) == (400, "InvalidRequest")
    assert not service.app.ctx.dispatcher.is_paused


@pytest.mark.parametrize(
    ("path", "said", "known"),
    [
        ("pause", {"reson": "no ice"}, "reason"),
        ("jobs/x/cancel", {"reson": "he left"}, "reason"),
        ("jobs/x/priority", {"priority": 0, "reson": "spilt"}, "priority, reason"),
        ("workers/aside", {"callback": CALLBACK, "reson": "burnt"}, "callback, reason"),
    ],
)
async def test_a_misspelt_member_is_400(
    service: Service, path: str, said: dict[str, Any], known: str
) -> None:
    """It is named, and nothing is done: an act without its reason could not be explained later."""
    answer = await act(service, path, **said)
    assert (answer.status, answer.body["Error"]) == (400, "InvalidRequest")
    assert answer.body["detail"] == f"there is no member 'reson', only {known}"
    assert log_of(service) == []


async def test_no_body_is_needed(service: Service) -> None:
    """Without a body there is no reason, only the name."""
    assert (await ask(service, "POST", "operator/pause", TOKEN)).status == 200


async def test_cancel(service: Service) -> None:
    """A waiting job leaves the queue; any other is 409 with its state."""
    _, _, job_id = await service.submit(1)
    answer = await act(service, f"jobs/{job_id}/cancel", "Ada", reason="he left")
    assert (answer.status, answer.body["state"]) == (200, "cancelled")
    assert last_event(service).reason == "Ada: he left"
    answer = await act(service, f"jobs/{job_id}/cancel")
    assert (answer.status, answer.body["Error"], answer.body["state"]) == (
        409, "WrongState", "cancelled",
    )  # fmt: skip
    assert (await act(service, f"jobs/{'0' * 32}/cancel")).status == 404


async def test_put_back(service: Service) -> None:
    """An assigned job returns to its own place, before later ones."""
    _, _, first = await service.submit(1)
    _, _, second = await service.submit(2)
    await register(service, CPEE_INSTANCE_UUID="i", CPEE_ACTIVITY="a1")
    answer = await act(service, f"jobs/{first}/put-back", reason="glass broke")
    assert (answer.body["state"], answer.body["position"]) == ("waiting", 1)
    assert (await service.job(second))["position"] == 2
    assert (await act(service, f"jobs/{first}/put-back")).status == 409


async def test_move_to_the_front(service: Service) -> None:
    """It is the next one."""
    await service.submit(1)
    _, _, second = await service.submit(2)
    answer = await act(service, f"jobs/{second}/first", reason="vip")
    assert (answer.status, answer.body["position"]) == (200, 1)
    assert (await register(service)).body["Job"]["data"] == 2


async def test_forget(service: Service) -> None:
    """Data and result of a finished job are gone from every answer and page; its events stay."""
    _, _, job_id = await service.submit({"name": "Ada", "drink": "mojito", "logo": "lion"})
    path = f"operator/jobs/{job_id}/data"
    waiting = await ask(service, "DELETE", path, TOKEN)
    assert (waiting.status, waiting.body["Error"]) == (409, "WrongState")
    await register(service, CPEE_INSTANCE_UUID="i", CPEE_ACTIVITY="a1")
    done = {"data": b'{"for":"Ada"}', "headers": {"Content-Type": "application/json"}}
    done["headers"] |= {"CPEE-CALLBACK": CALLBACK}
    assert (await ask(service, "POST", f"jobs/{job_id}/complete", **done)).status == 200
    assert (await service.job(job_id))["result"] == {"for": "Ada"}
    for _ in range(2):
        answer = await ask(service, "DELETE", path, TOKEN, headers={"X-Operator": "Grace"})
        assert (answer.status, answer.raw) == (204, b"")
    assert (last_event(service).kind, last_event(service).reason) == ("job.forgotten", "Grace")
    assert (await service.job(job_id))["forgotten"] is True
    (listed_job,) = (await listed(service))["jobs"]
    assert listed_job["forgotten"] is True
    monitor = (await ask(service, "GET", "state?view=monitor", TOKEN)).body["state"]
    assert monitor["order/1"]["forgotten"] is True
    for shown in ("operator/jobs", "operator/history/1", "operator/events", "state?view=monitor",
                  f"jobs/{job_id}", f"state?order={job_id}", "state"):  # fmt: skip
        answer = await ask(service, "GET", shown, TOKEN)
        assert answer.status == 200
        for text in (b"Ada", b"lion", b"mojito"):
            assert text not in answer.raw, shown
    assert (await ask(service, "DELETE", f"operator/jobs/{'0' * 32}/data", TOKEN)).status == 404
    assert (await ask(service, "DELETE", "operator/jobs/77/data", TOKEN)).status == 404


async def test_workers_aside_back_and_dropped(service: Service) -> None:
    """Set aside it gets no jobs, brought back it does, at its place; dropped it is forgotten."""
    await register(service)
    answer = await act(service, "workers/aside", "Ada", callback=CALLBACK, reason="smells burnt")
    assert (answer.status, answer.body) == (200, {"callback": CALLBACK})
    listed = (await ask(service, "GET", "operator/workers", TOKEN)).body["workers"]
    assert listed[0]["callback"] == CALLBACK
    assert listed[0]["aside"] == {"cause": "operator", "reason": "Ada: smells burnt"}
    assert (await service.submit(1))[0] == 202
    assert (await act(service, "workers/drop", callback=CALLBACK)).status == 200
    assert last_event(service).kind == "worker.dropped"
    for name in ("aside", "back", "drop"):
        answer = await act(service, f"workers/{name}", callback=CALLBACK)
        assert (answer.status, answer.body["Error"]) == (404, "UnknownWorker")
        assert (await act(service, f"workers/{name}")).status == 400


async def test_a_worker_comes_back(service: Service) -> None:
    """Brought back, it gets the job that waited meanwhile."""
    await register(service)
    await act(service, "workers/aside", callback=CALLBACK)
    await service.submit(1)
    assert (await act(service, "workers/back", callback=CALLBACK)).status == 200
    kinds = [event.kind.value for event in log_of(service)]
    assert kinds.index("job.submitted") < kinds.index("worker.came_back")


async def listed(service: Service, query: str = "") -> Any:
    return (await ask(service, "GET", f"operator/jobs{query}", TOKEN)).body


async def test_jobs_are_listed_page_by_page(service: Service) -> None:
    """By ticket; ``next`` is the next page; ``state`` is one of five words."""
    ids = [(await service.submit(n))[2] for n in range(5)]
    await act(service, f"jobs/{ids[1]}/cancel", reason="x")
    await register(service, CPEE_INSTANCE_UUID="i", CPEE_ACTIVITY="a1")
    page = await listed(service, "?limit=2")
    assert ([job["ticket"] for job in page["jobs"]], page["next"]) == ([1, 2], 2)
    page = await listed(service, "?limit=3&after=2")
    assert ([job["ticket"] for job in page["jobs"]], page["next"]) == ([3, 4, 5], 5)
    assert await listed(service, "?after=5") == {"jobs": [], "next": None}
    (assigned,) = (await listed(service, "?state=assigned"))["jobs"]
    assert assigned == {
        "id": ids[0],
        "ticket": 1,
        "state": "assigned",
        "stage": assigned["stage"],
        "submitted_at": assigned["submitted_at"],
        "attempt": 1,
        "priority": 3,
        "reason": "",
        "worker": CALLBACK,
    }
    (cancelled,) = (await listed(service, "?state=cancelled"))["jobs"]
    assert (cancelled["ticket"], cancelled["reason"]) == (2, "x")


@pytest.mark.parametrize(
    "query",
    ["?state=lost", "?after=x", "?after=-1", "?limit=1001", "?limit=0", "?after=" + "9" * 30],
)
async def test_malformed_listings(service: Service, query: str) -> None:
    """400 with what was expected."""
    answer = await ask(service, "GET", f"operator/jobs{query}", TOKEN)
    assert (answer.status, answer.body["Error"]) == (400, "InvalidRequest")


async def test_priority() -> None:
    """A waiting job gets another priority; the event says who, which one and why."""
    async with running_service(operator_tokens=(TOKEN,), priorities=True) as service:
        await service.submit(1)
        _, _, job_id = await service.submit(2)
        answer = await act(service, f"jobs/{job_id}/priority", "Ada", priority=0, reason="spilt")
        assert (answer.status, answer.body["priority"], answer.body["position"]) == (200, 0, 1)
        assert last_event(service).reason == "Ada: priority 0: spilt"
        await act(service, f"jobs/{job_id}/cancel")
        answer = await act(service, f"jobs/{job_id}/priority", priority=1)
        assert (answer.status, answer.body["Error"]) == (409, "WrongState")
        assert (await act(service, f"jobs/{'0' * 32}/priority", priority=1)).status == 404


@pytest.mark.parametrize("said", [{}, *({"priority": each} for each in (8, -1, 1.5, "1", True))])
async def test_what_is_no_priority(service: Service, said: dict[str, Any]) -> None:
    """400, and nothing is done."""
    _, _, job_id = await service.submit(1)
    answer = await act(service, f"jobs/{job_id}/priority", **said)
    assert (answer.status, answer.body["Error"]) == (400, "InvalidPriority")
    assert last_event(service).kind == "job.submitted"

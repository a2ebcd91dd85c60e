"""Requests at a process that does not own the topic: forwarded, and applied once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import ujson
from structlog.testing import capture_logs

from sanic_dispatch.cluster import forwarding
from sanic_dispatch.cluster.forwarding import SAY_AGAIN_S, Forwarder, RemoteCall, SeldomLog
from sanic_dispatch.cluster.link import Identity
from sanic_dispatch.cluster.members import Member
from sanic_dispatch.core.receipts import Proof
from sanic_dispatch.errors import OwnerUnreachable, StandingBy
from sanic_dispatch.web import calls
from tests.cluster.services import Two, ask, two_services
from tests.support.ports import free_port
from tests.support.redis import RedisServer
from tests.support.server import eventually

CALLBACK = "http://127.0.0.1:9/callbacks/{}/"


@pytest.fixture
async def two(redis: RedisServer, tmp_path: Path) -> AsyncIterator[Two]:
    async with two_services(redis.url, tmp_path) as two:
        yield two


def as_worker(number: int, instance: str = "") -> dict[str, str]:
    """Return the headers of a registration; with a key if there is an instance."""
    headers = {"CPEE-CALLBACK": CALLBACK.format(number)}
    if instance:
        headers |= {"CPEE-INSTANCE-UUID": instance, "CPEE-ACTIVITY": "a1"}
    return headers


async def kinds_of(two: Two, ticket: int) -> list[str]:
    """Return the kinds of a job's events."""
    _, body, _ = await ask(two.owner, "GET", f"operator/history/{ticket}")
    return [event["event"] for event in body["events"]]


async def test_every_request_is_answered_as_by_the_owner(two: Two) -> None:
    """Orders, lookups, registrations, reports, lists and the operator's acts."""
    other = two.other
    status, body, headers = await ask(other, "POST", "submit-job", json={"drink": "mojito"})
    assert (status, body) == (202, {"Queued": {"position": 1}})
    job = headers["Location"]
    for path in (job, "operator/jobs", "operator/workers", "operator/history/1", "topics"):
        there, here = await asyncio.gather(ask(two.owner, "GET", path), ask(other, "GET", path))
        assert there[:2] == here[:2], path
        assert there[0] == 200
    for path in ("operator/events", "operator/recording", "operator/stats"):
        assert (await ask(other, "GET", path))[0] == 200
    assert (await ask(other, "POST", "operator/pause"))[1] == {"paused": True}
    assert (await ask(other, "GET", "topics"))[1]["topics"][0]["orders"] == "paused"
    assert (await ask(other, "POST", "operator/resume"))[1] == {"paused": False}
    status, body, headers = await ask(other, "POST", "register-worker", headers=as_worker(1, "i1"))
    assert (status, body["Job"]["data"]) == (200, {"drink": "mojito"})
    receipt = {"Job-Receipt": headers["Job-Receipt"]}
    assert (await ask(other, "POST", f"{job}/extend", headers=receipt))[0] == 200
    status, body, _ = await ask(other, "POST", f"{job}/complete", headers=receipt, json=[1])
    assert (status, body["state"], body["result"]) == (200, "done", [1])
    assert (await ask(other, "DELETE", f"operator/{job}/data"))[0] == 204
    assert (await ask(two.owner, "GET", job))[1]["forgotten"]


async def test_errors_come_from_the_owner(two: Two) -> None:
    """An error of the owner is the same problem document, with the same members."""
    for method, path in (
        ("GET", "jobs/nothing"),
        ("DELETE", "jobs/nothing"),
        ("POST", "operator/jobs/nothing/first"),
        ("POST", "jobs/nothing/complete"),
    ):
        there, here = await ask(two.owner, method, path), await ask(two.other, method, path)
        assert there[:2] == here[:2]
        assert there[0] == 404
    _, _, headers = await ask(two.other, "POST", "submit-job", json=1)
    job = headers["Location"]
    await ask(two.other, "DELETE", job)
    status, body, _ = await ask(two.other, "DELETE", job)
    assert (status, body["Error"], body["state"]) == (409, "WrongState", "cancelled")


async def lose(two: Two, how: str) -> None:
    """Let the next reply get lost."""
    two.link.falls_silent = how == "half-open"
    two.link.loses = b'"ok"'


LOSSES = ("cut", "half-open")


@pytest.mark.parametrize("how", LOSSES)
async def test_an_order_whose_reply_got_lost_is_one_order(two: Two, how: str) -> None:
    """The same call, asked again, gets the same job."""
    await ask(two.other, "GET", "operator/jobs")
    await lose(two, how)
    status, _, headers = await ask(two.other, "POST", "submit-job", json=1)
    assert (status, two.link.has_lost.is_set()) == (202, True)
    _, body, _ = await ask(two.owner, "GET", "operator/jobs")
    assert [f"jobs/{job['id']}" for job in body["jobs"]] == [headers["Location"]]


@pytest.mark.parametrize("how", LOSSES)
async def test_a_registration_whose_reply_got_lost_gets_its_job(two: Two, how: str) -> None:
    """The worker gets the job that it was given, and no other one."""
    for number in (1, 2):
        await ask(two.owner, "POST", "submit-job", json=number)
    await ask(two.other, "GET", "operator/jobs")
    await lose(two, how)
    status, body, _ = await ask(two.other, "POST", "register-worker", headers=as_worker(1, "i1"))
    assert (status, body["Job"]["data"], two.link.has_lost.is_set()) == (200, 1, True)
    assert (await kinds_of(two, 1)).count("job.assigned") == 1
    assert (await kinds_of(two, 2)) == ["job.submitted"]


ACTS: dict[str, tuple[str, Any, str]] = {
    "complete": ("jobs/{}/complete", [1], "job.done"),
    "fail with retry": ("jobs/{}/fail", {"reason": "out of ice", "retry": True}, "job.returned"),
    "put back": ("operator/jobs/{}/put-back", {"reason": "wrong"}, "job.returned"),
}


@pytest.mark.parametrize("how", LOSSES)
@pytest.mark.parametrize("act", ACTS)
async def test_an_act_whose_reply_got_lost_is_done_once(two: Two, act: str, how: str) -> None:
    """Also where the job is with the next worker when it is asked again."""
    path, body, kind = ACTS[act]
    _, _, headers = await ask(two.owner, "POST", "submit-job", json=1)
    job = headers["Location"].removeprefix("jobs/")
    _, _, headers = await ask(two.owner, "POST", "register-worker", headers=as_worker(1, "i1"))
    receipt = {"Job-Receipt": headers["Job-Receipt"]}
    await ask(two.other, "GET", "operator/jobs")
    await lose(two, how)
    first = asyncio.create_task(
        ask(two.other, "POST", path.format(job), json=body, headers=receipt)
    )
    await two.link.has_lost.wait()
    await ask(two.owner, "POST", "register-worker", headers=as_worker(2, "i2"))
    assert (await first)[0] == 200
    assert (await kinds_of(two, 1)).count(kind) == 1


async def test_a_move_whose_reply_got_lost_is_done_once(two: Two) -> None:
    """A job that was moved to the front meanwhile stays there."""
    ids = []
    for number in (1, 2, 3):
        _, _, headers = await ask(two.owner, "POST", "submit-job", json=number)
        ids.append(headers["Location"].removeprefix("jobs/"))
    await ask(two.other, "GET", "operator/jobs")
    await lose(two, "half-open")
    first = asyncio.create_task(ask(two.other, "POST", f"operator/jobs/{ids[1]}/first"))
    await two.link.has_lost.wait()
    await ask(two.owner, "POST", f"operator/jobs/{ids[2]}/first")
    assert (await first)[0] == 200
    assert (await ask(two.owner, "GET", f"jobs/{ids[2]}"))[1]["position"] == 1


async def test_a_worker_that_is_back_before_its_answer_is_known(two: Two) -> None:
    """It waits until the owner knows that the answer was written, and gets the next job."""
    for number in (1, 2):
        await ask(two.owner, "POST", "submit-job", json=number)
    await ask(two.other, "GET", "operator/jobs")
    two.link.latency_s = (0.3, 0.3)
    _, body, _ = await ask(two.other, "POST", "register-worker", headers=as_worker(1, "i1"))
    assert body["Job"]["data"] == 1
    _, body, _ = await ask(two.owner, "POST", "register-worker", headers=as_worker(2, "i1"))
    assert body["Job"]["data"] == 2


async def test_a_link_that_does_not_come_back(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests get 503 with Retry-After when patience is over, which is within 5 s."""
    assert calls.PATIENCE_S < 5.0
    monkeypatch.setattr(calls, "PATIENCE_S", 2.0)  # a busy machine may take longer than the rest
    two.link.black_hole = True
    began_s = asyncio.get_running_loop().time()
    status, body, headers = await ask(two.other, "POST", "submit-job", json=1)
    assert (status, body["Error"], headers["Retry-After"]) == (503, "OwnerUnreachable", "1")
    assert asyncio.get_running_loop().time() - began_s < 5.0


async def test_a_link_that_closes_while_the_next_one_is_open(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its end is not taken for that of the next one, which is used."""
    await ask(two.other, "GET", "operator/jobs")
    (peer,) = two.other.app.ctx.forwarder._peers.values()
    first = peer._link
    monkeypatch.setattr(first, "_write", lambda: None)  # what closes it gets lost
    first.close()
    for _ in range(2):
        assert (await ask(two.other, "GET", "operator/jobs"))[0] == 200
    assert peer._link is not first
    assert peer.is_open


@pytest.mark.parametrize("is_troubled", [False, True])
async def test_a_reply_that_takes_long(
    two: Two, monkeypatch: pytest.MonkeyPatch, is_troubled: bool
) -> None:
    """It is waited for; after a failed attempt only as long as patience lasts."""
    replies = asyncio.Queue[Any]()
    if is_troubled:
        replies.put_nowait(StandingBy())

    async def execute(_: RemoteCall) -> Any:
        reply = await replies.get()
        if isinstance(reply, Exception):
            raise reply
        return reply

    monkeypatch.setattr(two.owner.app.ctx.sessions._service, "execute", execute)
    context = two.other.app.ctx
    asking = asyncio.create_task(
        calls._forward(context, calls.is_paused, (), {}, patience_s=0.2, reply_s=0.2)
    )
    done, _ = await asyncio.wait([asking], timeout=20.0 if is_troubled else 1.0)
    replies.put_nowait(True)
    if is_troubled:
        assert done
        with pytest.raises(OwnerUnreachable, match="it may have been carried out"):
            await asking
    else:
        assert not done
        assert await asking is True


@pytest.mark.parametrize("is_owner", [False, True])
async def test_a_refused_report_is_noted(two: Two, is_owner: bool) -> None:
    """At the owner, or by a process that has become the owner when it forwards."""
    _, _, headers = await ask(two.owner, "POST", "submit-job", json=1)
    job = headers["Location"].removeprefix("jobs/")
    await ask(two.owner, "POST", "register-worker", headers=as_worker(1, "i1"))
    context = (two.owner if is_owner else two.other).app.ctx
    refusal = (job, Proof(CALLBACK.format(2)), "not yours")
    await calls._forward(context, calls.record_refusal, refusal, {})

    async def is_noted() -> bool:
        return "job.report_refused" in await kinds_of(two, 1)

    await eventually(is_noted)


async def test_a_call_goes_on_here_when_the_last_owner_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It does not wait until the link to that one may be tried again."""
    monkeypatch.setattr(forwarding, "REOPEN_S", 60.0)
    forwarder = Forwarder(Identity("ada", "run", "secret"))
    gone, is_here = Member("bert", f"http://127.0.0.1:{free_port()}/"), iter((False, True))

    async def here() -> str:
        return "here"

    call = RemoteCall("", "Dispatcher.submit", [], {})
    assert await forwarder.call(call, lambda: gone, here, lambda: next(is_here)) == "here"
    await forwarder.close(0.0)


def test_the_same_trouble_is_said_once_a_minute() -> None:
    """Also if it comes twice in one moment."""
    moments_s = iter((1.0, 1.0, 1.0 + SAY_AGAIN_S, 1.0 + SAY_AGAIN_S))
    log = SeldomLog(lambda: next(moments_s))
    with capture_logs() as logs:
        for _ in range(4):
            log.warning("link.refused", "127.0.0.1", "why")
    assert len(logs) == 2


async def test_rules_and_reasons_at_every_process(two: Two) -> None:
    """A worker registers with its rule at the one, and waits at the owner; both say the same."""
    path = "register-worker?match.drink=mojito"
    assert (await ask(two.other, "POST", path, headers=as_worker(1)))[0] == 202
    _, _, headers = await ask(two.other, "POST", "submit-job", json={"drink": "beer"})
    for service in two[:2]:
        _, body, _ = await ask(service, "GET", "operator/workers")
        assert [worker["rule"] for worker in body["workers"]] == ["match.drink=mojito"]
        _, body, _ = await ask(service, "GET", headers["Location"])
        assert body["why"] == {"reason": "no_able_worker"}
        _, body, _ = await ask(service, "GET", "menu")
        assert [each["id"] for each in body["drinks"] if "available" not in each] == ["mojito"]
        _, body, _ = await ask(service, "GET", "operator/history/1")
        assert body["job"]["why"] == {"reason": "no_able_worker", "needs": {"drink": "beer"}}
    for rule in ("match.=x", "match." + "a." * 8 + "a=1"):
        answers = [
            (await ask(each, "POST", f"register-worker?{rule}", headers=as_worker(2)))[:2]
            for each in two[:2]
        ]
        assert answers[0] == answers[1]
        assert answers[0][0] == 400


async def test_an_edit_of_the_menu_at_every_process(redis: RedisServer, tmp_path: Path) -> None:
    """The owner reads it for the first answer after it, too."""
    menu = tmp_path / "menu.json"
    tea, beer = ({"id": each, "name": each} for each in ("tea", "beer"))
    menu.write_text(ujson.dumps({"drinks": [tea]}))
    async with two_services(redis.url, tmp_path, menu=menu) as two:
        path = "register-worker?match.drink=tea"
        assert (await ask(two.other, "POST", path, headers=as_worker(1)))[0] == 202
        menu.write_text(ujson.dumps({"drinks": [tea, beer]}))
        _, body, _ = await ask(two.other, "GET", "menu")
        assert body["drinks"] == [tea, beer | {"available": False}]


async def test_a_priority_is_forwarded(redis: RedisServer, tmp_path: Path) -> None:
    """With the order, and by an operator's act."""
    async with two_services(redis.url, tmp_path, priorities=True) as two:
        await ask(two.other, "POST", "submit-job", json=1)
        first = {"Job-Priority": "1"}
        _, _, headers = await ask(two.other, "POST", "submit-job", json=2, headers=first)
        job = headers["Location"]
        _, body, _ = await ask(two.owner, "GET", job)
        assert (body["priority"], body["position"]) == (1, 1)
        path = f"operator/{job}/priority"
        _, body, _ = await ask(two.other, "POST", path, json={"priority": 7})
        assert (body["priority"], body["position"]) == (7, 2)

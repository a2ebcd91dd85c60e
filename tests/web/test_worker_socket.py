"""The websocket of workers, over real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import jsonschema
import pytest
from websockets.asyncio.client import connect

from sanic_dispatch.config.settings import CancelAssigned
from sanic_dispatch.dispatch.dispatcher import Dispatcher
from sanic_dispatch.errors import OwnerUnreachable, UnknownWorker
from sanic_dispatch.live.work_messages_schema import SAID
from sanic_dispatch.web import calls, worker_connections, worker_socket
from sanic_dispatch.web.worker_messages import MEMBERS
from sanic_dispatch.web.worker_socket import MAX_FAULTS, MAX_FRAME_BYTES, MAX_UNANSWERED
from tests.support.http_requests import ask
from tests.support.server import Service, eventually, running_service
from tests.support.tablet import Tablet, tablet

TABLET = {"worker": "tablet-1"}
OPERATOR = "an-operator-token"


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running_service(operator_tokens=(OPERATOR,)) as service:
        yield service


async def submit(service: Service, data: Any = 1) -> str:
    """Submit an order; return its id as soon as the service has it."""
    asyncio.ensure_future(service.submit(data))
    jobs: list[Any] = []
    before = len(await service.app.ctx.dispatcher.queries.jobs(None, 0, 1000))

    async def has_it() -> bool:
        jobs[:] = await service.app.ctx.dispatcher.queries.jobs(None, 0, 1000)
        return len(jobs) > before

    await eventually(has_it)
    return str(jobs[-1].id)


async def waiting(service: Service) -> list[str]:
    """Return the ids of the workers that wait."""
    return [each.id for each in await service.app.ctx.dispatcher.queries.workers()]


async def state_of(service: Service, job_id: str) -> str:
    return str((await service.job(job_id))["state"])


async def test_an_order_from_offer_to_result(service: Service) -> None:
    """Register, job, accept, progress, done; the data and the result byte for byte."""
    async with tablet(service) as worker:
        assert await worker.ok(register=TABLET | {"label": "Bar left"}) == {}
        submitting = asyncio.create_task(service.submit({"drink": "mojito"}))
        job = await worker.hear("job")
        assert job["ticket"] == 1
        assert job["data"] == {"drink": "mojito"}
        report = {"job": job["id"], "receipt": job["receipt"]}
        assert await worker.ok(accept=report) == {"job": job["id"], "lease_s": 60.0}
        assert (await submitting)[:2] == (200, "Assigned")
        says = report | {"percent": 40, "text": "adding gin"}
        assert await worker.ok(progress=says) == {"cancel": False, "lease_s": 60.0}
        progress = (await service.job(job["id"]))["progress"]
        assert progress == {"percent": 40, "text": "adding gin"}
        done = '{"done":{"job":"%s","receipt":"%s","result":{ "n" : 1.0 }}}'
        await worker.websocket.send(done % (job["id"], job["receipt"]))
        assert await worker.hear("ok") == {"job": job["id"], "state": "done"}
        async with service.http.get(f"{service.base_url}jobs/{job['id']}") as answer:
            assert b'"result":{ "n" : 1.0 }' in await answer.read()


async def test_a_registration_is_for_one_job(service: Service) -> None:
    """The next one takes another message; the reply to it comes before its job."""
    first, second = await submit(service, 1), await submit(service, 2)
    async with tablet(service) as worker:
        for job_id in (first, second):
            await worker.ok(register=TABLET)
            assert worker.later == []
            report = await worker.accepted()
            assert report["job"] == job_id
            await worker.ok(done=report)


@pytest.mark.parametrize(
    ("end", "state"),
    [({"done": {"result": 1}}, "done"), ({"fail": {"reason": "no ice"}}, "failed")],
)
async def test_a_last_report_may_ask_for_the_next_job(
    service: Service, end: dict[str, dict[str, Any]], state: str
) -> None:
    """The worker registers as it was; the reply says whether it waits, and comes before its job."""
    first, second = await submit(service, {"drink": "gin"}), await submit(service, {"drink": "gin"})
    ((name, members),) = end.items()
    async with tablet(service) as worker:
        await worker.ok(register=TABLET | {"label": "Left", "match": {"drink": ["gin"]}})
        report = await worker.accepted()
        assert report["job"] == first
        error = await worker.error(**{name: report | members | {"next": 1}})
        assert (error["Error"], error["detail"]) == ("InvalidRequest", "next is true or false")
        ended = await worker.ok(**{name: report | members | {"next": True}})
        assert ended == {"job": first, "state": state, "registered": True}
        assert worker.later == []
        report = await worker.accepted()
        assert report["job"] == second
        last = await worker.ok(**{name: report | members | {"next": True}})
        assert last["registered"]
        (waits,) = await service.app.ctx.dispatcher.queries.workers()
        assert (waits.label, waits.rule) == ("Left", "match.drink=gin")
        again = await worker.ok(**{name: report | members | {"next": True}})
        assert again == last
        unasked = await worker.ok(**{name: report | members | {"next": False}})
        assert unasked == {"job": second, "state": state}


async def test_rules_are_those_of_a_registration(service: Service) -> None:
    """Lists of values, by member; a bar is a character as any other."""
    async with tablet(service) as worker:
        rule = {"match": {"drink": ["gin", "a|b"], "guest.table": ["7"]}, "not": {"size": ["xl"]}}
        await worker.ok(register=TABLET | rule)
        (waits,) = await service.app.ctx.dispatcher.queries.workers()
        assert waits.rule == "match.drink=a||b|gin&match.guest.table=7&not.size=xl"
        guest = {"guest": {"table": 7}}
        await submit(service, {"drink": "a"} | guest)
        await submit(service, {"drink": "gin", "size": "xl"} | guest)
        wanted = await submit(service, {"drink": "a|b"} | guest)
        assert (await worker.hear("job"))["id"] == wanted


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"match": {"drink": "gin"}}, "InvalidMatch"),
        ({"match": {"drink": []}}, "InvalidMatch"),
        ({"match": {"drink": [1]}}, "InvalidMatch"),
        ({"not": ["gin"]}, "InvalidMatch"),
        ({"match": {"a..b": ["gin"]}}, "InvalidMatch"),
        ({"label": 1}, "InvalidRequest"),
        ({"label": "x" * 201}, "InvalidRequest"),
        ({"worker": ""}, "InvalidRequest"),
        ({"worker": "x" * 101}, "InvalidRequest"),
        ({"worker": "a b"}, "InvalidRequest"),
        ({"worker": "b\u00fc"}, "InvalidRequest"),
        ({"worker": 1}, "InvalidRequest"),
    ],
)
async def test_a_registration_that_is_refused(
    service: Service, more: dict[str, Any], error: str
) -> None:
    """A problem document, as over HTTP; the connection goes on."""
    async with tablet(service) as worker:
        problem = await worker.error(register=TABLET | more)
        assert (problem["status"], problem["Error"]) == (400, error)
        await worker.ok(register={"worker": "!" * 100})
        assert await waiting(service) == ["ws:" + "!" * 100]


async def test_withdrawing(service: Service) -> None:
    """Only while it waits."""
    async with tablet(service) as worker:
        assert (await worker.error(withdraw={}))["Error"] == "UnknownWorker"
        await worker.ok(register=TABLET)
        assert await worker.ok(withdraw={}) == {}
        assert await waiting(service) == []
        await worker.ok(register=TABLET)
        await submit(service)
        report = await worker.accepted()
        problem = await worker.error(withdraw={})
        assert problem["Error"] == "WrongState"
        assert problem["job"] == {"id": report["job"], "ticket": 1}


async def test_a_withdrawal_that_is_late(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was held up, and the worker has gone and come back meanwhile: it waits."""
    owner_answers, refused = asyncio.Event(), asyncio.Event()

    async def ask_later(context: Any, function: Any, *arguments: Any) -> Any:
        if function is not Dispatcher.withdraw:
            return await calls.ask(context, function, *arguments)
        await owner_answers.wait()
        try:
            return await calls.ask(context, function, *arguments)
        except UnknownWorker:
            refused.set()
            raise

    monkeypatch.setattr(worker_socket, "ask", ask_later)
    async with tablet(service) as worker:
        await worker.ok(register=TABLET)
        await worker.websocket.send('{"withdraw":{}}')
    async with tablet(service) as worker:
        await worker.ok(register=TABLET)
        owner_answers.set()
        async with asyncio.timeout(5):
            await refused.wait()
        await submit(service)
        await worker.accepted()


async def test_a_registration_whose_reply_is_lost(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It got a 503, and waits all the same: so it can leave the line."""

    async def lose_reply(context: Any, function: Any, *arguments: Any) -> Any:
        await calls.ask(context, function, *arguments)
        raise OwnerUnreachable("bar-1", "the link broke", was_sent=True)

    async with tablet(service) as worker:
        with monkeypatch.context() as patch:
            patch.setattr(worker_socket, "ask", lose_reply)
            assert (await worker.error(register=TABLET))["Error"] == "OwnerUnreachable"
        assert await waiting(service) == ["ws:tablet-1"]
        assert (await worker.error(register=TABLET))["Error"] == "WrongState"
        assert await worker.ok(withdraw={}) == {}
        assert await waiting(service) == []


async def test_a_second_registration_is_refused(service: Service) -> None:
    """While it waits, or has a job, also under another name."""
    async with tablet(service) as worker:
        await worker.ok(register=TABLET)
        for name in ("tablet-1", "tablet-2"):
            problem = await worker.error(register={"worker": name})
            assert (problem["status"], problem["Error"]) == (409, "WrongState")
        await submit(service)
        await worker.accepted()
        assert (await worker.error(register=TABLET))["Error"] == "WrongState"


async def test_a_worker_fails(service: Service) -> None:
    """With retry the job waits again; without it has failed, with the reason."""
    job_id = await submit(service)
    async with tablet(service) as worker:
        for retry, state in ((True, "waiting"), (False, "failed")):
            await worker.ok(register=TABLET)
            says = await worker.accepted() | {"reason": "no ice", "retry": retry}
            assert await worker.ok(fail=says) == {"job": job_id, "state": state}
        assert (await service.job(job_id))["reason"] == "no ice"


@pytest.mark.parametrize("before", [[], [("progress", {"percent": 90})]])
async def test_a_worker_that_goes_after_its_last_word(
    service: Service, before: list[tuple[str, dict[str, Any]]]
) -> None:
    """What arrived before its close frame counts, also if both come in one piece."""
    async with tablet(service) as worker:
        await worker.ok(register=TABLET)
        await submit(service)
        report = await worker.accepted()
        frames = worker.websocket.protocol
        for name, fields in [*before, ("done", {"result": 7})]:
            frames.send_text(json.dumps({name: report | fields}).encode())
        frames.send_text(json.dumps({"register": TABLET}).encode())
        frames.send_close(1000, "")
        worker.websocket.transport.write(b"".join(frames.data_to_send()))
        await worker.closed()

        async def is_done() -> bool:
            return await state_of(service, report["job"]) == "done"

        await eventually(is_done)
    assert await waiting(service) == []


async def test_a_wrong_receipt_and_a_job_that_is_over(service: Service) -> None:
    """NotTheHolder, and WrongState with the state; a refused report is noted on the job."""
    await submit(service)
    async with tablet(service) as worker:
        await worker.ok(register=TABLET)
        report = await worker.accepted()
        wrong = report | {"receipt": "0" * 32}
        for name in ("accept", "progress", "done", "fail"):
            problem = await worker.error(**{name: wrong})
            assert (problem["Error"], problem["state"]) == ("NotTheHolder", "assigned")
        assert (await worker.error(done={"job": "x", "receipt": "y"}))["Error"] == "UnknownJob"
        assert (await worker.error(progress=report | {"percent": 101}))["status"] == 400
        await worker.ok(done=report)
        for name in ("accept", "progress", "fail"):
            problem = await worker.error(**{name: report})
            assert (problem["Error"], problem["state"]) == ("WrongState", "done")


async def test_an_offer_that_is_not_accepted_goes_to_the_next() -> None:
    """After the time-out; a late accept is NotTheHolder, and the registration is over."""
    async with (
        running_service(callback_timeout_s=0.2) as service,
        tablet(service) as slow,
        tablet(service) as quick,
    ):
        await slow.ok(register=TABLET)
        await quick.ok(register={"worker": "tablet-2"})
        await submit(service)
        job = await slow.hear("job")
        report = await quick.accepted()
        late = await slow.error(accept={"job": job["id"], "receipt": job["receipt"]})
        assert late["Error"] == "NotTheHolder"
        await quick.ok(done=report)
        assert await waiting(service) == []


async def test_an_offer_to_a_connection_that_goes_comes_back_at_once(service: Service) -> None:
    """Long before its time-out; the worker keeps its place, and its session."""
    async with tablet(service) as other:
        async with tablet(service) as worker:
            await worker.ok(register=TABLET)
            await other.ok(register={"worker": "tablet-2"})
            await submit(service, 1)
            await worker.hear("job")
            worker.websocket.transport.abort()
            report = await other.accepted()
        await other.ok(done=report)
        assert await waiting(service) == ["ws:tablet-1"]
        async with tablet(service, f"?session={worker.session}") as again:
            assert again.session == worker.session
            await submit(service, 2)
            await again.ok(done=await again.accepted())


async def test_a_session_takes_its_job_up_again(service: Service) -> None:
    """The job is sent again after the welcome, with what its holder has to know."""
    await submit(service)
    async with tablet(service) as worker:
        await worker.ok(register=TABLET)
        report = await worker.accepted()
    status = await ask(service, "DELETE", f"jobs/{report['job']}")
    assert status.status == 202
    async with tablet(service, f"?session={worker.session}") as again:
        job = await again.hear("job")
        assert (job["id"], job["receipt"]) == (report["job"], report["receipt"])
        assert await again.hear("cancel") == {"job": job["id"]}
        await again.ok(fail=report | {"cancelled": True})


async def test_a_session_that_is_gone(service: Service) -> None:
    """Welcome with a new one, and an error for the job that it lost."""
    async with tablet(service, "?session=unknown") as worker:
        assert worker.session != "unknown"
        await worker.ok(register=TABLET)
        await submit(service)
        report = await worker.accepted()
    answer = await ask(service, "POST", f"operator/jobs/{report['job']}/put-back", OPERATOR)
    assert answer.status == 200
    async with tablet(service, f"?session={worker.session}") as again:
        assert again.session != worker.session
        problem = await again.hear("error")
        assert (problem["Error"], problem["job"]) == ("NotTheHolder", {"id": report["job"]})
    async with tablet(service, f"?session={worker.session}") as again:
        assert again.later == []


async def test_a_second_connection_replaces_the_first(service: Service) -> None:
    """By name or by session: 4409, and what the worker has is the second one's."""
    async with tablet(service) as first:
        await first.ok(register=TABLET)
        async with tablet(service, f"?session={first.session}") as second:
            assert await first.closed() == 4409
            async with tablet(service) as third:
                await third.ok(register=TABLET)
                assert await second.closed() == 4409
                await submit(service)
                await third.ok(done=await third.accepted())


async def test_cancelling_what_is_being_made(service: Service) -> None:
    """The worker is told, and in each answer; done means served, cancelled means cancelled."""
    async with tablet(service) as worker:
        for ending, more, state in (
            ("fail", {"cancelled": True}, "cancelled"),
            ("done", {}, "done"),
        ):
            job_id = await submit(service)
            await worker.ok(register=TABLET)
            report = await worker.accepted()
            answer = await ask(service, "DELETE", f"jobs/{job_id}")
            assert (answer.status, answer.body) == (202, {"Cancelling": True})
            assert await worker.hear("cancel") == {"job": job_id}
            assert (await worker.ok(progress=report | {"percent": 1}))["cancel"] is True
            job = await service.job(job_id)
            assert (job["state"], job["cancelling"]) == ("assigned", True)
            ended = await worker.ok(**{ending: report | more})
            assert ended["state"] == state == await state_of(service, job_id)


async def test_customers_may_not_cancel_what_is_made_where_that_is_off() -> None:
    """409 as ever; an operator may."""
    never, tokens = CancelAssigned.NEVER, (OPERATOR,)
    async with (
        running_service(cancel_assigned=never, operator_tokens=tokens) as service,
        tablet(service) as worker,
    ):
        await worker.ok(register=TABLET)
        job_id = await submit(service)
        await worker.accepted()
        assert (await ask(service, "DELETE", f"jobs/{job_id}")).status == 409
        answer = await ask(service, "POST", f"operator/jobs/{job_id}/cancel", OPERATOR)
        assert (answer.status, answer.body["cancelling"]) == (202, True)
        await worker.hear("cancel")


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("hello", "InvalidJson"),
        ("", "InvalidJson"),
        ("[]", "InvalidRequest"),
        ("{}", "InvalidRequest"),
        ('{"ref":1}', "InvalidRequest"),
        ('{"order":{}}', "InvalidRequest"),
        ('{"withdraw":{},"accept":{}}', "InvalidRequest"),
        ('{"withdraw":[]}', "InvalidRequest"),
        ('{"accept":{"job":1,"receipt":""}}', "InvalidRequest"),
        ('{"withdraw":{},"ref":NaN}', "InvalidJson"),
        ('{"withdraw":{},"withdraw":{}}', "InvalidRequest"),
        ('{"withdraw":{}}' + " " * 65_536, "TooLarge"),
    ],
)
async def test_what_cannot_be_read(service: Service, message: str, error: str) -> None:
    """An error; when it goes on the connection is closed with 4400."""
    async with tablet(service) as worker:
        for _ in range(MAX_FAULTS - 1):
            await worker.websocket.send(message)
            assert (await worker.hear("error"))["Error"] == error
        await worker.ok(register=TABLET)
        for _ in range(MAX_FAULTS):
            await worker.websocket.send(message)
        assert await worker.closed() == 4400
        assert worker.websocket.close_reason == f"{MAX_FAULTS} invalid messages in a row"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (
            {"register": TABLET | {"mtach": {"drink": ["gin"]}}},
            "there is no member 'mtach', only worker, label, match, not",
        ),
        ({"withdraw": {"reason": ""}}, "there is no member 'reason'"),
        ({"accept": {"percent": 1}}, "there is no member 'percent', only job, receipt"),
        ({"progress": {"pct": 1}}, "there is no member 'pct', only job, receipt, percent, text"),
        (
            {"done": {"resutl": 1}},
            "there is no member 'resutl', only job, receipt, result, next",
        ),
        (
            {"fail": {"rety": True}},
            "there is no member 'rety', only job, receipt, reason, retry, cancelled, next",
        ),
    ],
)
async def test_a_misspelt_member_is_refused(
    service: Service, message: dict[str, Any], reason: str
) -> None:
    """The error names it, and nothing happens: no worker waits that would take every job."""
    async with tablet(service) as worker:
        problem = await worker.error(**message)
        assert (problem["Error"], problem["detail"]) == ("InvalidRequest", reason)
        assert await waiting(service) == []


def test_the_members_of_messages_are_those_of_their_schemas() -> None:
    """The service reads the members that /asyncapi.json has, and no others."""
    said = {name: tuple(SAID[name]["properties"][name]["properties"]) for name in SAID}
    assert said == MEMBERS


async def test_what_is_refused_can_be_read(service: Service) -> None:
    """It comes between messages that cannot be read, so these are not in a row."""
    async with tablet(service) as worker:
        for said in ["{}"] * (MAX_FAULTS - 1) + ['{"withdraw":{}}'] + ["{}"] * (MAX_FAULTS - 1):
            await worker.websocket.send(said)
            await worker.hear("error")
        await worker.ok(register=TABLET)


async def test_the_reply_repeats_the_reference(service: Service) -> None:
    """Any JSON, byte for byte, also with an error."""
    async with tablet(service) as worker:
        for message, name in (
            ({"register": TABLET}, "ok"),
            ({"accept": {"job": "x", "receipt": "y"}}, "error"),
            ({"nonsense": {}}, "error"),
        ):
            for ref in ({"a": [1, None]}, "x", None, 0):
                await worker.websocket.send(json.dumps(message | {"ref": ref}))
                async with asyncio.timeout(5):
                    reply = json.loads(await worker.websocket.recv())
                assert (reply["ref"], name in reply or "error" in reply) == (ref, True)


async def test_the_reply_to_what_is_too_large(service: Service) -> None:
    """It repeats the reference, too: the one who asked must not wait for ever."""
    async with tablet(service) as worker:
        await worker.websocket.send(json.dumps({"done": {"result": "x" * 65_536}, "ref": 7}))
        async with asyncio.timeout(5):
            reply = json.loads(await worker.websocket.recv())
        assert (reply["error"]["Error"], reply["ref"]) == ("TooLarge", 7)


async def test_a_message_in_fragments(service: Service) -> None:
    """And one that is binary, as some libraries send text."""
    async with tablet(service) as worker:
        await worker.websocket.send(iter(['{"register":', '{"worker":"b', '1"}}']))
        assert await worker.hear("ok") == {}
        await worker.websocket.send(b'{"withdraw":{}}')
        assert await worker.hear("ok") == {}


async def test_what_is_too_much(service: Service) -> None:
    """1009 for a huge message, 4400 for a flood, 1007 for what is not text."""
    async with tablet(service) as worker:
        await worker.websocket.send("x" * (MAX_FRAME_BYTES + 1))
        assert await worker.closed() == 1009
    async with tablet(service) as worker:
        for _ in range(MAX_UNANSWERED + 2):
            worker.websocket.protocol.send_text(b'{"withdraw":{}}')
        worker.websocket.transport.write(b"".join(worker.websocket.protocol.data_to_send()))
        assert await worker.closed() == 4400
    async with tablet(service) as worker:
        await worker.websocket.send(b"\xff", text=True)
        assert await worker.closed() == 1007


async def test_who_is_not_let_in() -> None:
    """4401 without the token, 4403 from a page of another site, 4503 if there are too many."""
    async with running_service(worker_tokens=("a-worker",), max_connections=1) as service:
        url = service.base_url.replace("http", "ws", 1) + "work"
        for query, origin, code in (
            ("", None, 4401),
            ("?token=wrong", None, 4401),
            ("?token=a-worker", "http://elsewhere.example", 4403),
        ):
            async with connect(url + query, origin=origin) as websocket:
                await asyncio.wait_for(websocket.wait_closed(), 5)
                assert websocket.close_code == code
        async with tablet(service, "?token=a-worker"):
            async with connect(url + "?token=a-worker") as websocket:
                await asyncio.wait_for(websocket.wait_closed(), 5)
                assert websocket.close_code == 4503
            answer = await ask(
                service, "POST", "register-worker?wait=1", "a-worker", headers={"Worker-Id": "x"}
            )
            assert (answer.status, answer.body["Error"]) == (503, "TooManyClients")
        headers = {"Authorization": "Bearer a-worker"}
        async with tablet(service, additional_headers=headers):
            pass


async def test_without_a_handshake(service: Service) -> None:
    """426, as of the live channel."""
    answer = await ask(service, "GET", "work")
    assert (answer.status, answer.body["Error"]) == (426, "UpgradeRequired")


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let silence be found in a twentieth of the time."""
    monkeypatch.setattr(worker_socket, "PING_S", 0.25)
    monkeypatch.setattr(worker_socket, "SILENCE_S", 0.5)
    monkeypatch.setattr(worker_connections, "TICK_S", 0.05)


@pytest.mark.usefixtures("soon")
async def test_a_silent_worker_is_found(service: Service) -> None:
    """What it was offered goes to the next; one that answers the pings stays."""
    async with tablet(service) as frozen, tablet(service) as awake:
        await frozen.ok(register=TABLET)
        await awake.ok(register={"worker": "tablet-2"})
        frozen.websocket.transport.pause_reading()
        await submit(service)
        await awake.ok(done=await awake.accepted())
        assert await waiting(service) == ["ws:tablet-1"]

        async def is_alone() -> bool:
            return len(service.app.ctx.worker_connections._sockets) == 1

        await eventually(is_alone)
        await awake.ok(register={"worker": "tablet-2"})
        frozen.websocket.transport.abort()  # else its end is waited for


async def test_a_frozen_worker_is_dead_within_11_s(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the times that are in use: passed over from then on, with its place kept."""
    loop, passed_s = asyncio.get_running_loop(), 0.0
    now_s, counts = loop.time, service.app.ctx.worker_connections.counts
    monkeypatch.setattr(loop, "time", lambda: now_s() + passed_s)
    async with tablet(service) as frozen, tablet(service) as awake:
        await frozen.ok(register=TABLET)
        await awake.ok(register={"worker": "tablet-2"})
        frozen.websocket.transport.pause_reading()

        while passed_s < 10.6 and counts()["websocket"] == 2:
            passed_s += 0.4  # less than TICK_S: else it would seem to have been held up
            await (await awake.websocket.ping())
        assert counts() == {"websocket": 1, "poll": 0}
        assert await waiting(service) == ["ws:tablet-1", "ws:tablet-2"]
        await submit(service)
        await awake.ok(done=await awake.accepted())
        frozen.websocket.transport.abort()  # else its end is waited for


@pytest.mark.usefixtures("soon")
async def test_a_worker_that_does_not_read_is_dropped(service: Service) -> None:
    """Also if it goes on sending: what is not read would pile up."""
    async with tablet(service) as worker:
        worker.websocket.transport.pause_reading()
        ref = "x" * 60_000

        async def is_gone() -> bool:
            with_ref = {"withdraw": {}, "ref": ref}
            if not worker.websocket.transport.is_closing():
                worker.websocket.protocol.send_text(json.dumps(with_ref).encode())
                worker.websocket.send_data()
            return not service.app.ctx.worker_connections._sockets

        await eventually(is_gone)


async def test_the_stop_closes_with_1012() -> None:
    """And what was offered goes back."""
    async with running_service() as service:
        url = service.base_url.replace("http", "ws", 1) + "work"
        websocket = await connect(url)
        worker = Tablet(websocket)
        await worker.hear("welcome")
        await worker.ok(register=TABLET)
    assert await worker.closed() == 1012


@pytest.mark.parametrize(
    "message",
    [
        {"register": TABLET | {"match": {"drink": ["gin"]}}, "ref": 1},
        {"withdraw": {}},
        {"accept": {"job": "x", "receipt": "y"}},
        {"progress": {"job": "x", "receipt": "y", "text": "adding gin"}},
        {"done": {"job": "x", "receipt": "y", "result": None}},
        {"fail": {"job": "x", "receipt": "y", "cancelled": True}},
    ],
)
def test_the_messages_of_workers_fit_their_schemas(message: dict[str, Any]) -> None:
    """And those schemas refuse others."""
    (name,) = message.keys() - {"ref"}
    validator = jsonschema.Draft7Validator(SAID[name])
    assert validator.is_valid(message)
    assert not validator.is_valid(message | {"other": {}})
    assert not validator.is_valid({name: []})

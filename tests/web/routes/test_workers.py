"""POST /register-worker, literally, with engines that behave like CPEE."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sanic_dispatch.simulation import Engine, Instance
from sanic_dispatch.web.request_body import FORM
from tests.support.http_requests import Answer, address_of, ask, register
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


# ---- rules


def callback_of(number: int) -> str:
    """Return a callback that refuses connections."""
    return f"http://127.0.0.1:1/{number}/callbacks/5480964890e4a865b1cee2b2fe93f45a/"


async def with_arguments(
    service: Service, arguments: str, where: str = "query", callback: str = CALLBACK
) -> Answer:
    """Register a worker with form-encoded arguments in its query or its body."""
    query, body = (f"?{arguments}", "") if where == "query" else ("", arguments)
    headers = {"CPEE-CALLBACK": callback, "Content-Type": FORM}
    data = body.encode()
    return await ask(service, "POST", "register-worker" + query, headers=headers, data=data)


async def rules_of(service: Service) -> list[str]:
    """Return the rules of the waiting workers."""
    return [worker.rule for worker in await service.app.ctx.dispatcher.queries.workers()]


ENGINES_REQUEST = (
    b"POST /register-worker HTTP/1.1\r\n"
    b"Host: 127.0.0.1:2567\r\n"
    b"Accept: */*\r\n"
    b"User-Agent: Typhoeus - https://github.com/typhoeus/typhoeus\r\n"
    b"CPEE-BASE: http://127.0.0.1:1/\r\n"
    b"CPEE-INSTANCE: 4\r\n"
    b"CPEE-INSTANCE-URL: http://127.0.0.1:1/4/\r\n"
    b"CPEE-INSTANCE-UUID: b0bc965b-11b4-4dfa-91bb-4a145ab2d3b2\r\n"
    b"CPEE-CALLBACK: http://127.0.0.1:1/4/callbacks/5480964890e4a865b1cee2b2fe93f45a/\r\n"
    b"CPEE-CALLBACK-ID: 5480964890e4a865b1cee2b2fe93f45a\r\n"
    b"CPEE-ACTIVITY: a1\r\n"
    b"CPEE-LABEL: Register worker\r\n"
    b"CPEE-ATTR-INFO: Worker\r\n"
    b"Content-Length: %d\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n\r\n%b"
)
"""What an engine sends, its attributes left out."""


@pytest.mark.parametrize("is_cut", [False, True], ids=["whole", "in pieces"])
async def test_an_engines_form(service: Service, is_cut: bool) -> None:
    """Its rule is read from the body, also if that comes later than the head."""
    body = b"kind=drinks&match.drink=mojito%7Cgin%20tonic&not.size=xl&skills=a+b"
    request = ENGINES_REQUEST % (len(body), body)
    at = len(request) - 20 if is_cut else len(request)
    reader, writer = await asyncio.open_connection(*address_of(service))
    writer.write(request[:at])
    await writer.drain()
    if is_cut:
        await asyncio.sleep(0)
        writer.write(request[at:])
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    assert head.startswith(b"HTTP/1.1 202 ")
    assert await rules_of(service) == ["match.drink=gin tonic|mojito&not.size=xl"]


@pytest.mark.parametrize("where", ["query", "form"])
async def test_a_worker_gets_only_what_it_takes(service: Service, where: str) -> None:
    """The first job that its rule admits; any other one waits for another worker."""
    for drink in ("beer", "mojito", "negroni"):
        await service.submit({"drink": drink})
    rule = "match.drink=negroni%7Cmojito"
    for drink in ("mojito", "negroni"):
        got = await with_arguments(service, rule, where, callback_of(len(drink)))
        assert got.body["Job"]["data"] == {"drink": drink}
    waiting = await with_arguments(service, rule, where, callback_of(1))
    assert waiting.status == 202
    anything = await register(service, callback_of(2))
    assert anything.body["Job"]["data"] == {"drink": "beer"}


async def test_arguments_of_query_and_form_count_together(service: Service) -> None:
    """An argument that is there twice is two conditions; all others are ignored."""
    headers = {"CPEE-CALLBACK": CALLBACK, "Content-Type": FORM + "; charset=utf-8"}
    path = "register-worker?lost&match.drink=a%7Cb&kind=drinks&match=x"
    answer = await ask(
        service, "POST", path, headers=headers, data=b"match.drink=b%7Cc&nothing.drink=d"
    )
    assert answer.status == 202
    assert await rules_of(service) == ["match.drink=a|b&match.drink=b|c"]


async def test_a_repeat_keeps_its_rule(service: Service) -> None:
    """A new callback brings its own."""
    await with_arguments(service, "match.drink=beer")
    await with_arguments(service, "match.drink=mojito")
    await with_arguments(service, "", callback=callback_of(2))
    assert await rules_of(service) == ["match.drink=beer", ""]


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        ("application/json", b'{"match.drink": "beer"}'),
        ("text/plain", b"match.drink=beer"),
        ("multipart/form-data; boundary=x", b"--x--"),
        (FORM, b""),
        (FORM, b"\xff\x00&&=&a"),
    ],
)
async def test_what_is_no_form_is_ignored(service: Service, media_type: str, body: bytes) -> None:
    """Without a rule a worker takes any job."""
    headers = {"CPEE-CALLBACK": CALLBACK, "Content-Type": media_type}
    answer = await ask(service, "POST", "register-worker", headers=headers, data=body)
    assert answer.status == 202
    assert await rules_of(service) == [""]


@pytest.mark.parametrize("where", ["query", "form"])
@pytest.mark.parametrize(
    ("arguments", "culprit", "why"),
    [
        ("match.=x", "match.", "names no member"),
        ("not.a..b=1", "not.a..b", "names no member"),
        (f"match.{'x' * 200}.=1", f"match.{'x' * 94}", "names no member"),
        ("match.a.b.c.d.e.f.g.h.i=1", "match.a.b.c.d.e.f.g.h.i", "more than 8 members"),
        ("&".join(f"match.a{n}=1" for n in range(17)), "the rule", "more than 16 conditions"),
        (f"match.a={'x' * 4089}", "the rule", "longer than 4096 bytes"),
        ("a&" * 1001, "the request", "more than 1000 arguments"),
    ],
    ids=lambda text: text[:20],
)
async def test_what_is_no_rule(
    service: Service, where: str, arguments: str, culprit: str, why: str
) -> None:
    """400 InvalidMatch with where and why; the worker is not enqueued."""
    answer = await with_arguments(service, arguments, where)
    assert (answer.status, answer.body["Error"]) == (400, "InvalidMatch")
    assert answer.body["where"] == culprit
    assert why in answer.body["why"]
    assert await rules_of(service) == []


async def test_a_form_that_is_too_large(service: Service) -> None:
    """413: reading its arguments would hold up everybody else."""
    answer = await with_arguments(service, "a=" + "x" * 2**16, "form")
    assert (answer.status, answer.body["Error"]) == (413, "TooLarge")


async def test_too_many_rules() -> None:
    """503 with Retry-After for one more; a rule that is present, or none, is welcome."""
    async with running_service(max_rules=2) as service:
        for number, drink in enumerate(["beer", "mojito"]):
            await with_arguments(service, f"match.drink={drink}", callback=callback_of(number))
        refused = await with_arguments(service, "match.drink=tea", callback=callback_of(3))
        assert (refused.status, refused.body["Error"]) == (503, "TooManyRules")
        assert refused.headers["Retry-After"] == "10"
        for number, arguments in ((4, "match.drink=beer"), (5, "")):
            answer = await with_arguments(service, arguments, callback=callback_of(number))
            assert answer.status == 202


async def test_customers_take_turns() -> None:
    """With --fair-by the second customer comes before the second drink of the first one."""
    async with running_service(fair_by="/guest/name") as service:
        for name in ("Ada", "Ada", "Bert"):
            await service.submit({"guest": {"name": name}})
        got = [await register(service, callback_of(number)) for number in range(3)]
    names = [answer.body["Job"]["data"]["guest"]["name"] for answer in got]
    assert names == ["Ada", "Bert", "Ada"]


async def test_operators_see_rules() -> None:
    """In the list of workers; a worker that takes any job has none."""
    async with running_service(operator_tokens=("operator-token",)) as service:
        await with_arguments(service, "not.size=xl&match.drink=b%7Ca", callback=callback_of(1))
        await register(service, callback_of(2))
        answer = await ask(service, "GET", "operator/workers", "operator-token")
    rules = [worker.get("rule") for worker in answer.body["workers"]]
    assert rules == ["match.drink=a|b&not.size=xl", None]


async def test_a_registration_that_ends(service: Service, engine: Engine) -> None:
    """After its ttl the callback is told so, and the worker is out of the line."""
    calling = call(service, instance := engine.start_instance(), "?ttl=1")
    await instance.until(lambda: instance.waiting)
    (worker,) = await service.app.ctx.dispatcher.queries.workers()
    assert (await asyncio.wait_for(calling, 10)).value == {
        "Expired": {"registered_at": worker.registered_at}
    }

    async def is_empty() -> bool:
        return await service.app.ctx.dispatcher.queries.workers() == []

    await eventually(is_empty)
    assert (await service.submit(1))[1] == {"Queued": {"position": 1}}


@pytest.mark.parametrize("place", ["query", "form"])
@pytest.mark.parametrize("ttl", ["", "x", "0", "604801", "-1", "nan"])
async def test_a_ttl_that_is_none(service: Service, place: str, ttl: str) -> None:
    """400, with what is allowed."""
    answer = await with_arguments(service, f"ttl={ttl}", place)
    assert (answer.status, answer.body["Error"]) == (400, "InvalidRequest")
    assert answer.body["detail"] == "ttl is a number of seconds from 1 to 604800"


async def withdraw(service: Service, callback: str | None = CALLBACK) -> Answer:
    headers = {} if callback is None else {"CPEE-CALLBACK": callback}
    return await ask(service, "DELETE", "register-worker", headers=headers)


async def test_a_worker_withdraws(service: Service) -> None:
    """204 once, then 404; 409 with the job that it has."""
    await register(service)
    assert (await withdraw(service)).status == 204
    answer = await withdraw(service)
    assert (answer.status, answer.body["Error"]) == (404, "UnknownWorker")
    _, _, job_id = await service.submit(1)
    await register(service, CPEE_INSTANCE_UUID="i1", CPEE_ACTIVITY="a1")
    answer = await withdraw(service)
    assert (answer.status, answer.body["Error"]) == (409, "WrongState")
    assert answer.body["job"] == {"id": job_id, "ticket": 1}


@pytest.mark.parametrize(("callback", "error"), [(None, "Missing"), ("nonsense", "NotAUrl")])
async def test_nobody_withdraws(service: Service, callback: str | None, error: str) -> None:
    """400 without a callback, as of a registration."""
    answer = await withdraw(service, callback)
    assert (answer.status, answer.body["Error"]) == (400, error)

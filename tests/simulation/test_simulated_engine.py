"""The engine's answers to callbacks and probes, as they were measured."""

from __future__ import annotations

import asyncio
from io import BytesIO

import aiohttp
import pytest

from sanic_dispatch.callbacks.callback_client import CallbackClient
from sanic_dispatch.callbacks.guard import Guard
from sanic_dispatch.callbacks.outcome import Accepted, InDoubt, Refused
from sanic_dispatch.simulation import Engine


async def status_of(http, method, url, **options):
    async with http.request(method, url, **options) as response:
        await response.read()
        return response.status


async def put(http, url, body=b'{"Job":{}}', content_type="application/json", **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await status_of(
        http, "PUT", url, data=body, headers={"Content-Type": content_type, **named}
    )


async def test_pending(instance, waiting, http):
    """A pending callback answers a PUT with 200, an empty body, text/plain."""
    task = await waiting()
    async with http.put(instance.callback_urls[0], json=1) as response:
        assert (response.status, response.content_type) == (200, "text/plain")
        assert await response.read() == b""
    assert (await task).by_callback


async def test_without_the_trailing_slash(instance, waiting, http):
    """The callback works without its trailing slash too."""
    await waiting()
    assert await put(http, instance.callback_urls[0].rstrip("/")) == 200


async def test_second_put(instance, waiting, http):
    """A second PUT, some ms later, gets 503, and a GET 404."""
    await waiting()
    url = instance.callback_urls[0]
    assert await put(http, url) == 200
    await instance.until(lambda: not instance.callback_urls)
    assert await put(http, url) == 503
    assert await status_of(http, "GET", url) == 404


async def test_unknown(engine, instance, http):
    """An unknown callback gets 503, an unknown instance 404."""
    assert await put(http, f"{instance.url}callbacks/{'0' * 32}/") == 503
    assert await put(http, f"{engine.base_url}99/callbacks/{'0' * 32}/") == 404
    assert await put(http, f"{engine.base_url}x/callbacks/{'0' * 32}/") == 404
    assert await status_of(http, "GET", f"{engine.base_url}99/properties/state/") == 404
    assert await status_of(http, "GET", instance.url + "elsewhere/") == 404


@pytest.mark.parametrize("act", ["stop", "abandon", "delete"])
async def test_stopped_abandoned_deleted(instance, waiting, http, act):
    """A stopped, abandoned or just deleted instance answers 503 to PUT and 404 to GET."""
    await waiting()
    url = instance.callback_urls[0]
    getattr(instance, act)()
    assert await put(http, url) == 503
    assert await status_of(http, "GET", url) == 404


@pytest.mark.parametrize("method", ["POST", "PATCH", "HEAD", "OPTIONS"])
async def test_other_methods(instance, waiting, http, method):
    """Methods other than GET, PUT and DELETE get 501, and the callback waits on."""
    await waiting()
    assert await status_of(http, method, instance.callback_urls[0]) == 501
    assert instance.waiting


async def test_empty_json(instance, waiting, http):
    """JSON without a body gets 500, and the callback waits on."""
    await waiting()
    assert await put(http, instance.callback_urls[0], b"") == 500
    assert instance.waiting


@pytest.mark.parametrize(
    ("body", "content_type", "value"),
    [
        (b'{"a":[1,"\xc3\xbc"]}', "application/json", {"a": [1, "ü"]}),
        (b"1", "application/json; charset=utf-8", 1),
        (b"{", "application/json", None),
        (b"\xff", "application/json", None),
        (b"hello", "text/plain", "hello"),
        (b'{"a":1}', "application/vnd.x+json", "eyJhIjoxfQ=="),
    ],
)
async def test_parsing_of_the_body(instance, waiting, http, body, content_type, value):
    """Only plain JSON is parsed; invalid JSON is nil, and still gets 200 and advances."""
    task = await waiting()
    assert await put(http, instance.callback_urls[0], body, content_type) == 200
    result = await task
    assert (result.value, result.body) == (value, body)


async def test_chunked(instance, waiting, http):
    """A chunked body gets 200, advances, and has no result."""

    async def chunks():
        yield b'{"Job":{}}'

    task = await waiting()
    assert await put(http, instance.callback_urls[0], chunks()) == 200
    assert (await task).value is None


async def test_large_bodies(instance, waiting, http):
    """Two megabytes are accepted."""
    task = await waiting()
    body = BytesIO(b'"' + b"x" * 2 * 2**20 + b'"')
    assert await put(http, instance.callback_urls[0], body) == 200
    assert (await task).value == "x" * 2 * 2**20


async def test_concurrent_puts(service, waiting, http):
    """Concurrent PUTs all get 200; one advances the process, and the others' jobs are lost."""
    async with Engine(unregister_after_s=60) as engine:
        instance = engine.start_instance()
        task = await waiting(instance)
        url = instance.callback_urls[0]
        puts = [put(http, url, b"%d" % n) for n in range(5)]
        assert await asyncio.gather(*puts) == [200] * 5
        assert len(instance.puts) == 5
        assert (await task).body == instance.puts[0].body
        assert (len(service.requests), instance.callback_urls) == (1, [url])


@pytest.mark.parametrize("value", ["true", "false", ""])
async def test_update(instance, waiting, http, value):
    """CPEE-UPDATE with any value does not advance, and the callback stays usable."""
    task = await waiting()
    url = instance.callback_urls[0]
    assert await put(http, url, b'{"place":2}', CPEE_UPDATE=value, CPEE_STATUS="second") == 200
    assert (instance.updates, instance.status) == ([{"place": 2}], "second")
    assert await put(http, url, b"1") == 200
    assert (await task).value == 1


async def test_status_alone(instance, waiting, http):
    """CPEE-STATUS only shows a status; the PUT advances as any other."""
    task = await waiting()
    assert await put(http, instance.callback_urls[0], b"1", CPEE_STATUS="mixing") == 200
    assert (await task).value == 1
    assert instance.status == "mixing"


async def test_salvage(instance, waiting, http):
    """CPEE-SALVAGE stops the instance."""
    await waiting()
    assert await put(http, instance.callback_urls[0], CPEE_SALVAGE="true") == 200
    assert instance.state == "stopped"


async def test_event(instance, waiting, http):
    """CPEE-EVENT without CPEE-UPDATE advances with the result of the call before."""
    first = await waiting()
    await put(http, instance.callback_urls[0], b'"old"')
    await first
    await instance.until(lambda: not instance.callback_urls)
    second = await waiting()
    assert await put(http, instance.callback_urls[0], b'"new"', CPEE_EVENT="x") == 200
    assert (await second).value == "old"


async def test_get(instance, waiting, http):
    """GET shows whether a callback is pending, and does not use it."""
    await waiting()
    for _ in range(2):
        async with http.get(instance.callback_urls[0]) as response:
            assert (response.status, response.content_type) == (200, "application/json")
            assert await response.json() == {
                "uuid": instance.uuid,
                "type": "callback",
                "position": "a1",
                "label": "Register worker",
            }


async def test_delete_callback(instance, waiting, http):
    """DELETE gets 200, and the call then waits for ever."""
    task = await waiting()
    url = instance.callback_urls[0]
    assert await status_of(http, "DELETE", url) == 200
    assert await put(http, url) == 503
    assert await status_of(http, "DELETE", url) == 404
    assert not task.done()


async def test_stop_and_continue(instance, waiting, service, http):
    """After a continue the same callback is valid again, without a new call."""
    task = await waiting()
    url = instance.callback_urls[0]
    instance.stop()
    assert await put(http, url, b"1") == 503
    instance.resume()
    assert instance.callback_urls == [url]
    assert await put(http, url, b"2") == 200
    assert (await task).value == 2
    assert len(service.requests) == 1


async def test_killed(instance, waiting, http):
    """A killed process: state running, GET 200, PUT 200 again and again, and the jobs are lost."""
    task = await waiting()
    url = instance.callback_urls[0]
    instance.kill()
    for _ in range(2):
        assert await status_of(http, "GET", url) == 200
        assert await put(http, url) == 200
    assert await status_of(http, "GET", url) == 200
    assert await state(http, instance) == (200, "running")
    assert not task.done()


async def test_repaired(instance, waiting, service, http):
    """Stopped and continued, a killed instance waits on the same callback without a new call."""
    task = await waiting()
    url = instance.callback_urls[0]
    instance.kill()
    assert await put(http, url, b"1") == 200
    instance.stop()
    assert await state(http, instance) == (200, "stopping")
    assert await put(http, url, b"2") == 503
    assert await status_of(http, "GET", url) == 404
    instance.resume()
    assert await state(http, instance) == (200, "running")
    assert await status_of(http, "GET", url) == 200
    assert await put(http, url, b"3") == 200
    assert (await task).value == 3
    assert len(service.requests) == 1


async def test_the_state_can_be_set(instance, waiting, http):
    """The engine's own interface stops, continues and abandons instances."""
    task = await waiting()
    for value, word in (
        ("stopping", "stopped"),
        ("running", "running"),
        ("abandoned", "abandoned"),
    ):
        url = instance.url + "properties/state/"
        assert await status_of(http, "PUT", url, data={"value": value}) == 200
        assert await state(http, instance) == (200, word)
    assert await status_of(http, "PUT", url, data={"value": "asleep"}) == 406
    await asyncio.gather(task, return_exceptions=True)


async def test_to_continue_without_a_stop_repairs_nothing(instance, waiting, http):
    """A killed instance is running already: only after a stop it gets a process."""
    await waiting()
    url = instance.callback_urls[0]
    instance.kill()
    instance.resume()
    assert await put(http, url) == 200
    assert instance.callback_urls == [url]


async def test_engine_restart(engine, instance, waiting, http):
    """A stopped engine refuses connections; after its restart the callback still works."""
    task = await waiting()
    url = instance.callback_urls[0]
    await engine.down()
    with pytest.raises(aiohttp.ClientConnectorError):
        await put(http, url)
    await engine.up()
    assert instance.callback_urls == [url]
    assert await put(http, url, b"1") == 200
    assert (await task).value == 1


async def state(http, instance):
    async with http.get(instance.url + "properties/state/") as response:
        return response.status, await response.text()


@pytest.mark.parametrize(
    ("act", "word"),
    [("stop", "stopped"), ("abandon", "abandoned"), ("finish", "finished"), ("kill", "running")],
)
async def test_state(instance, http, act, word):
    """The state is one word, text/plain."""
    assert await state(http, instance) == (200, "running")
    getattr(instance, act)()
    assert await state(http, instance) == (200, word)


async def uuid(http, instance):
    async with http.get(instance.url + "properties/attributes/uuid/") as response:
        return response.status, await response.text()


async def test_deleted(http):
    """A deleted instance is known for 30 s, then it is 404."""
    now_s = 1000.0
    async with Engine(now_s=lambda: now_s) as engine:
        instance = engine.start_instance()
        instance.delete()
        now_s += 29.9
        assert await state(http, instance) == (200, "running")
        assert await uuid(http, instance) == (200, instance.uuid)
        now_s += 0.2
        assert (await state(http, instance))[0] == 404
        assert (await uuid(http, instance))[0] == 404
        assert await put(http, f"{instance.url}callbacks/x/") == 404


async def test_numbers_are_used_again(engine, http):
    """The number of a deleted instance is free at once; the UUID tells the instances apart."""
    first, second = engine.start_instance(), engine.start_instance()
    assert await uuid(http, first) == (200, first.uuid)
    first.delete()
    again = engine.start_instance()
    assert (again.number, second.number, again.url) == (1, 2, first.url)
    assert await uuid(http, first) == (200, again.uuid)
    assert again.uuid != first.uuid


async def test_for_30_s_a_used_number_inherits(service, waiting, http):
    """A new instance continues where the last one of its number was, waits, and never calls."""
    now_s = 1000.0
    async with Engine(now_s=lambda: now_s) as engine:
        first = engine.start_instance("Robot", {"theme": "dark"})
        await waiting(first)
        url = first.callback_urls[0]
        now_s += 100.0
        heir = engine.restart(first)
        now_s += 29.9
        assert (heir.number, heir.attributes["info"], heir.attributes["theme"]) == (
            1, "Robot", "dark",
        )  # fmt: skip
        async with http.get(url) as response:
            assert (await response.json())["uuid"] == heir.uuid
        calling = asyncio.create_task(heir.call(service.url))
        assert await put(http, url, b"1") == 200
        assert (await calling).value == 1
        assert len(service.requests) == 1
        await heir.until(lambda: not heir.callback_urls)
        await waiting(heir)
        assert dict(service.headers())["CPEE-INSTANCE-UUID"] == heir.uuid


async def test_after_30_s_nothing_is_inherited(service, waiting, http):
    """A number that is used again later starts from the beginning."""
    now_s = 1000.0
    async with Engine(now_s=lambda: now_s) as engine:
        first = engine.start_instance()
        await waiting(first)
        url = first.callback_urls[0]
        first.delete()
        now_s += 30.1
        again = engine.start_instance()
        assert await status_of(http, "GET", url) == 404
        assert await put(http, url) == 503
        await waiting(again)
        assert (len(service.requests), again.callback_urls != [url]) == (2, True)


async def test_parallel_branches(instance, waiting, http):
    """Branches of one instance wait at the same time, each on a callback of its own."""
    one, two = await waiting(activity="a1"), await waiting(activity="a2")
    first, second = instance.callback_urls
    assert await put(http, second, b"2") == 200
    assert await put(http, first, b"1") == 200
    assert [(await one).value, (await two).value] == [1, 2]


IN_TIME = InDoubt("no answer in time")
BROKEN = InDoubt("the connection broke before an answer came")


@pytest.fixture
async def callbacks():
    """The dispatcher's own client."""
    callbacks = CallbackClient(Guard(), timeout_s=20.0, connect_timeout_s=20.0)
    yield callbacks
    await callbacks.close()


@pytest.fixture
async def hasty():
    """The dispatcher's own client, with a short time-out."""
    callbacks = CallbackClient(Guard(), timeout_s=0.5)
    yield callbacks
    await callbacks.close()


@pytest.mark.parametrize(
    ("fault", "outcome", "taken"),
    [
        ({}, Accepted(), True),
        ({"delay_s": 0.01}, Accepted(), True),
        ({"status": 503}, Refused("answered 503"), True),
        ({"take": False, "status": 503}, Refused("answered 503"), False),
        ({"take": False}, Accepted(), False),
        ({"status": 504}, InDoubt("answered 504"), True),
        ({"close": True}, BROKEN, True),
        ({"close": True, "take": False}, BROKEN, False),
        ({"hang": True}, IN_TIME, True),
        ({"hang": True, "take": False}, IN_TIME, False),
        ({"delay_s": 9.0}, IN_TIME, True),
    ],
)
async def test_faults(instance, waiting, callbacks, hasty, fault, outcome, taken):
    """Whether the job is taken, and what the dispatcher learns, vary independently."""
    task = await waiting()
    url = instance.callback_urls[0]
    for name, value in fault.items():
        setattr(instance.faults, name, value)
    client = hasty if outcome == IN_TIME else callbacks
    assert await client.deliver(url, b'{"Job":{}}') == outcome
    assert len(instance.puts) == 1
    if taken:
        await instance.until(lambda: not instance.callback_urls)
        assert (await task).body == b'{"Job":{}}'
    assert await callbacks.is_pending(url) is not taken
    assert await callbacks.instance_state(instance.url) == "running"


async def test_down_during_a_hang(engine, instance, waiting, callbacks):
    """An engine that stops does not wait for answers that it owes."""
    await waiting()
    instance.faults.hang = True
    task = asyncio.create_task(callbacks.deliver(instance.callback_urls[0], b"1"))
    await instance.until(lambda: bool(instance.puts))
    await engine.down()
    assert await task == BROKEN

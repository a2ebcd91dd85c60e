"""The call of a worker, and what the engine does with each answer."""

from __future__ import annotations

import asyncio
import re
import socket

import pytest

from sanic_dispatch.simulation import CallFailed, InstanceEnded, Result

TRUE = b"cpee-callback: true\r\n"


def answer(status, body=b"", headers=b""):
    return b"HTTP/1.1 %d X\r\n%bContent-Length: %d\r\n\r\n%b" % (status, headers, len(body), body)


async def test_request_on_the_wire(engine, service):
    """A registration has all that the real engine's client sends."""
    instance = engine.start_instance("Wörker", {"serves_drinks": "mojito ☕"})
    service.answers = [answer(204)]
    await instance.call(f"{service.url}?token=t", label="Register wörker")
    callback = dict(service.headers())["CPEE-CALLBACK"]
    callback_id = re.fullmatch(re.escape(instance.url) + "callbacks/([0-9a-f]{32})/", callback)[1]
    assert service.requests[0].startswith(b"POST /register-worker?token=t HTTP/1.1\r\n")
    assert service.requests[0].endswith(b"\r\n\r\n")
    assert sorted(service.headers()) == sorted(
        [
            ("Host", f"127.0.0.1:{service.port}"),
            ("Accept", "*/*"),
            ("User-Agent", "Typhoeus - https://github.com/typhoeus/typhoeus"),
            ("CPEE-BASE", engine.base_url),
            ("CPEE-INSTANCE", "1"),
            ("CPEE-INSTANCE-URL", f"{engine.base_url}1/"),
            ("CPEE-INSTANCE-UUID", instance.uuid),
            ("CPEE-CALLBACK", callback),
            ("CPEE-CALLBACK-ID", callback_id),
            ("CPEE-ACTIVITY", "a1"),
            ("CPEE-LABEL", "Register wörker"),
            ("CPEE-ATTR-UUID", instance.uuid),
            ("CPEE-ATTR-INFO", "Wörker"),
            ("CPEE-ATTR-MODELTYPE", "CPEE"),
            ("CPEE-ATTR-THEME", "preset"),
            ("CPEE-ATTR-SERVES-DRINKS", "mojito ☕"),
            ("Content-Length", "0"),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ]
    )


async def test_arguments(instance, service):
    """Arguments arrive form-encoded in the body."""
    service.answers = [answer(204)]
    await instance.call(service.url, arguments={"kind": "drinks", "skills": "a b&c"})
    assert service.requests[0].endswith(b"\r\n\r\nkind=drinks&skills=a+b%26c")


async def test_extra_headers(instance, service):
    """A call may carry further headers."""
    service.answers = [answer(204)]
    await instance.call(service.url, extra_headers={"X-Test": "1"})
    assert ("X-Test", "1") in service.headers()


async def test_a_new_callback_for_every_call(instance, service):
    """Each call has a callback of its own."""
    service.answers = [answer(204)]
    await instance.call(service.url)
    await instance.call(service.url)
    first, second = (dict(service.headers(n))["CPEE-CALLBACK"] for n in (0, 1))
    assert first != second


async def test_connections_are_kept_alive(instance, service):
    """Calls reuse their connection; if that breaks unanswered, the same call is sent again."""
    service.answers = [answer(204), None, answer(200, b"1")]
    await instance.call(service.url)
    await instance.call(service.url)
    assert len(service.requests) == 3
    assert service.headers(1) == service.headers(2)
    assert service.headers(0) != service.headers(1)


@pytest.mark.parametrize("url", ["http://dispatcher:2567/", "http://[::1]:2567/"])
async def test_hosts_without_a_dot(instance, url):
    """An endpoint whose host has no dot and is not localhost stops the instance."""
    with pytest.raises(CallFailed, match="has no dot"):
        await instance.call(url)
    assert instance.state == "stopped"


async def test_localhost(instance, service):
    """Endpoints may be on localhost."""
    service.answers = [answer(204)]
    await instance.call(f"http://localhost:{service.port}/")
    assert instance.state == "running"


JSON = b"Content-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        (answer(200, b'{"Job":{}}', JSON), {"Job": {}}),
        (answer(200, b"[1]", b"Content-Type: application/json; charset=utf-8\r\n"), [1]),
        (answer(200, b"{", JSON), None),
        (answer(200, b"", JSON), None),
        (answer(200, b"hello", b"Content-Type: text/plain\r\n"), "hello"),
        (answer(200), None),
        (answer(202), None),
        (answer(204), None),
        (answer(202, b'"Queued"', JSON), None),
        (answer(202, b"", b"CPEE-CALLBACK: True\r\n"), None),
        (answer(202, b"", b"CPEE-CALLBACK: TRUE\r\n"), None),
        (answer(202, b"", b"CPEE-CALLBACK: false\r\n"), None),
        (answer(202, b"", b"CPEE-CALLBACK: 1\r\n"), None),
        (answer(202, b'"Queued"', b"CPEE-CALLBACK: True\r\n" + JSON), None),
    ],
)
async def test_finished_at_once(instance, service, reply, value):
    """Without exactly ``cpee-callback: true`` the call is over; only a 200 has a result."""
    service.answers = [reply]
    result = await instance.call(service.url)
    assert (result.value, result.by_callback) == (value, False)
    assert instance.callback_urls == []


@pytest.mark.parametrize("status", [200, 201, 202])
@pytest.mark.parametrize("name", [b"cpee-callback", b"CPEE-CALLBACK"])
async def test_waits_for_the_callback(instance, service, waiting, http, status, name):
    """Any 2xx with ``cpee-callback: true`` waits; the PUT's JSON becomes the result."""
    service.answers = [answer(status, b"", name + b": true\r\n")]
    task = await waiting()
    async with http.put(instance.callback_urls[0], json={"Job": {"id": "1"}}) as response:
        assert response.status == 200
    assert await task == Result({"Job": {"id": "1"}}, b'{"Job": {"id": "1"}}', True)
    assert instance.updates == []


async def test_a_body_beside_the_header_is_an_update(instance, service, waiting):
    """The original's answer (202, the header, ``"Queued"``) is an update, and the call waits on."""
    service.answers = [answer(202, b'"Queued"', TRUE + JSON)]
    task = await waiting()
    assert instance.updates == ["Queued"]
    assert not task.done()


@pytest.mark.parametrize("status", [304, 400, 401, 403, 404, 409, 429, 500, 502, 503])
async def test_errors_stop_the_instance(instance, service, status):
    """4xx and 5xx stop the instance, without a retry."""
    service.answers = [answer(status, b"", TRUE)]
    with pytest.raises(CallFailed, match=f"answered {status}"):
        await instance.call(service.url)
    assert (instance.state, len(service.requests)) == ("stopped", 1)
    assert instance.callback_urls == []


async def test_rescue(instance, service):
    """With rescue code, which gets status and body, the instance goes on after a failed call."""
    service.answers = [answer(503, b"full")]
    with pytest.raises(CallFailed) as failed:
        await instance.call(service.url, rescue=True)
    assert failed.value.result == {"status": 503, "error": "full"}
    assert instance.state == "running"


async def test_closed_without_an_answer(instance, service):
    """A new connection that breaks unanswered stops the instance, without a retry."""
    service.answers = [None]
    with pytest.raises(CallFailed):
        await instance.call(service.url)
    assert (instance.state, len(service.requests)) == ("stopped", 1)


async def test_connection_refused(instance):
    """An unreachable service stops the instance, with a reason in words."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(CallFailed, match="connection refused"):
        await instance.call(f"http://127.0.0.1:{port}/")
    assert instance.state == "stopped"


@pytest.mark.parametrize("status", [301, 302])
async def test_redirects_are_followed(instance, service, status):
    """301 and 302 are followed."""
    location = f"Location: {service.base}there\r\n".encode()
    service.answers = [answer(status, b"", location), answer(200, b"7", JSON)]
    assert (await instance.call(service.url)).value == 7
    assert b" /there HTTP/1.1\r\n" in service.requests[1]


async def test_put_before_the_answer(instance, service, http):
    """A PUT that arrives before the POST was answered is accepted."""
    service.gate.clear()
    task = asyncio.create_task(instance.call(service.url))
    await service.arrived.wait()
    async with http.put(instance.callback_urls[0], json=1) as response:
        assert response.status == 200
    service.gate.set()
    assert (await task).value == 1


async def test_put_after_a_synchronous_answer(instance, service, http):
    """A call that was answered at once has no callback any more: 503."""
    service.answers = [answer(200, b"1", JSON)]
    await instance.call(service.url)
    async with http.put(dict(service.headers())["CPEE-CALLBACK"], json=1) as response:
        assert response.status == 503


async def test_stop_while_a_post_is_held_open(instance, service):
    """With an unanswered POST the instance stays in ``stopping``."""
    service.gate.clear()
    task = asyncio.create_task(instance.call(service.url))
    await service.arrived.wait()
    instance.stop()
    assert instance.state == "stopping"
    service.gate.set()
    await instance.until(lambda: instance.state == "stopped")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_calls_wait_while_stopped(instance, service):
    """A stopped instance makes no calls until it is continued."""
    service.answers = [answer(204)]
    instance.stop()
    task = asyncio.create_task(instance.call(service.url))
    await asyncio.sleep(0)
    assert service.requests == []
    instance.resume()
    await task
    assert len(service.requests) == 1


@pytest.mark.parametrize("end", ["abandon", "finish", "delete"])
async def test_calls_of_an_ended_instance(instance, service, waiting, end):
    """When the instance ends, its waiting call ends, and there are no others."""
    task = await waiting()
    getattr(instance, end)()
    with pytest.raises(InstanceEnded):
        await task
    with pytest.raises(InstanceEnded):
        await instance.call(service.url)
    assert len(service.requests) == 1

"""The handshake of two processes: who is let in, and what is said of the others."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from websockets.asyncio.client import connect

from sanic_dispatch.cluster import link as links
from sanic_dispatch.config.settings import Mode
from sanic_dispatch.storage import redis_secret
from tests.cluster.services import TOKEN, ask, two_services
from tests.support.ports import free_port
from tests.support.redis import RedisServer
from tests.support.server import Service, eventually, running_service

SECRET = "the-secret-of-this-bar"

HANDSHAKE = (
    b"GET /link HTTP/1.1\r\nHost: bar\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
)


def link_of(service: Service) -> str:
    """Return the URL of a service's websocket for others."""
    return service.base_url.replace("http", "ws") + links.LINK_PATH


def port_of(service: Service) -> int:
    return int(service.base_url.rstrip("/").rpartition(":")[2])


async def test_a_process_with_a_wrong_secret_is_refused(redis: RedisServer, tmp_path: Path) -> None:
    """Both sides log it, once a minute at most; requests get 503."""
    with capture_logs() as logs:
        async with two_services(redis.url, tmp_path, cluster_secret=SECRET) as two:
            two.other.app.ctx.forwarder._identity.secret = "another"
            for _ in range(2):
                status, body, _ = await ask(two.other, "GET", "operator/jobs")
                assert (status, "it does not know the secret" in body["detail"]) == (503, True)
    (said,) = [each for each in logs if each["event"] == "link.not_opened"]
    assert "it does not know the secret of this cluster" in said["reason"]


async def test_a_process_that_does_not_know_the_secret_is_refused(
    redis: RedisServer, tmp_path: Path
) -> None:
    """The owner closes its link, and says so once a minute at most."""
    with capture_logs() as logs:
        async with two_services(redis.url, tmp_path, cluster_secret=SECRET) as two:
            for _ in range(2):
                async with connect(link_of(two.owner)) as stranger:
                    await stranger.send(f'[["hello","{links.__version__}","run","nonce"]]')
                    await stranger.recv()
                    await stranger.send('[["proof","0123"]]')
                    await stranger.wait_closed()
                    assert stranger.close_code == links.REFUSED
    assert len([each for each in logs if each["event"] == "link.refused"]) == 1


async def test_a_process_of_another_version_is_refused(
    redis: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one clear line."""
    with capture_logs() as logs:
        async with (
            two_services(redis.url, tmp_path) as two,
            connect(link_of(two.owner)) as stranger,
        ):
            await stranger.send('[["hello","0.1.9","run","nonce"]]')
            await stranger.wait_closed()
            assert stranger.close_code == links.REFUSED
    (said,) = [each for each in logs if each["event"] == "link.refused"]
    assert said["reason"].startswith("it is of version 0.1.9, and this process of")


@pytest.mark.parametrize("character", ["9", "\N{COCKTAIL GLASS}", r"\ud800"])
async def test_a_version_that_no_close_frame_has_room_for(
    redis: RedisServer, tmp_path: Path, character: str
) -> None:
    """The reason is cut off."""
    async with two_services(redis.url, tmp_path) as two, connect(link_of(two.owner)) as stranger:
        await stranger.send(f'[["hello","{100 * character}","run","nonce"]]')
        await stranger.wait_closed()
        assert stranger.close_code == links.REFUSED
        assert (stranger.close_reason or "").startswith("it is of version ")


async def test_an_advertised_url_that_leads_elsewhere(redis: RedisServer, tmp_path: Path) -> None:
    """It is found out at the handshake, nothing is sent there, and the answers say why."""
    callback = {"CPEE-CALLBACK": "http://127.0.0.1:9/callbacks/1/"}
    with capture_logs() as logs:
        async with two_services(redis.url, tmp_path) as two:
            two.link._server_port = port_of(two.other)
            for status, body, _ in await asyncio.gather(
                ask(two.other, "POST", "submit-job", json=1),
                ask(two.other, "POST", "register-worker", headers=callback),
            ):
                assert (status, "that address leads to" in body["detail"]) == (503, True)
    (said,) = [each for each in logs if each["event"] == "link.not_opened"]
    assert "that address leads to" in said["reason"]


async def test_a_process_looks_at_its_own_advertised_url(
    redis: RedisServer, tmp_path: Path
) -> None:
    """It warns at the start if that leads elsewhere, and only then."""
    port, elsewhere = free_port(), free_port()
    values = {"mode": Mode.REDIS, "redis_url": redis.url, "data_dir": tmp_path, "port": port}
    for url, count in ((f"http://127.0.0.1:{port}/", 0), (f"http://127.0.0.1:{elsewhere}/", 1)):
        with capture_logs() as logs:
            async with running_service(**values, advertise=url) as service:
                await service.app.ctx.forwarder.close(5.0)
        said = [each["url"] for each in logs if each["event"] == "link.leads_elsewhere"]
        assert said == [url] * count


async def test_a_service_that_shares_nothing_has_no_links() -> None:
    """404, also for a websocket."""
    async with (
        running_service() as service,
        service.http.get(service.base_url + links.LINK_PATH) as answer,
    ):
        assert answer.status == 404


NO_GREETINGS = (
    "{}", "[]", "[1]", "[[]]", "x", '[["proof","0"]]', '[["hello",1]]', b"x", b'[["hello"]]'
)  # fmt: skip


async def test_what_is_no_beginning_of_a_link(redis: RedisServer, tmp_path: Path) -> None:
    """The link is closed at once."""
    async with two_services(redis.url, tmp_path) as two:
        for greeting in NO_GREETINGS:
            async with connect(link_of(two.owner)) as stranger:
                await stranger.send(greeting)
                await stranger.wait_closed()
                assert stranger.close_code == links.REFUSED, greeting
                assert stranger.close_reason != links.TOO_LATE, greeting


@pytest.mark.parametrize("hellos", [0, 1])
async def test_a_process_that_does_not_prove_who_it_is(
    redis: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hellos: int
) -> None:
    """Its link is closed, though it answers pings, and that is logged."""
    monkeypatch.setattr(links, "OPEN_S", 0.05)
    with capture_logs() as logs:
        async with (
            two_services(redis.url, tmp_path) as two,
            connect(link_of(two.owner)) as stranger,
        ):
            for _ in range(hellos):
                await stranger.send(f'[["hello","{links.__version__}","run","nonce"]]')
            await asyncio.wait_for(stranger.wait_closed(), 5.0)
            assert stranger.close_code == links.REFUSED
    (said,) = [each for each in logs if each["event"] == "link.refused"]
    assert said["reason"] == links.TOO_LATE


async def test_a_refused_process_that_does_not_close(
    redis: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection is broken soon: it is not waited for."""
    monkeypatch.setattr(links, "GOODBYE_S", 0.05)
    async with two_services(redis.url, tmp_path) as two:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(two.owner))
        writer.write(HANDSHAKE)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\x81\x81\0\0\0\0x")
        async with asyncio.timeout(links.SILENCE_S):
            with suppress(ConnectionResetError):
                await reader.read()
        writer.close()


async def test_a_busy_owner_is_sent_much_at_once(
    redis: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads the end of the handshake with what comes next, which may be large."""
    receive, read = links.IncomingLink.data_received, dict[links.IncomingLink, list[bytes]]()

    def receive_late(link: links.IncomingLink, data: bytes) -> None:
        pieces = read.setdefault(link, [])
        pieces.append(data)
        if len(pieces) == 1:
            asyncio.get_running_loop().call_later(
                0.05, lambda: receive(link, b"".join(read.pop(link)))
            )

    monkeypatch.setattr(links.IncomingLink, "data_received", receive_late)
    async with two_services(redis.url, tmp_path) as two:
        drink = "x" * links.GREETING_BYTES
        assert (await ask(two.other, "POST", "submit-job", json=drink))[0] == 202


async def test_redis_that_has_lost_the_secret(
    redis: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that starts next makes another, which the others use from then on."""
    monkeypatch.setattr(redis_secret, "LOOK_S", 0.5)
    async with two_services(redis.url, tmp_path) as two:
        redis.ask("DEL", "{sanic-dispatch}:secret")
        values = {"mode": Mode.REDIS, "redis_url": redis.url, "operator_tokens": (TOKEN,)}
        async with running_service(**values, port=free_port(), data_dir=tmp_path) as third:
            all_three = (two.owner, two.other, third)

            async def have_one_secret() -> bool:
                known = (each.app.ctx.sessions.identity.secret for each in all_three)
                return len(set(known)) == 1

            await eventually(have_one_secret)
            for each in all_three:
                assert (await ask(each, "GET", "operator/jobs"))[0] == 200

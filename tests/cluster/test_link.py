"""The handshake of two processes: who is let in, and what is said of the others."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs
from websockets.asyncio.client import connect

from sanic_dispatch.cluster import link as links
from tests.cluster.services import ask, two_services
from tests.support.redis import RedisServer
from tests.support.server import running_service

SECRET = "the-secret-of-this-bar"


async def test_a_process_with_a_wrong_secret_is_refused(redis: RedisServer, tmp_path: Path) -> None:
    """Both sides log it, once a minute at most; requests get 503."""
    with capture_logs() as logs:
        async with two_services(redis.url, tmp_path, cluster_secret=SECRET) as two:
            two.other.app.ctx.forwarder._identity = two.other.app.ctx.forwarder._identity._replace(
                secret="another"
            )
            for _ in range(2):
                assert (await ask(two.other, "GET", "operator/jobs"))[0] == 503
    (said,) = [each for each in logs if each["event"] == "link.not_opened"]
    assert "it does not know the secret of this cluster" in said["reason"]


async def test_a_process_that_does_not_know_the_secret_is_refused(
    redis: RedisServer, tmp_path: Path
) -> None:
    """The owner closes its link, and says so once a minute at most."""
    with capture_logs() as logs:
        async with two_services(redis.url, tmp_path, cluster_secret=SECRET) as two:
            for _ in range(2):
                url = two.owner.base_url.replace("http", "ws") + links.LINK_PATH
                async with connect(url) as stranger:
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
        async with two_services(redis.url, tmp_path) as two:
            url = two.owner.base_url.replace("http", "ws") + links.LINK_PATH
            async with connect(url) as stranger:
                await stranger.send('[["hello","0.1.9","run","nonce"]]')
                await stranger.wait_closed()
                assert stranger.close_code == links.REFUSED
    (said,) = [each for each in logs if each["event"] == "link.refused"]
    assert said["reason"].startswith("it is of version 0.1.9, and this process of")


async def test_an_advertised_url_that_leads_elsewhere(redis: RedisServer, tmp_path: Path) -> None:
    """It is found out at the handshake, and nothing is sent there."""
    with capture_logs() as logs:
        async with two_services(redis.url, tmp_path) as two:
            two.link._server_port = int(two.other.base_url.rstrip("/").rpartition(":")[2])
            assert (await ask(two.other, "POST", "submit-job", json=1))[0] == 503
    (said,) = [each for each in logs if each["event"] == "link.not_opened"]
    assert "that address leads to" in said["reason"]


async def test_a_service_that_shares_nothing_has_no_links() -> None:
    """404, also for a websocket."""
    async with (
        running_service() as service,
        service.http.get(service.base_url + links.LINK_PATH) as answer,
    ):
        assert answer.status == 404


@pytest.mark.parametrize("greeting", ["{}", "[1]", '[["proof","0"]]', '[["hello",1]]', "[[]]", "x"])
async def test_what_is_no_beginning_of_a_link(
    redis: RedisServer, tmp_path: Path, greeting: str
) -> None:
    """The link is closed."""
    async with two_services(redis.url, tmp_path) as two:
        url = two.owner.base_url.replace("http", "ws") + links.LINK_PATH
        async with connect(url) as stranger:
            await stranger.send(greeting)
            await stranger.wait_closed()
            assert stranger.close_code == links.REFUSED

"""compose.yaml: its files exist, docker-compose accepts it, and its proxy finds the owner."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import WSMsgType

from sanic_dispatch.config.settings import Mode
from tests.crash.harness import Harness
from tests.support.paths import ROOT
from tests.support.prometheus import need
from tests.support.redis import RedisServer
from tests.support.server import eventually, free_port

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def compose() -> list[str]:
    """docker-compose, or the plugin of docker; without it the test is skipped, except in CI."""
    for command in (["docker-compose"], ["docker", "compose"]):
        if shutil.which(command[0]):
            done = subprocess.run([*command, "version"], capture_output=True, check=False)
            if done.returncode == 0:
                return command
    if os.environ.get("CI"):
        pytest.fail("docker-compose is missing")
    pytest.skip("docker-compose is not installed")


def test_compose_accepts_it() -> None:
    """docker-compose accepts it, and requires a token."""
    given = {**os.environ, "SANIC_DISPATCH_OPERATOR_TOKEN": "a-token-of-the-tests"}
    command = [*compose(), "--file", str(ROOT / "compose.yaml"), "config", "--quiet"]
    done = subprocess.run(command, env=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    given.pop("SANIC_DISPATCH_OPERATOR_TOKEN")
    done = subprocess.run(command, env=given, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "give the operator a token" in done.stderr


def test_all_files_exist() -> None:
    """Each file and folder that a container mounts is in the repository."""
    sources = {
        source
        for service in SERVICES.values()
        for source, _, _ in (volume.partition(":") for volume in service.get("volumes", ()))
    }
    files = {source for source in sources if source.startswith("./")}
    assert len(files) >= 5
    assert [source for source in files if not (ROOT / source).exists()] == []
    assert sources - files == set(COMPOSE["volumes"])


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_is_restarted(name: str) -> None:
    """Every service is restarted when it dies, and has a health check."""
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert "healthcheck" in service or service.get("build") == "."


# ---- the proxy


@contextmanager
def caddy(folder: Path, port: int, behind: list[int]) -> Iterator[None]:
    """Debian's, on deploy/compose/Caddyfile."""
    site = (ROOT / "deploy/compose/Caddyfile").read_text()
    site = site.replace(":2567 {", f"http://127.0.0.1:{port} {{", 1)
    for number, other in enumerate(behind, 1):
        site = site.replace(f"dispatcher-{number}:2567", f"127.0.0.1:{other}")
    site = site.replace("{\n", "{\n\tadmin off\n", 1)
    (folder / "Caddyfile").write_text(site)
    command = [need("caddy"), "run", "--adapter", "caddyfile", "--config"]
    with (folder / "caddy.log").open("wb") as log:
        process = subprocess.Popen([*command, str(folder / "Caddyfile")], stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


@pytest.mark.timeout(180)
async def test_the_proxy_finds_the_owner(
    redis: RedisServer, rng: random.Random, tmp_path: Path
) -> None:
    """Orders and pages go through both dispatchers; after kill -9 an order waits for one."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    options = ("--redis-url", redis.url)
    async with Harness(tmp_path / "bar", Mode.REDIS, rng, *options, count=2) as harness:
        for server in harness.servers:
            await server.start()
        with caddy(tmp_path, port, [server.port for server in harness.servers]):
            http = harness._http
            await eventually(lambda: is_accepted(http, url), 30)
            for _ in range(2):
                owner = await harness.settled()
                assert [await is_accepted(http, url) for _ in range(5)] == [True] * 5
                async with http.ws_connect(url + "live?view=board") as page:
                    assert (await page.receive()).type is WSMsgType.TEXT
                owner.kill()
                began_s = monotonic()
                await eventually(lambda: is_accepted(http, url), 30)
                print(f"an order was taken in after {monotonic() - began_s:.1f} s")  # noqa: T201
                await owner.start()


async def is_accepted(http: aiohttp.ClientSession, url: str) -> bool:
    """Return whether an order is accepted."""
    try:
        async with http.post(url + "submit-job", json=1) as answer:
            return answer.status == 202
    except aiohttp.ClientError:
        return False

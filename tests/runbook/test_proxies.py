"""A complete set-up: tokens, a path prefix behind a real proxy, and Prometheus.

Debian's nginx and caddy with the files of deploy/, on free ports.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.support.prometheus import DEPLOY, PATIENCE_S, need, watching
from tests.support.server import eventually, free_port, server_process

PREFIX = "/ports/2567"
WORKER, OPERATOR = "a-workers-token", "an-operators-token"

Proxy = Callable[[Path, int, int], AbstractContextManager[None]]

pytestmark = pytest.mark.timeout(180)


@contextmanager
def nginx(folder: Path, port: int, behind: int) -> Iterator[None]:
    """Debian's nginx, with deploy/nginx/dispatch.conf."""
    site = (DEPLOY / "nginx/dispatch.conf").read_text()
    site = site.replace("listen 80;", f"listen 127.0.0.1:{port};").replace(":2567;", f":{behind};")
    site = site.replace("    listen [::]:80;\n", "").replace("/var/log/nginx", str(folder))
    paths = "".join(
        f"{kind}_temp_path {folder / kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off;\npid {folder / 'pid'};\nerror_log stderr warn;\n"
        f"events {{}}\nhttp {{\n{paths}{site}}}\n"
    )
    command = [need("nginx"), "-c", str(folder / "nginx.conf"), "-p", str(folder)]
    yield from _running(command, folder)


@contextmanager
def caddy(folder: Path, port: int, behind: int) -> Iterator[None]:
    """Debian's caddy, with deploy/caddy/Caddyfile."""
    site = (DEPLOY / "caddy/Caddyfile").read_text()
    site = site.replace(":80 {", f"http://127.0.0.1:{port} {{")
    site = site.replace("127.0.0.1:2567", f"127.0.0.1:{behind}")
    (folder / "Caddyfile").write_text(site.replace("{\n", "{\n\tadmin off\n", 1))
    yield from _running([need("caddy"), "run", "--adapter", "caddyfile",
                         "--config", str(folder / "Caddyfile")], folder)  # fmt: skip


def _running(command: list[str], folder: Path) -> Iterator[None]:
    """Run a proxy; its own messages go to a log beside its others."""
    with (folder / "proxy.log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


@asynccontextmanager
async def set_up(folder: Path, proxy: Proxy) -> AsyncIterator[tuple[str, int]]:
    """A service with tokens behind that proxy; its address and port, as customers have them."""
    behind, port = free_port(), free_port()
    (folder / "worker.token").write_text(WORKER)
    (folder / "operator.token").write_text(OPERATOR)
    arguments = ("--host", "127.0.0.1", "--trusted-proxy", "127.0.0.1",
                 "--worker-token-file", "worker.token",
                 "--operator-token-file", "operator.token")  # fmt: skip
    with server_process(*arguments, port=behind, cwd=folder), proxy(folder, port, behind):
        url = f"http://127.0.0.1:{port}{PREFIX}/"
        await eventually(lambda: _answers(url), PATIENCE_S)
        yield url, port


async def _answers(url: str) -> bool:
    try:
        async with aiohttp.request("GET", url + "health") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


@pytest.mark.parametrize("proxy", [nginx, caddy], ids=["nginx", "caddy"])
async def test_everything_works_behind_a_prefix(tmp_path: Path, proxy: Proxy) -> None:
    """Orders, pages, websockets of our own pages only, event streams, operators, metrics."""
    async with set_up(tmp_path, proxy) as (url, port), aiohttp.ClientSession() as http:
        async with http.post(url + "submit-job", json={"drink": "mojito"}) as answer:
            assert answer.status == 202
            assert re.fullmatch("jobs/[0-9a-f]{32}", answer.headers["Location"])
            location = answer.headers["Location"]
        async with http.get(url + location) as answer:
            assert (await answer.json())["state"] == "waiting"
        async with http.get(f"http://127.0.0.1:{port}{PREFIX}") as answer:
            assert answer.url.path == f"{PREFIX}/public/order_drink.html"
        for path in ("docs", "public/css/docs.css", "qr.svg?url=" + url):
            async with http.get(url + path) as answer:
                assert answer.status == 200, path
        origin = f"http://127.0.0.1:{port}"
        async with http.ws_connect(url + "live", headers={"Origin": origin}) as ws:
            assert "order/1" in (await ws.receive_str())
        async with http.ws_connect(url + "live", headers={"Origin": "http://evil.example"}) as ws:
            await ws.receive()
            assert ws.close_code == 4403
        stream = {"Accept": "text/event-stream"}
        async with http.get(url + "state", headers=stream) as answer:
            assert (await answer.content.readline()).startswith(b"id: ")
        async with http.post(url + "register-worker") as answer:
            assert answer.status == 401
        async with http.post(url + f"operator/pause?token={OPERATOR}") as answer:
            assert answer.status == 200
        async with watching(tmp_path, [port], PREFIX) as prometheus:
            await eventually(lambda: prometheus.has_seen(port), PATIENCE_S)
            assert await prometheus.fires("DispatchPaused", port)
        async with http.get(url + "operator/history/1?token=" + OPERATOR) as answer:
            assert answer.status == 200
    if proxy is nginx:
        assert "/operator/pause" in (tmp_path / "dispatch.log").read_text()


@pytest.mark.parametrize("proxy", [nginx, caddy], ids=["nginx", "caddy"])
async def test_no_log_of_a_proxy_has_a_token(tmp_path: Path, proxy: Proxy) -> None:
    """Neither for a forwarded request, nor for one while the service was down."""
    port, behind = free_port(), free_port()
    url = f"http://127.0.0.1:{port}{PREFIX}/"
    token = f"?token={OPERATOR}"
    with proxy(tmp_path, port, behind):
        with server_process("--host", "127.0.0.1", port=behind, cwd=tmp_path):
            await eventually(lambda: _answers(url), PATIENCE_S)
            async with aiohttp.request("GET", url + "ready" + token) as answer:
                assert answer.status == 200
        async with aiohttp.request("GET", url + "ready" + token) as answer:
            assert answer.status == 502
    logs = [path.read_text() for path in tmp_path.glob("*.log")]  # noqa: ASYNC240
    assert f"{PREFIX}/ready" in "".join(logs)
    assert OPERATOR not in "".join(logs)

"""What browsers may do with our pages, and other sites with the service; and no cookies."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from tests.support.http_requests import ask
from tests.support.server import Service, running_service

PAGE = "public/order_drink.html"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "media-src 'self'; font-src 'self'; connect-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors "
)
OTHER = "https://other.example"


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running_service() as service:
        yield service


@pytest.mark.parametrize("path", [PAGE, "public/board.html", "public/js/order_page.js"])
async def test_policy_of_the_pages(service: Service, path: str) -> None:
    """Only our own scripts, styles, images and connections; no framing, no referrer."""
    headers = (await ask(service, "GET", path)).headers
    assert headers["Content-Security-Policy"] == POLICY + "'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("path", [PAGE, "public/board.html", "docs"])
async def test_permissions_of_the_pages(service: Service, path: str) -> None:
    """A page may keep the screen on, and use no camera."""
    permissions = (await ask(service, "GET", path)).headers["Permissions-Policy"].split(", ")
    assert "screen-wake-lock=(self)" in permissions
    assert "camera=()" in permissions


@pytest.mark.parametrize("path", ["js/order/page.js", "css/base.css", "img/robot.svg"])
async def test_permissions_of_files(service: Service, path: str) -> None:
    """They come without the header: browsers read it with pages only."""
    headers = (await ask(service, "GET", f"public/{path}")).headers
    assert "Permissions-Policy" not in headers


async def test_policy_of_own_pages(tmp_path: Path) -> None:
    """An operator's own pages get the same headers."""
    (tmp_path / "order_drink.html").write_text("<p>mine</p>")
    async with running_service(public=tmp_path) as service:
        answer = await ask(service, "GET", PAGE)
        assert answer.raw == b"<p>mine</p>"
        assert answer.headers["Content-Security-Policy"] == POLICY + "'none'"


async def test_frames_can_be_allowed() -> None:
    """--frame-ancestors says who may frame the pages."""
    async with running_service(frame_ancestors=("self", OTHER)) as service:
        policy = (await ask(service, "GET", PAGE)).headers["Content-Security-Policy"]
        assert policy == POLICY + f"'self' {OTHER}"


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", PAGE), ("GET", "health"), ("GET", "state"), ("GET", "nope"),
     ("GET", "jobs/0"), ("GET", "asyncapi.json"),
     ("POST", "register-worker"),  # refused with 400: problem documents have it
     ("GET", "operator/jobs"), ("GET", "public/config.json")],
)  # fmt: skip
async def test_headers_of_every_answer(service: Service, method: str, path: str) -> None:
    """nosniff on all navigable answers, no cookies, CORS off."""
    options = {"json": 1} if method == "POST" else {}
    headers = {"Origin": OTHER}
    answer = await ask(service, method, path, headers=headers, **options)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Set-Cookie" not in answer.headers
    assert not [name for name in answer.headers if name.startswith("Access-Control-")]


# ---- other sites


PREFLIGHT = {"Origin": OTHER, "Access-Control-Request-Method": "POST"}


async def test_other_sites_may_do_nothing(service: Service) -> None:
    """A preflight of another site gets 405 without CORS headers."""
    answer = await ask(service, "OPTIONS", "submit-job", headers=PREFLIGHT)
    assert answer.status == 405
    assert "Access-Control-Allow-Origin" not in answer.headers


async def test_other_sites_can_be_allowed() -> None:
    """--cors-origin: only that origin may submit and read answers, including errors."""
    async with running_service(cors_origins=(OTHER,)) as service:
        answer = await ask(service, "OPTIONS", "submit-job", headers=PREFLIGHT)
        assert answer.status == 204
        assert answer.headers["Access-Control-Allow-Origin"] == OTHER
        assert "Idempotency-Key" in answer.headers["Access-Control-Allow-Headers"]
        for path, origin in (("health", OTHER), ("nope", OTHER), ("health", OTHER + ":444")):
            answer = await ask(service, "GET", path, headers={"Origin": origin})
            allowed = answer.headers.get("Access-Control-Allow-Origin")
            assert allowed == (OTHER if origin == OTHER else None)
        answer = await ask(service, "GET", PAGE, headers={"Origin": OTHER})
        assert answer.headers["Vary"] == "Accept-Encoding, Origin"
        assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_all_sites_can_be_allowed() -> None:
    """--cors-origin '*'."""
    async with running_service(cors_origins=("*",)) as service:
        answer = await ask(service, "GET", "state", headers={"Origin": OTHER})
        assert answer.headers["Access-Control-Allow-Origin"] == "*"


# ---- who may follow


async def code_of(service: Service, origin: str | None, query: str = "", **headers: str) -> int:
    """Return the close code for a page of this origin; 0 if it gets frames."""
    url = service.base_url.replace("http", "ws") + "live" + query
    async with connect(url, origin=origin, additional_headers=headers) as ws:  # type: ignore[arg-type]
        try:
            await ws.recv()
        except Exception:
            return ws.close_code or -1
    return 0


async def test_pages_of_our_own_may_follow(service: Service) -> None:
    """Requests without an Origin, and pages of the requested host, http or https."""
    host = service.base_url.removeprefix("http://").strip("/")
    for origin in (None, f"http://{host}", f"https://{host}"):
        assert await code_of(service, origin) == 0


@pytest.mark.parametrize(
    "origin",
    [OTHER, "null", "", "http://127.0.0.1", "http://127.0.0.1:1", "http://127.0.0.1.other.example",
     "file://", "http://localhost:80@127.0.0.1"],
)  # fmt: skip
async def test_pages_of_other_sites_may_not_follow(service: Service, origin: str) -> None:
    """4403, at every view."""
    assert await code_of(service, origin) == 4403
    assert await code_of(service, origin, "?view=monitor") == 4403


async def test_other_pages_can_be_let_follow() -> None:
    """--allow-origin names them; a trusted proxy says which host was requested."""
    async with running_service(allow_origins=(OTHER,), trusted_proxies=("127.0.0.1",)) as service:
        assert await code_of(service, OTHER) == 0
        assert await code_of(service, "https://bar.example") == 4403
        forwarded = {"X-Forwarded-Host": "bar.example"}
        assert await code_of(service, "https://bar.example", **forwarded) == 0
    async with running_service() as service:
        assert await code_of(service, "https://bar.example", **forwarded) == 4403

"""What browsers are told: policies of the pages, other sites, and no cookies anywhere."""

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
async def test_pages_are_locked_up(service: Service, path: str) -> None:
    """Own scripts, styles, images and connections only; nobody frames them, no referrer."""
    headers = (await ask(service, "GET", path)).headers
    assert headers["Content-Security-Policy"] == POLICY + "'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    permissions = headers["Permissions-Policy"].split(", ")
    assert "screen-wake-lock=(self)" in permissions
    assert "camera=()" in permissions


async def test_own_pages_are_locked_up_too(tmp_path: Path) -> None:
    """What a user lays over the pages gets the same headers."""
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
     ("GET", "jobs/0"), ("GET", "asyncapi.json"), ("POST", "register-worker"),
     ("GET", "operator/jobs"), ("GET", "public/config.json")],
)  # fmt: skip
async def test_every_answer_is_what_it_says(service: Service, method: str, path: str) -> None:
    """nosniff on all that a browser can be led to, no cookie on anything, CORS off."""
    options = {"json": 1} if method == "POST" else {}
    headers = {"Origin": OTHER}
    answer = await ask(service, method, path, headers=headers, **options)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Set-Cookie" not in answer.headers
    assert not [name for name in answer.headers if name.startswith("Access-Control-")]


# ---- other sites


PREFLIGHT = {"Origin": OTHER, "Access-Control-Request-Method": "POST"}


async def test_other_sites_may_do_nothing(service: Service) -> None:
    """A browser that asks for another site's page is told no: 405, no CORS header."""
    answer = await ask(service, "OPTIONS", "submit-job", headers=PREFLIGHT)
    assert answer.status == 405
    assert "Access-Control-Allow-Origin" not in answer.headers


async def test_other_sites_can_be_allowed() -> None:
    """--cors-origin: that origin, and no other, may submit and read answers, errors included."""
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
    """The close code for a page of this origin; 0 where it gets frames."""
    url = service.base_url.replace("http", "ws") + "live" + query
    async with connect(url, origin=origin, additional_headers=headers) as ws:  # type: ignore[arg-type]
        try:
            await ws.recv()
        except Exception:
            return ws.close_code or -1
    return 0


async def test_pages_of_our_own_may_follow(service: Service) -> None:
    """Whatever has no origin is no page; ours has the host that was asked for, http or https."""
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
    """--allow-origin names them; a proxy that is trusted says which host was asked for."""
    async with running_service(allow_origins=(OTHER,), trusted_proxies=("127.0.0.1",)) as service:
        assert await code_of(service, OTHER) == 0
        assert await code_of(service, "https://bar.example") == 4403
        forwarded = {"X-Forwarded-Host": "bar.example"}
        assert await code_of(service, "https://bar.example", **forwarded) == 0
    async with running_service() as service:
        assert await code_of(service, "https://bar.example", **forwarded) == 4403

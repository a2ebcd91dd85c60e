"""Tokens: which role each route needs, and which tokens a role accepts."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.asyncio.client import connect

from tests.support.http_requests import CALLBACK, ask
from tests.support.server import Service, running_service

WORKER, SUBMIT, OPERATOR = "worker-token-1", "submit-token-1", "operator+token-1"
OLD = {"worker": "worker-token-0", "submit": "submit-token-0", "operator": "operator-token-0"}

ROUTES_OF = {
    "submit": ["POST /submit-job"],
    "worker": [
        "POST /register-worker",
        "POST /jobs/<job_id>/complete",
        "POST /jobs/<job_id>/fail",
        "POST /jobs/<job_id>/extend",
        "POST /jobs/<job_id>/progress",
        "GET /jobs/<job_id>/cancelling",
        "DELETE /register-worker",
    ],
    "operator": [
        "POST /operator/pause",
        "POST /operator/resume",
        "POST /operator/backup",
        "POST /operator/jobs/<job_id>/cancel",
        "POST /operator/jobs/<job_id>/put-back",
        "POST /operator/jobs/<job_id>/first",
        "POST /operator/jobs/<job_id>/priority",
        "DELETE /operator/jobs/<job_id>/data",
        "POST /operator/workers/aside",
        "POST /operator/workers/back",
        "POST /operator/workers/drop",
        "GET /operator/jobs",
        "GET /operator/workers",
        "GET /operator/history/<ticket>",
        "GET /operator/events",
        "GET /operator/recording",
        "GET /operator/stats",
        "GET /operator/topics",
        "GET /operator/webhooks",
        "POST /operator/webhooks",
        "DELETE /operator/webhooks/<webhook_id>",
        "POST /operator/webhooks/<webhook_id>/test",
        "POST /operator/webhooks/<webhook_id>/rotate",
        "POST /operator/webhooks/<webhook_id>/continue",
        "POST /operator/webhooks/<webhook_id>/drop",
        "GET /operator/webhooks/<webhook_id>/events",
        "GET /operator/push",
        "POST /operator/push/<subscription>/continue",
        "POST /operator/push/<subscription>/drop",
    ],
}
PUBLIC = [
    "GET /",
    "GET /public/config.json",
    "GET /public/manifest.webmanifest",
    "GET /public/<path>",
    "GET /health",
    "GET /ready",
    "GET /metrics",
    "GET /menu",
    "GET /topics",
    "GET /qr.svg",
    "GET /docs",
    "GET /openapi.json",
    "GET /asyncapi.json",
    "GET /link",  # which has a secret of its own
    "GET /live",  # but for the monitor
    "GET /work",  # the websocket is closed without the workers' token
    "GET /state",  # but for the monitor
    "GET /jobs/<job_id>",  # the id is the secret
    "DELETE /jobs/<job_id>",
    "PUT /jobs/<job_id>/push",
    "DELETE /jobs/<job_id>/push",
    "GET /push/key",
    "HEAD /",
    "HEAD /public/config.json",
    "HEAD /public/manifest.webmanifest",
    "HEAD /public/<path>",
    "HEAD /health",
    "HEAD /ready",
    "HEAD /docs",
    "HEAD /openapi.json",
    "HEAD /asyncapi.json",
    "HEAD /metrics",
    "HEAD /menu",
    "HEAD /topics",
    "HEAD /qr.svg",
]
"""Routes without a token: none of them has a payload, a name or an unpublished id."""

BEHIND = [(role, route) for role, routes in ROUTES_OF.items() for route in routes]


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running_service(
        worker_tokens=(OLD["worker"], WORKER),
        submit_tokens=(OLD["submit"], SUBMIT),
        operator_tokens=(OLD["operator"], OPERATOR),
    ) as service:
        yield service


def routes_of(service: Service) -> set[str]:
    """Return every route of the app, as ``METHOD /path``."""
    return {
        f"{method} /{re.sub(r':[a-z]+>', '>', route.path)}"
        for route in service.app.router.routes
        for method in route.methods
    }


async def call(service: Service, route: str, token: str | None = None, query: str = "") -> Any:
    """Send the shortest valid request of this route."""
    method, _, path = route.partition(" /")
    path = path.replace("<job_id>", "0" * 32).replace("<ticket>", "1") + query
    body = {"callback": CALLBACK} if "/workers/" in route else {}
    options = {"json": body} if method == "POST" else {}
    headers = {"CPEE-CALLBACK": CALLBACK}
    return await ask(service, method, path, token, headers=headers, **options)


async def test_no_route_was_forgotten(service: Service) -> None:
    """Every route of the app is listed as public, or with its role."""
    behind = {route for _, route in BEHIND}
    assert routes_of(service) - set(PUBLIC) == behind


@pytest.mark.parametrize(("role", "route"), BEHIND)
async def test_without_its_token_a_route_refuses(service: Service, role: str, route: str) -> None:
    """401 without a token, with a similar one, or with another role's."""
    others = [tokens for name, tokens in zip(ROUTES_OF, (SUBMIT, WORKER, OPERATOR), strict=True)
              if name != role]  # fmt: skip
    own = {"submit": SUBMIT, "worker": WORKER, "operator": OPERATOR}[role]
    answers = [
        await call(service, route, token)
        for token in (None, "", own[:-1], own + "x", own[:-1] + "2", "x" * 5000, *others)
    ]
    for answer in answers:
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == f'Bearer realm="{role}"'
        assert answer.body["Error"] == "Unauthorized"
    assert len({answer.raw for answer in answers}) == 1


@pytest.mark.parametrize(("role", "route"), BEHIND)
async def test_each_token_of_its_role_will_do(service: Service, role: str, route: str) -> None:
    """The new and the old one during a rotation, in the header or in the query."""
    own = {"submit": SUBMIT, "worker": WORKER, "operator": OPERATOR}[role]
    for token in (own, OLD[role]):
        assert (await call(service, route, token)).status != 401
        assert (await call(service, route, query=f"?token={token}")).status != 401


async def test_the_header_comes_before_the_query(service: Service) -> None:
    """A wrong bearer token is refused despite a right one in the query."""
    url = f"operator/jobs?token={OPERATOR}"
    assert (await ask(service, "GET", url, "wrong")).status == 401
    answer = await ask(service, "GET", url, headers={"Authorization": "Basic eDp5"})
    assert answer.status == 200
    answer = await ask(service, "GET", "operator/jobs", headers={"Authorization": OPERATOR})
    assert answer.status == 401
    answer = await ask(
        service, "GET", "operator/jobs", headers={"Authorization": f"bearer  {OPERATOR}"}
    )
    assert answer.status == 200


@pytest.mark.parametrize("route", ["POST /submit-job", "POST /operator/pause"])
async def test_the_token_is_checked_before_anything_else(service: Service, route: str) -> None:
    """Without a token, an invalid or large body is 401 too."""
    method, _, path = route.partition(" /")
    answer = await ask(service, method, path, data=b"x" * (3 << 20))
    assert answer.status == 401


async def test_only_operators_need_a_token_if_none_is_configured() -> None:
    """Workers and submitters need none unless one is set; operators always do."""
    async with running_service() as service:
        assert (await call(service, "POST /submit-job")).status == 202
        assert (await call(service, "POST /register-worker")).status == 200
        assert (await call(service, "POST /operator/pause")).status == 401
        assert (await ask(service, "GET", "state?view=monitor")).status == 401


async def test_the_monitor_needs_the_operators_token(service: Service) -> None:
    """At the websocket, at /state and in the event stream; also from this machine."""
    for token, status in ((None, 401), (SUBMIT, 401), (OPERATOR, 200)):
        assert (await ask(service, "GET", "state?view=monitor", token)).status == status
    url = service.base_url.replace("http", "ws") + "live?view=monitor"
    async with connect(url) as ws:
        await ws.wait_closed()
        assert ws.close_code == 4401
    async with connect(f"{url}&token={OPERATOR}") as ws:
        assert '"state"' in str(await ws.recv())


async def test_the_id_gives_access_to_the_job(service: Service) -> None:
    """A job is read and cancelled by its id alone; other ids are unknown."""
    submitted = await ask(service, "POST", "submit-job", SUBMIT, json=1)
    location = submitted.headers["Location"]
    assert (await ask(service, "GET", location)).body["state"] == "waiting"
    assert (await ask(service, "GET", location[:-1] + "g")).status == 404
    assert (await ask(service, "DELETE", location)).status == 204

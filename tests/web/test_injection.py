"""Injection: input never becomes a header, a log line or a script; it is refused or escaped."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Iterator
from urllib.parse import quote

import pytest

from sanic_dispatch.config.settings import LogFormat, LogLevel
from sanic_dispatch.observability.log import configure
from tests.support.http_requests import CALLBACK, ask, register, send_raw
from tests.support.server import Service, running_service

PAYLOADS = [
    *(f"a{chr(code)}b" for code in (*range(32), 127)),
    "\r\nSet-Cookie: owned=1",
    "\nSet-Cookie: owned=1",
    "\r\n\r\n<script>alert(1)</script>",
    "\u2028{}\u2029",
    "\u202egnp.exe",
    "\x1b[2J\x1b[31mroot",
    '"}\n{"level":"info","event":"job.done"}',
    '", "level": "error',
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'; DROP TABLE jobs; --",
    "{{7*7}}${7*7}#{7*7}",
    "%s%s%s%n",
    "{0.__class__.__mro__}",
    "%00",
    "%0d%0aSet-Cookie:%20owned=1",
    "../../../../etc/passwd",
    "..%2f..%2f..%2fetc%2fpasswd",
    "....//....//etc/passwd",
    "..\\..\\windows\\win.ini",
    "/etc/passwd",
    "file:///etc/passwd",
    "\ufeff",
    "\ud7ff\ue000",
    "A" * 5000,
    "\u0000\u0000",
    "$(id)`id`|id;id&id",
    "\u00e9" * 300,
    "javascript:alert(1)",
    "=1+1",
]
REGISTER = ("POST", "register-worker", "")
SUBMIT = ("POST", "submit-job", "1")
PAGE = ("GET", "public/order_drink.html", "")
FIELDS = {
    **dict.fromkeys(
        ["CPEE-ATTR-INFO", "CPEE-LABEL", "CPEE-INSTANCE-UUID", "CPEE-ACTIVITY",
         "CPEE-INSTANCE-URL", "CPEE-CALLBACK", "Job-Receipt"],
        [REGISTER],
    ),
    "Idempotency-Key": [SUBMIT],
    **dict.fromkeys(["If-Modified-Since", "Last-Event-ID", "Accept"], [PAGE]),
    **dict.fromkeys(
        ["X-Request-ID", "X-Forwarded-For", "Authorization", "Origin", "Host", "Content-Type"],
        [REGISTER, SUBMIT, PAGE],
    ),
}  # fmt: skip
"""The headers, and the requests that may read them."""


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """All that the service logs, as JSON."""
    stream = io.StringIO()
    configure(LogFormat.JSON, LogLevel.DEBUG, stream)
    yield stream
    configure()


@pytest.fixture
async def service(log: io.StringIO) -> AsyncIterator[Service]:
    async with running_service(submit_wait_s=0.1, trusted_proxies=("127.0.0.1",)) as service:
        yield service


def every_line_is_an_object(log: io.StringIO) -> None:
    for line in log.getvalue().splitlines():
        assert line.isprintable()
        assert isinstance(json.loads(line), dict)


def is_harmless(answer: bytes) -> None:
    """Check an answer: only our own headers, and no 5xx but a refusal for lack of room."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode("ascii").split("\r\n")
    status = int(lines[0].split()[1])
    assert status < 500
    names = {line.partition(":")[0].lower() for line in lines[1:]}
    assert "set-cookie" not in names
    assert not names - KNOWN, names
    if status >= 400:
        assert json.loads(body)["status"] == status


KNOWN = {"content-type", "content-length", "connection", "alt-svc", "location", "retry-after",
         "x-content-type-options", "cache-control", "cpee-callback", "job-receipt", "allow",
         "www-authenticate", "last-modified", "content-security-policy", "referrer-policy",
         "permissions-policy", "etag", "vary", "x-request-id"}  # fmt: skip


@pytest.mark.parametrize("field", FIELDS)
async def test_headers(service: Service, log: io.StringIO, field: str) -> None:
    """Each payload in each header that is read adds no header and no line."""
    for payload in PAYLOADS:
        for method, path, body in FIELDS[field]:
            headers = {"Host": "bar", "CPEE-CALLBACK": CALLBACK, "Content-Type": "application/json",
                       "Content-Length": str(len(body)), field: payload}  # fmt: skip
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            request = f"{method} /{path} HTTP/1.1\r\nConnection: close\r\n{lines}\r\n{body}"
            answer = await send_raw(service, request.encode())
            if answer:
                is_harmless(answer)
    every_line_is_an_object(log)


async def test_paths_and_queries(service: Service, log: io.StringIO) -> None:
    """Each payload as a path, a file, an id and a parameter is 400 or 404, and never a file."""
    for payload in PAYLOADS:
        for path in ("{}", "public/{}", "jobs/{}", "state?view={}", "state?order={}",
                     "state?since={}", "public/%2e%2e/{}"):  # fmt: skip
            for coded in (quote(payload, safe=""), quote(payload, safe="/%")):
                target = "/" + path.format(coded)
                request = f"GET {target} HTTP/1.1\r\nHost: bar\r\nConnection: close\r\n\r\n"
                answer = await send_raw(service, request.encode())
                is_harmless(answer)
                assert b"root:" not in answer
    every_line_is_an_object(log)


async def test_json_is_carried_not_read(service: Service, log: io.StringIO) -> None:
    """Each payload as a name, a drink and a key of an order is delivered unchanged."""
    for payload in PAYLOADS:
        data = {"name": payload, "drink": payload, "logo": payload, payload: payload}
        status, _, job_id = await service.submit(data)
        assert status == 202
        look = await ask(service, "GET", f"state?order={job_id}")
        assert look.headers["Content-Type"] == "application/json"
        answer = await register(service, CALLBACK + job_id)
        assert answer.body["Job"]["data"] == data
    every_line_is_an_object(log)


async def test_labels_are_shown_without_control_characters(service: Service) -> None:
    """A worker's label is raw UTF-8; unprintable characters are dropped."""
    await register(service, CPEE_LABEL="M\u00fcller")
    (worker,) = await service.app.ctx.dispatcher.queries.workers()
    assert worker.label == "M\u00fcller"


async def test_an_operators_reason_stays_one_line(service: Service, log: io.StringIO) -> None:
    """Unprintable characters are refused; others are escaped."""
    (token,) = service.app.ctx.settings.operator_tokens
    for payload in PAYLOADS:
        for said, headers in (({"reason": payload}, {}),
                              ({}, {"X-Operator": quote(payload)})):  # fmt: skip
            answer = await ask(service, "POST", "operator/pause", token, json=said, headers=headers)
            assert answer.status in (200, 400)
    every_line_is_an_object(log)


def test_there_are_enough_payloads() -> None:
    """At least 200 combinations are tried."""
    assert len(set(PAYLOADS)) * len(FIELDS) >= 200

"""What happened, over HTTP: events in three media types, and statistics."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import AsyncIterator, Sequence
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from sanic_dispatch.config.settings import Mode
from sanic_dispatch.history.event_fields import NAMES
from sanic_dispatch.storage.event_log import Damage, Hole, Missing, Page, Question
from tests.support.http_requests import CALLBACK, Answer, ask, register
from tests.support.server import Service, running_service

TOKEN = "operator-token"
WAITS = {"CPEE-CALLBACK": CALLBACK}
KEY = {"CPEE_INSTANCE_UUID": "i", "CPEE_ACTIVITY": "a", "CPEE_LABEL": "Ada"}


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running_service(operator_tokens=(TOKEN,), submit_wait_s=0.1) as service:
        yield service


async def found(service: Service, accept: str = "", **arguments: str) -> Answer:
    """Ask for events; ``from_`` is from."""
    query = urlencode({name.rstrip("_"): value for name, value in arguments.items()})
    headers = {"Accept": accept} if accept else {}
    return await ask(service, "GET", f"operator/events?{query}", TOKEN, headers=headers)


async def an_order(service: Service) -> None:
    """Submit an order that a robot takes and serves."""
    await service.submit({"drink": "mojito"}, **{"X-Request-ID": "order-1"})
    await register(service, **KEY)
    await service.app.ctx.dispatcher.batches.idle()
    await register(service, CALLBACK + "2/", **KEY)


def kinds(events: Sequence[dict[str, Any]]) -> list[str]:
    return [event["event"] for event in events]


async def test_events(service: Service) -> None:
    """All of them, the oldest first, with their numbers and times."""
    await an_order(service)
    answer = await found(service)
    assert (answer.status, answer.body["next"]) == (200, None)
    assert set(answer.body) == {"events", "next"}
    events = answer.body["events"]
    assert kinds(events) == [
        "job.submitted", "job.assigned", "job.confirmed", "job.done", "worker.registered",
    ]  # fmt: skip
    assert [event["n"] for event in events] == [1, 2, 3, 4, 5]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", e["at"]) for e in events)
    submitted, assigned, *_ = events
    del submitted["at"]
    assert len(submitted.pop("job")) == 8
    assert submitted == {
        "n": 1, "event": "job.submitted", "ticket": 1, "worker": None, "reason": "",
        "request": "order-1",
    }  # fmt: skip
    assert (assigned["worker"], assigned["attempt"]) == ("Ada", 1)
    assert assigned["callback"] == "http://127.0.0.1:1/4/callbacks/54809648…/"


async def test_conditions(service: Service) -> None:
    """Each is heeded, and so are all together."""
    await an_order(service)
    everything = (await found(service)).body["events"]
    for arguments, expected in (
        ({"ticket": "1"}, [1, 2, 3, 4]),
        ({"worker": "Ada"}, [2, 3, 4, 5]),
        ({"worker": CALLBACK}, [2, 3, 4]),
        ({"kind": "job.submitted", "limit": "1"}, [1]),
        ({"kind": "job.done", "ticket": "1", "text": "ada"}, [4]),
        ({"to": everything[2]["at"], "from_": everything[1]["at"]}, [2]),
        ({"from_": "2999-01-01T00:00:00Z"}, []),
        ({"after": "3", "ticket": "1"}, [4]),
    ):
        events = (await found(service, **arguments)).body["events"]
        assert [event["n"] for event in events] == expected, arguments


async def test_pages(service: Service) -> None:
    """next is the next page's after; in other media types it is a link."""
    await an_order(service)
    first = await found(service, limit="2")
    assert (len(first.body["events"]), first.body["next"]) == (2, 2)
    seen, query = "", "limit=2&kind=job.done"
    lines = await ask(
        service, "GET", "operator/events?limit=2", TOKEN, headers={"Accept": "application/x-ndjson"}
    )
    while True:
        seen += lines.raw.decode()
        if "Link" not in lines.headers:
            break
        (query,) = re.findall(r'^<events\?(.*)>; rel="next"$', lines.headers["Link"])
        headers = {"Accept": "application/x-ndjson"}
        lines = await ask(service, "GET", f"operator/events?{query}", TOKEN, headers=headers)
    assert query == "limit=2&after=4"
    everything = (await found(service)).body["events"]
    assert [json.loads(line) for line in seen.splitlines()] == everything


async def test_media_types(service: Service) -> None:
    """JSON, CSV and JSON lines have the same page."""
    await an_order(service)
    events = (await found(service)).body["events"]
    lines = await found(service, "application/x-ndjson")
    assert lines.headers["Content-Type"] == "application/x-ndjson; charset=utf-8"
    assert [json.loads(line) for line in lines.raw.splitlines()] == events
    table = await found(service, "text/csv")
    assert table.headers["Content-Type"] == "text/csv; charset=utf-8; header=present"
    assert table.headers["Vary"] == "Accept"
    rows = list(csv.DictReader(StringIO(table.raw.decode(), newline="")))
    assert tuple(rows[0]) == NAMES
    assert [(int(row["n"]), row["event"]) for row in rows] == [(e["n"], e["event"]) for e in events]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("*/*", "application/json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "application/json"),
        ("application/json;q=0.4, text/csv;q=0.5", "text/csv"),
        ("text/*", "text/csv"),
        ("text/csv;q=0", "application/json"),
        ("image/png", "application/json"),
    ],
)
async def test_what_the_client_prefers(service: Service, accept: str, expected: str) -> None:
    """By the weights in Accept; whoever accepts none of them gets JSON."""
    answer = await found(service, accept)
    assert answer.headers["Content-Type"].partition(";")[0] == expected


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("events?tiket=1", "tiket is unknown; there are ticket, worker, kind, from, to, text"),
        ("events?limit=1001", "limit is a number from 1 to 1000"),
        ("events?limit=", "limit is a number from 1 to 1000"),
        ("events?kind=job.eaten", "kind is one of job.submitted, job.assigned"),
        ("events?from=noon", "from is a time with its zone in ISO 8601, such as 2024"),
        ("stats?by=day", "by is one of hour, drink, robot"),
        ("stats?ticket=1", "ticket is unknown; there are from, to, by"),
    ],
)
async def test_what_is_refused(service: Service, path: str, detail: str) -> None:
    """400, with what is allowed."""
    answer = await ask(service, "GET", f"operator/{path}", TOKEN)
    assert (answer.status, answer.body["Error"]) == (400, "InvalidRequest")
    assert answer.body["detail"].startswith(detail)


async def test_the_token_in_the_query(service: Service) -> None:
    """It is not a condition, and not in the link to the next page."""
    await an_order(service)
    path = f"operator/events?limit=1&token={TOKEN}"
    answer = await ask(service, "GET", path, headers={"Accept": "text/csv"})
    assert answer.status == 200
    assert answer.headers["Link"] == '<events?limit=1&after=1>; rel="next"'


async def test_why_a_job_waits(service: Service) -> None:
    """A waiting job's history says why, with what a worker would have to take."""
    await ask(service, "POST", "register-worker?match.drink=mojito", headers=WAITS)
    await service.submit({"drink": "beer", "name": "Ada"})
    history = await ask(service, "GET", "operator/history/1", TOKEN)
    assert history.body["job"]["why"] == {"reason": "no_able_worker", "needs": {"drink": "beer"}}
    await ask(service, "DELETE", f"jobs/{history.body['job']['id']}")
    history = await ask(service, "GET", "operator/history/1", TOKEN)
    assert "why" not in history.body["job"]


async def test_what_may_be_missing(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged file and a hole are told of by each answer, in each media type."""
    await service.submit(1)
    damage = Damage(Path("history/segment-1.gz"), 4711, "its checksum is wrong")
    hole = Hole(7, 9, 0.0, 1.0)

    def find(_: Question) -> Page:
        return Page([], None, [damage], [hole])

    def scan(*_: float | None) -> list[Missing]:
        return [damage, hole]

    monkeypatch.setattr(service.app.ctx.events._log, "find", find)
    monkeypatch.setattr(service.app.ctx.events._log, "scan", scan)
    for path in ("events", "history/1", "stats"):
        answer = await ask(service, "GET", f"operator/{path}", TOKEN)
        assert answer.body["damage"] == [
            {"file": "history/segment-1.gz", "byte": 4711, "why": "its checksum is wrong"}
        ]
        assert answer.body["holes"] == [
            {
                "first": 7,
                "last": 9,
                "from": "1970-01-01T00:00:00.000000Z",
                "to": "1970-01-01T00:00:01.000000Z",
            }
        ]
    assert (await found(service, "text/csv")).headers["History-Incomplete"] == (
        "history/segment-1.gz: damaged at byte 4711: its checksum is wrong; events 7 to 9 are "
        "missing, from 1970-01-01T00:00:00.000000Z to 1970-01-01T00:00:01.000000Z"
    )


async def test_statistics(service: Service) -> None:
    """By hour unless something else is asked for."""
    await an_order(service)
    for by, value in (("drink", "mojito"), ("robot", "Ada")):
        answer = await ask(service, "GET", f"operator/stats?by={by}", TOKEN)
        (row,) = answer.body["rows"]
        assert (row[by], row["submitted"], row["done"]) == (value, 1, 1)
        assert row["wait_s"]["p50"] >= 0
        assert row["kept"] is None
    answer = await ask(service, "GET", "operator/stats", TOKEN)
    assert answer.status == 200
    assert sum(row["done"] for row in answer.body["rows"]) == 1
    assert all(row["hour"].endswith(":00:00Z") for row in answer.body["rows"])
    nothing = await ask(service, "GET", "operator/stats?from=2999-01-01T00:00:00Z", TOKEN)
    assert nothing.body == {"rows": []}


async def test_after_a_restart(tmp_path: Path) -> None:
    """Events are kept in the data folder, and their numbers go on."""
    settings = {"mode": Mode.CACHED_JSON_FILE, "data_dir": tmp_path, "operator_tokens": (TOKEN,)}
    async with running_service(**settings) as service:
        await service.submit(1)
        before = (await found(service)).body["events"]
    async with running_service(**settings) as service:
        await service.submit(2)
        events = (await found(service)).body["events"]
        history = await ask(service, "GET", "operator/history/1", TOKEN)
    assert events[: len(before)] == before
    assert [event["n"] for event in events] == list(range(1, len(events) + 1))
    assert kinds(history.body["events"]) == ["job.submitted"]


async def test_a_recording(service: Service) -> None:
    """Events with all that a replay needs, and the data of orders, page by page."""
    await an_order(service)
    first = (await ask(service, "GET", "operator/recording?limit=2", TOKEN)).body
    assert (first["next"], first["data"]) == (2, {"1": '{"drink": "mojito"}'})
    assert [each[:4] for each in first["events"]] == [
        [1, first["events"][0][1], "job.submitted", 1],
        [2, first["events"][1][1], "job.assigned", 1],
    ]
    assert first["events"][0][-1] == "arrival"
    rest = (await ask(service, "GET", "operator/recording?after=2", TOKEN)).body
    assert (rest["next"], rest["data"]) == (None, {})
    assert [each[0] for each in rest["events"]] == [3, 4, 5]
    for query in ("limit=0", "ticket=1", "from=yesterday"):
        refused = await ask(service, "GET", f"operator/recording?{query}", TOKEN)
        assert (refused.status, refused.body["Error"]) == (400, "InvalidRequest")

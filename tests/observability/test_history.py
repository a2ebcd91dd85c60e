"""Request ids in the log, and the history of each job."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from sanic_dispatch.cli.job_history import line_of
from sanic_dispatch.config.settings import LogFormat, LogLevel, Mode
from sanic_dispatch.observability.log import configure
from sanic_dispatch.observability.request_id import REQUEST_ID, begin
from sanic_dispatch.simulation import Engine
from tests.observability.test_log import put_back
from tests.support.server import Service, eventually, running_service

__all__ = ["put_back"]

TOKEN = "an-operators-token"
OPERATOR = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def log(put_back: None) -> io.StringIO:
    stream = io.StringIO()
    configure(LogFormat.JSON, LogLevel.DEBUG, stream)
    return stream


@pytest.fixture(params=[Mode.IN_MEMORY, Mode.CACHED_JSON_FILE, Mode.SQLITE], ids=str)
async def service(request, tmp_path: Path) -> AsyncIterator[Service]:
    async with running_service(
        mode=request.param, data_dir=tmp_path, operator_tokens=(TOKEN,)
    ) as service:
        yield service


def lines(log: io.StringIO, **values: object) -> list[dict[str, object]]:
    """Return the log lines with these values."""
    found = [json.loads(line) for line in log.getvalue().splitlines()]
    return [line for line in found if all(line.get(k) == v for k, v in values.items())]


async def test_the_request_id_is_in_all_lines_of_a_request(
    log: io.StringIO, service: Service
) -> None:
    """Also if several requests share a commit, and in later consequences."""
    numbers = range(20)
    await asyncio.gather(*(service.submit(n, **{"X-Request-ID": f"order-{n}"}) for n in numbers))
    for number in numbers:
        (line,) = lines(log, request=f"order-{number}")
        assert line["event"] == "job.submitted"
    async with Engine() as engine:
        robot = engine.start_instance("Ada")
        await robot.call(service.base_url + "register-worker")
        await eventually(lambda: _has(log, event="job.confirmed"))
        (assigned,) = lines(log, event="job.assigned")
        (confirmed,) = lines(log, event="job.confirmed")
        assert assigned["request"] == confirmed["request"]
        assert not str(assigned["request"]).startswith("order-")


@pytest.mark.parametrize(
    "given", ["order-42", "a", "x" * 64, "0f1e:2d/3c+4b=~._", "00-4bf92f3577b34da6-01"]
)
async def test_well_formed_ids_are_kept(given: str) -> None:
    """A well-formed X-Request-ID is used, and returned in the response."""
    async with (
        running_service() as service,
        service.http.get(service.base_url + "health", headers={"X-Request-ID": given}) as answer,
    ):
        assert answer.headers["X-Request-ID"] == given


@pytest.mark.parametrize("path", ["live", "work"])
async def test_the_answer_to_a_handshake_repeats_the_id(path: str) -> None:
    """The 101 of a websocket has its request's X-Request-ID."""
    async with running_service() as service:
        url = f"{service.base_url}{path}".replace("http", "ws")
        async with connect(url, additional_headers={"X-Request-ID": "page-7"}) as websocket:
            assert websocket.response is not None
            assert websocket.response.headers["X-Request-ID"] == "page-7"


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", 'a"b', "ü", "<script>", "a\tb"])
async def test_malformed_ids_are_replaced(given: str) -> None:
    """A malformed id is neither returned nor logged."""
    async with (
        running_service() as service,
        service.http.get(service.base_url + "health", headers={"X-Request-ID": given}) as answer,
    ):
        assert len(answer.headers["X-Request-ID"]) == 14
        int(answer.headers["X-Request-ID"], 16)


def test_control_characters_are_no_part_of_an_id() -> None:
    """This holds for all bytes that a client can send in a header."""
    for given in ("a\nb", "a\r\nSet-Cookie: x", "\x1b[31m", "a\x00"):
        assert begin(given) != given
    REQUEST_ID.set("")


async def test_each_request_has_an_id_of_its_own(service: Service) -> None:
    """Also two on one connection, and one that fails."""
    seen = set()
    for path in ("health", "health", "nope", "jobs/nope"):
        async with service.http.get(service.base_url + path) as answer:
            seen.add(answer.headers.get("X-Request-ID"))
    assert len(seen - {None}) == 4


async def _has(log: io.StringIO, **values: object) -> bool:
    return bool(lines(log, **values))


# ---- the history of a job


async def test_history_over_http(log: io.StringIO, service: Service) -> None:
    """The server returns the logged steps, with the job's present state."""
    await service.submit("x", **{"X-Request-ID": "order-1"})
    async with Engine() as engine:
        await engine.start_instance("Ada").call(service.base_url + "register-worker")
        await eventually(lambda: _has(log, event="job.confirmed"))
        async with service.http.get(
            service.base_url + "operator/history/1", headers=OPERATOR
        ) as answer:
            told = await answer.json()
    assert list(map(_timeless, told["events"])) == list(map(_timeless, lines(log, ticket=1)))
    assert [step["event"] for step in told["events"]] == [
        "job.submitted", "job.assigned", "job.confirmed",
    ]  # fmt: skip
    assert told["events"][0]["request"] == "order-1"
    assert told["events"][1]["waiting_s"] >= 0
    assert (told["job"]["state"], told["job"]["stage"]) == ("assigned", "confirmed")


def _timeless(line: dict[str, object]) -> dict[str, object]:
    """Return a line without time and level."""
    return {name: value for name, value in line.items() if name not in ("timestamp", "level")}


async def test_a_ticket_that_was_never_given_is_unknown(service: Service) -> None:
    """404, as for an unknown id."""
    for ticket in ("7", "0", "-1", "99999999999999999999"):
        url = f"{service.base_url}operator/history/{ticket}"
        async with service.http.get(url, headers=OPERATOR) as answer:
            assert answer.status == 404
            assert (await answer.json())["Error"] == "UnknownJob"


def test_a_step_is_a_line() -> None:
    """Time, event, attempt, worker; then the other fields by name."""
    step = {
        "timestamp": "2024-11-24T01:39:00.500000Z",
        "event": "job.doubted",
        "ticket": 42,
        "job": "01234567",
        "attempt": 2,
        "worker": "Ada",
        "callback": "http://x/",
        "reason": "time-out",
    }
    assert line_of(step) == "2024-11-24T01:39:00.500000Z  job.doubted     #2   Ada  reason=time-out"

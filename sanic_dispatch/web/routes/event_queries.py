"""What happened: events, the history of a job, statistics; all need the operator's token."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from sanic import Blueprint, HTTPResponse, Request

from sanic_dispatch.core.job import Job
from sanic_dispatch.dispatch.queries import Queries
from sanic_dispatch.errors import UnknownJob
from sanic_dispatch.history.csv_format import CsvWriter
from sanic_dispatch.history.event_fields import describe_gaps, gaps_of, page_fields, step_of
from sanic_dispatch.history.formats import EventWriter, JsonLinesWriter, written
from sanic_dispatch.history.history_queries import HistoryQueries, Page
from sanic_dispatch.history.questions import Arguments, question_of, recording_of, span_of
from sanic_dispatch.history.recording_page import recording_fields
from sanic_dispatch.observability.log import printable
from sanic_dispatch.web import auth
from sanic_dispatch.web.calls import ask, why_waiting
from sanic_dispatch.web.context import Context, context_of
from sanic_dispatch.web.openapi.operation import CSV, JSON, NDJSON, describe
from sanic_dispatch.web.openapi.operations import EVENTS, HISTORY, RECORDING, STATISTICS
from sanic_dispatch.web.responses import PRIVATE, Response, json_answer
from sanic_dispatch.web.routes.lists import job_fields

events = Blueprint("events", url_prefix="/operator")

_CSV = f"{CSV}; charset=utf-8; header=present"
_NDJSON = f"{NDJSON}; charset=utf-8"


@events.get("/events")
@describe(EVENTS)
async def find(request: Request) -> HTTPResponse:
    """Find events, the oldest first.

    All conditions have to be met. As CSV and as JSON lines the page is the same; where the next one
    begins is in the header Link, and what may be missing in the header History-Incomplete.
    """
    auth.check(request, auth.OPERATOR)
    arguments = query_arguments(request)
    page = await ask(context_of(request), HistoryQueries.find, question_of(arguments))
    media_type = _media_type(request, (JSON, CSV, NDJSON))
    return await asyncio.to_thread(_page_answer, page, media_type, arguments)


@events.get("/recording")
@describe(RECORDING)
async def recording(request: Request) -> HTTPResponse:
    """Return events with all that a replay needs of them, and the data of orders.

    They are arrays, as in the event log; of the callbacks only the hosts are told.
    """
    auth.check(request, auth.OPERATOR)
    question = recording_of(query_arguments(request))
    found = await ask(context_of(request), HistoryQueries.recorded, question)
    return json_answer(await asyncio.to_thread(recording_fields, found))


@events.get("/history/<ticket:int>")
@describe(HISTORY)
async def history(request: Request, ticket: int) -> HTTPResponse:
    """Return what happened to the job with this ticket."""
    auth.check(request, auth.OPERATOR)
    context = context_of(request)
    page = await ask(context, HistoryQueries.of_ticket, ticket)
    job = await ask(context, Queries.of_ticket, ticket)
    if job is None and not page.events:
        raise UnknownJob
    shown = await _shown(context, job) if job else None
    steps, gaps = list(map(step_of, page.events)), gaps_of(page.damage, page.holes)
    return json_answer({"job": shown, "events": steps, **gaps})


@events.get("/stats")
@describe(STATISTICS)
async def statistics(request: Request) -> HTTPResponse:
    """Return statistics of a span, by hour, drink or robot.

    Without ``from`` and ``to`` it is all that is kept. A long span takes a while.
    """
    auth.check(request, auth.OPERATOR)
    span = span_of(query_arguments(request))
    counted = await ask(context_of(request), HistoryQueries.statistics, *span)
    return json_answer({"rows": counted.rows, **gaps_of(counted.damage, counted.holes)})


async def _shown(context: Context, job: Job) -> dict[str, Any]:
    """Return a job as lists have it, and why it waits."""
    why = await ask(context, why_waiting, job.id)
    return {**job_fields(job), **({"why": why.as_json(for_operators=True)} if why else {})}


def _page_answer(page: Page, media_type: str, arguments: Arguments) -> HTTPResponse:
    """Return a page in this media type; a thousand events take 15 ms."""
    shown = page_fields(page)
    if media_type == JSON:
        return json_answer(shown)
    headers = {**PRIVATE, "Vary": "Accept", **_link(arguments, page.next), **_warning(shown)}
    writer: EventWriter = CsvWriter() if media_type == CSV else JsonLinesWriter()
    body = "".join(written(writer, shown["events"]))
    return Response(body, 200, headers, _CSV if media_type == CSV else _NDJSON)


def query_arguments(request: Request) -> Arguments:
    """Return the arguments in the query, without the token."""
    given: dict[str, list[str]] = dict(request.get_args(keep_blank_values=True))
    given.pop("token", None)
    return given


def _media_type(request: Request, offered: Sequence[str]) -> str:
    """Return the media type that the client prefers; the first one if it accepts none of them."""
    match = request.accept.match(*offered)
    is_refused = match.header is not None and match.header.q == 0
    return str(match.mime) if match and not is_refused else offered[0]


def _link(arguments: Arguments, following: int | None) -> dict[str, str]:
    """Return the header that says where the next page is (RFC 8288)."""
    if following is None:
        return {}
    query = urlencode({**arguments, "after": [str(following)]}, doseq=True)
    return {"Link": f'<events?{query}>; rel="next"'}


def _warning(shown: Mapping[str, Any]) -> dict[str, str]:
    """Return what may be missing as a header."""
    text = printable("; ".join(describe_gaps(shown))).encode("ascii", "backslashreplace").decode()
    return {"History-Incomplete": text} if text else {}

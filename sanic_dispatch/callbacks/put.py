"""One delivery: exactly one PUT on the wire, and what became of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from io import BytesIO
from types import SimpleNamespace

import aiohttp

from sanic_dispatch.callbacks.outcome import Accepted, InDoubt, Outcome, Refused
from sanic_dispatch.errors import CallbackForbidden

_DOUBTFUL_STATUSES = (502, 504)

_OF_THE_WORKER = (401, 403, 404, 405, 407, 408, 409, 410, 421, 425, 426, 429, 503)
"""Refusals that say nothing of the job: another one would have got them too."""


class Broken(Exception):
    """The connection broke after the request may have been sent."""


class Attempt:
    """What is known of one PUT while it is under way."""

    sent = False
    """Whether a part of the request may have been sent."""


def notes_of_sending() -> aiohttp.TraceConfig:
    """For the session: has it note in each Attempt, just before it writes, that it does."""

    async def note(_: object, context: SimpleNamespace, __: object) -> None:
        if context.trace_request_ctx is not None:
            context.trace_request_ctx.sent = True

    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(note)
    return trace


async def put(
    session: aiohttp.ClientSession, url: str, body: bytes, headers: Mapping[str, str]
) -> Outcome:
    """PUT the body to a URL that the guard let pass, once.

    The status line decides; no answer's body is waited for. Of the body no more is read than came
    along with the head, and a connection with more to come is closed.
    """
    attempt = Attempt()
    try:
        response = await session.put(
            url,
            data=BytesIO(body),  # sent with its length, never chunked
            headers={**headers, "Content-Type": "application/json"},
            allow_redirects=False,
            middlewares=(send_once,),
            trace_request_ctx=attempt,
        )
    except (aiohttp.ClientError, CallbackForbidden, Broken, OSError) as error:
        return InDoubt(_why_in_doubt(error)) if attempt.sent else Refused(why_not_sent(error))
    response.release()
    return _outcome(response.status)


async def send_once(
    request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep the client from sending an unanswered PUT again: it repeats none but these errors.

    A worker that took the job from the first PUT would answer the second with a refusal.
    """
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise Broken from error


def why_not_sent(error: Exception) -> str:
    """In plain words, without any part of the URL, why a request could not be sent."""
    match error:
        case CallbackForbidden():
            return f"may not be called: {error}"
        case TimeoutError():
            return "no connection in time"
        case aiohttp.ClientConnectorDNSError():
            return "the name does not resolve"
        case aiohttp.ClientSSLError():
            return "the TLS handshake failed"
        case aiohttp.ClientConnectorError():
            return f"no connection: {_system_words(error)}"
    return "the request could not be sent"


def _why_in_doubt(error: Exception) -> str:
    match error:
        case TimeoutError():
            return "no answer in time"
        case aiohttp.ClientResponseError():
            return "the answer is not HTTP"
    return "the connection broke before an answer came"


def _outcome(status: int) -> Outcome:
    if 200 <= status < 300:
        return Accepted()
    if status in _DOUBTFUL_STATUSES:
        return InDoubt(f"answered {status}")
    return Refused(f"answered {status}", status >= 400 and status not in _OF_THE_WORKER)


def _system_words(error: aiohttp.ClientConnectorError) -> str:
    """The system's own words for an error's number: they hold no part of the URL."""
    number = error.os_error.errno
    return os.strerror(number).lower() if number else "the connection failed"

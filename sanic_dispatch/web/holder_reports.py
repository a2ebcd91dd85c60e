"""Parse what a job's holder reports, over HTTP or by websocket."""

from __future__ import annotations

from typing import Any, NamedTuple

from sanic_dispatch.core.job import Job
from sanic_dispatch.errors import InvalidRequest
from sanic_dispatch.web.context import Context
from sanic_dispatch.web.request_body import flag_in, text_in


class Failure(NamedTuple):
    """Why a job is not made, whether another worker may try, and whether it was asked to stop."""

    reason: str
    retry: bool
    cancelled: bool


def failure_in(said: dict[str, Any]) -> Failure:
    """Return why a job was not made. Raises InvalidRequest."""
    return Failure(text_in(said, "reason"), flag_in(said, "retry"), flag_in(said, "cancelled"))


def progress_in(said: dict[str, Any]) -> tuple[float | None, str | None]:
    """Return the percentage and the text, each None if not reported. Raises InvalidRequest."""
    percent = said.get("percent")
    text = text_in(said, "text") if "text" in said else None
    is_number = isinstance(percent, (int, float)) and not isinstance(percent, bool)
    if percent is not None and not (is_number and 0 <= percent <= 100):
        raise InvalidRequest("percent is a number from 0 to 100")
    return percent, text


def instructions_for(context: Context, job: Job) -> dict[str, Any]:
    """Return what the holder is told: whether to stop, and how long it may be silent."""
    return {"cancel": job.cancelling, "lease_s": context.dispatcher.lease_of_s(job)}

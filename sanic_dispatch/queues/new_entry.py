"""The short way to the entries of new jobs, which are by far the most of those that wait."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from sanic_dispatch.job import PLAIN, Job
from sanic_dispatch.queues.row import Row
from sanic_dispatch.strict_json import Entry, object_at, value_end

_HEAD = re.compile(rf'{{"id":"({PLAIN.pattern})","data":')
_TAIL = re.compile(rf',"submitted_at":"({PLAIN.pattern})","ticket":([1-9][0-9]{{0,14}})}}')
"""No ticket of fifteen digits is out of range."""


def job_at(text: str, at: int) -> tuple[Entry | Row, int]:
    """The row of the entry that begins at this character, and the character after its end.

    What does not look like a new job is any object, to be read key by key. Raises
    JSONDecodeError where there is none.
    """
    if head := _HEAD.match(text, at):
        end = value_end(text, head.end())
        tail = _TAIL.match(text, end)
        if tail and _is_time(tail[1]):
            data, ticket = text[head.end() : end].encode(), int(tail[2])
            job = Job(head[1], ticket, data, tail[1], ticket)
            return Row(ticket, job, text, at, tail.end()), tail.end()
    return object_at(text, at)


def _is_time(text: str) -> bool:
    """Whether it is a time in UTC: such a one can be read later on, too."""
    try:
        return datetime.fromisoformat(text).tzinfo is UTC
    except ValueError:
        return False

"""Priorities that requests give: the header Job-Priority, and an operator's act.

What a priority does is in ``core/line.py``.
"""

from __future__ import annotations

from typing import Any

from sanic_dispatch.core.job import MAX_PRIORITY
from sanic_dispatch.errors import InvalidPriority
from sanic_dispatch.web.context import Call, context_of

_WORDS = {str(priority): priority for priority in range(MAX_PRIORITY + 1)}


def priority_of(request: Call) -> int | None:
    """Return the priority in the request's header; None if it has none, or may not choose one.

    Raises InvalidPriority.
    """
    headers = request.headers.getall("job-priority", None)
    if headers is None or not context_of(request).access.may_choose_priority(request):
        return None
    given = ", ".join(headers).strip()
    if given not in _WORDS:
        raise InvalidPriority(given)
    return _WORDS[given]


def priority_in(body: dict[str, Any]) -> int:
    """Return the priority in an operator's request. Raises InvalidPriority."""
    given = body.get("priority", "")
    if type(given) is not int or not 0 <= given <= MAX_PRIORITY:
        raise InvalidPriority(given)
    return given

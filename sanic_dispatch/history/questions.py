"""Arguments of a query, as a question about events or about statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf, nextafter, ulp
from typing import NamedTuple

from sanic_dispatch.core.events import EventKind
from sanic_dispatch.core.timestamps import from_rfc3339
from sanic_dispatch.errors import InvalidRequest
from sanic_dispatch.history.statistics import By
from sanic_dispatch.storage.event_log import MAX_LIMIT, Question

MAX_NUMBER = 2**53
"""The largest number that every JSON parser keeps."""

Arguments = Mapping[str, Sequence[str]]


class Span(NamedTuple):
    """Which statistics to compute; ``from_s`` is inclusive, ``to_s`` exclusive."""

    by: By
    from_s: float | None
    to_s: float | None


class Replay(NamedTuple):
    """Which events a webhook is told again: at most ``limit`` after number ``since``."""

    since: int = 0
    limit: int = 100


def question_of(arguments: Arguments) -> Question:
    """Parse the arguments of /operator/events. Raises InvalidRequest with what is allowed."""
    given = _single(arguments, ("ticket", "worker", "kind", "from", "to", "text", "after", "limit"))
    from_s, to_s = _span(given)
    default = Question()
    return Question(
        number_in("ticket", given, 1, MAX_NUMBER),
        _text("worker", given, "a callback or a label"),
        _one_of("kind", given, list(EventKind)),
        None if from_s is None else _first_shown_as(from_s),
        None if to_s is None else _first_shown_as(to_s),
        _text("text", given, "part of a reason or a label"),
        number_in("after", given, 0, MAX_NUMBER) or default.after,
        number_in("limit", given, 1, MAX_LIMIT) or default.limit,
    )


def recording_of(arguments: Arguments) -> Question:
    """Parse the arguments of /operator/recording. Raises InvalidRequest with what is allowed."""
    _single(arguments, ("from", "to", "after", "limit"))
    return question_of(arguments)


def span_of(arguments: Arguments) -> Span:
    """Parse the arguments of /operator/stats. Raises InvalidRequest with what is allowed."""
    given = _single(arguments, ("from", "to", "by"))
    return Span(By(_one_of("by", given, list(By)) or By.HOUR), *_span(given))


def replay_of(arguments: Arguments) -> Replay:
    """Parse the arguments of /operator/webhooks/<id>/events. Raises InvalidRequest likewise."""
    given, default = _single(arguments, ("since", "limit")), Replay()
    return Replay(
        number_in("since", given, 0, MAX_NUMBER) or default.since,
        number_in("limit", given, 1, MAX_LIMIT) or default.limit,
    )


def _single(arguments: Arguments, known: Sequence[str]) -> dict[str, str]:
    for name, values in arguments.items():
        if name not in known:
            raise InvalidRequest(f"{name} is unknown; there are {', '.join(known)}")
        if len(values) > 1:
            raise InvalidRequest(f"{name} is there twice")
    return {name: values[0] for name, values in arguments.items()}


def _span(given: Mapping[str, str]) -> tuple[float | None, float | None]:
    from_s, to_s = _time("from", given), _time("to", given)
    if from_s is not None and to_s is not None and to_s < from_s:
        raise InvalidRequest("to is before from")
    return from_s, to_s


def _time(name: str, given: Mapping[str, str]) -> float | None:
    if name not in given:
        return None
    return time_in(name, given[name])


def time_in(name: str, text: str) -> float:
    """Return the time in an argument, Unix seconds. Raises InvalidRequest with what is allowed."""
    try:
        return from_rfc3339(text.replace(" ", "+"))  # a + in a query is a blank
    except ValueError:
        raise InvalidRequest(
            f"{name} is a time with its zone in ISO 8601, such as 2024-11-24T01:39:00Z"
        ) from None


def _first_shown_as(at_s: float) -> float:
    """Return the first time that is shown as this one: events have finer times than are shown.

    It is half a microsecond earlier, or as much less as a double is inexact.
    """
    shown_us = round(at_s * 1e6)
    first_s = (shown_us - 0.5) / 1e6
    first_s -= 4 * ulp(first_s)
    while round(first_s * 1e6) < shown_us:
        first_s = nextafter(first_s, inf)
    return first_s


def number_in(name: str, given: Mapping[str, str], least: int, most: int) -> int | None:
    """Return the number in an argument, None without it. Raises as ``time_in``."""
    text = given.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and least <= int(text) <= most):
        raise InvalidRequest(f"{name} is a number from {least} to {most}")
    return int(text)


def _text(name: str, given: Mapping[str, str], what: str) -> str | None:
    if given.get(name) == "":
        raise InvalidRequest(f"{name} is {what}")
    return given.get(name)


def _one_of(name: str, given: Mapping[str, str], allowed: Sequence[str]) -> str | None:
    value = given.get(name)
    if value is not None and value not in allowed:
        raise InvalidRequest(f"{name} is one of {', '.join(allowed)}")
    return value

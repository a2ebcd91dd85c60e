"""The log: one line for each thing that happened to a job or a worker.

Lines for people on a terminal, one JSON object a line elsewhere, on standard error. What the
standard library's logging gets (sanic, aiohttp, asyncio) goes the same way. Three rules hold for
every line:

- no control character from outside reaches it: what cannot be printed is escaped;
- no secret does: of an id of 128 bits only the first 8 digits show, of a query only its keys;
- a line that cannot be written is dropped, and stops nothing.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, MutableMapping
from functools import lru_cache
from types import NoneType
from typing import Any, TextIO

import structlog
import ujson

from sanic_dispatch.config.settings import LogFormat, LogLevel
from sanic_dispatch.core.events import Event, Kind
from sanic_dispatch.core.job import Job
from sanic_dispatch.core.timestamps import from_rfc3339, to_rfc3339
from sanic_dispatch.errors import StartError
from sanic_dispatch.observability.log_stream import LogStream

LONGEST = 500
"""Characters of one value that are written; what comes from outside has no end otherwise."""

Fields = MutableMapping[str, Any]

_LEVELS = {
    Kind.JOB_DOUBTED: logging.WARNING,
    Kind.JOB_UNCONSUMED: logging.WARNING,
    Kind.JOB_BLAMED: logging.WARNING,
    Kind.JOB_REPORT_REFUSED: logging.WARNING,
    Kind.JOB_FAILED: logging.WARNING,
    Kind.WORKER_SET_ASIDE: logging.WARNING,
    Kind.WORKER_USED: logging.DEBUG,
}
"""Which level a kind of event has, where it is not info."""

_NAMES = {level: name.lower() for name, level in logging.getLevelNamesMapping().items()}

_log = structlog.get_logger("sanic_dispatch")
"""Bound once it is configured: unbound, it would be put together anew for each line."""

_threshold = logging.CRITICAL
"""The least level of what is written; no events are before it is configured."""

_stream = LogStream(sys.stderr)

_now: Callable[[], str] = str
_render: Callable[[object, str, Fields], str]
"""The time in each line, and what makes one of fields that are sound, once it is configured."""


def configure(
    format: LogFormat = LogFormat.AUTO,
    level: LogLevel = LogLevel.INFO,
    stream: TextIO | None = None,
) -> None:
    """Send every log of this process to ``stream`` (standard error); may be called again.

    Other libraries are heard from warning on, and from info on at level debug. They are never let
    down to debug: some write what goes over their connections there, names and secrets included.
    """
    global _log, _threshold, _stream, _now, _render
    stream = stream or sys.stderr
    _stream = LogStream(stream)
    _now, _render = _renderers(format, stream)
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[structlog.processors.format_exc_info, _escape, _headed, _render],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=lambda *_: _stream,
        cache_logger_on_first_use=False,
    )
    _log = structlog.get_logger("sanic_dispatch").bind()
    _threshold = threshold
    logging.captureWarnings(True)
    others = [handler for handler in logging.root.handlers if not isinstance(handler, _Relay)]
    logging.root.handlers[:] = [*others, _Relay()]
    logging.root.setLevel(
        max(threshold, logging.WARNING) if threshold > logging.DEBUG else logging.INFO
    )


def is_human(format: LogFormat, stream: TextIO) -> bool:
    """Whether lines of this format, in this stream, are for people."""
    return format is LogFormat.HUMAN or (format is LogFormat.AUTO and stream.isatty())


def log_event(event: Event) -> None:
    """Write the line of an event, unless its level is off."""
    if _LEVELS.get(event.kind, logging.INFO) >= _threshold:
        log_events([event])


def log_events(events: Iterable[Event]) -> None:
    """Write the lines of events together.

    As structlog does, but without a logger that is put together, one time for all, and without a
    look at fields that are sound: most lines come this way, in half of the instructions.
    """
    now, lines = _now(), []
    for event in events:
        level = _LEVELS.get(event.kind, logging.INFO)
        if level >= _threshold:
            name = _NAMES[level]
            head = {"timestamp": now, "level": name, "event": event.kind.value}
            lines.append(_render(None, name, head | fields_of(event)))
    _stream.write(lines)


def printable(text: str) -> str:
    r"""The text with everything that does not print escaped (``\x1b``), cut where it is long."""
    if len(text) > LONGEST:
        text = text[:LONGEST] + "…"
    if text.isprintable():
        return text
    return "".join(map(_escaped, text))


def masked(text: str) -> str:
    """The text without secrets: ids cut to their first 8 digits, queries to their keys."""
    text = _LONG_ID.sub(_cut, text)
    return _QUERY_VALUE.sub(_cut, text) if "=" in text else text


def _cut(found: re.Match[str]) -> str:
    return f"{found[1]}…"


_LONG_ID = re.compile(r"\b([0-9a-fA-F]{8})(?:-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}\b")
_QUERY_VALUE = re.compile(r"""([?&][^=&\s"']+=)[^&\s"'#]+""")


# ---- an event's fields


def fields_of(event: Event) -> dict[str, Any]:
    """Return what the line of an event says besides time, level and kind.

    Nothing in it has to be escaped any more.
    """
    fields: dict[str, Any] = {}
    if event.job is not None:
        _note_job(fields, event, event.job)
    elif event.worker is not None and event.kind is not Kind.WORKER_REGISTERED:
        fields["waiting_s"] = _elapsed_s(event.worker.registered_s, event.at_s)
    if event.worker is not None:
        if event.worker.label:
            fields["worker"] = printable(event.worker.label)
        fields["callback"] = _without_secrets(event.worker.callback_url)
    if event.reason:
        fields["reason"] = printable(masked(event.reason))
    if event.request:
        fields["request"] = printable(event.request)
    return fields


def _note_job(fields: dict[str, Any], event: Event, job: Job) -> None:
    """Which it is; how long it waited, once that is over; how long its worker had it, likewise."""
    fields["ticket"] = job.ticket
    fields["job"] = job.id[: min(8, len(job.id) // 4)]
    if job.attempt:
        fields["attempt"] = job.attempt
    if event.kind in _WAITED:
        fields["waiting_s"] = _elapsed_s(from_rfc3339(job.submitted_at), event.at_s)
    elif event.kind in _SERVED and job.hold:
        fields["service_s"] = _elapsed_s(job.hold.since_s, event.at_s)


_WAITED = (Kind.JOB_ASSIGNED, Kind.JOB_CANCELLED)
_SERVED = (Kind.JOB_DONE, Kind.JOB_FAILED)


@lru_cache(maxsize=1024)
def _without_secrets(url: str) -> str:
    """The URL without query, fragment and user name, its long ids cut; asked for several times."""
    if "?" in url or "#" in url or "@" in url:
        scheme, separator, rest = url.partition("?")[0].partition("#")[0].partition("://")
        host, slash, path = rest.partition("/")
        url = f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"
    return printable(masked(url))


def _elapsed_s(since_s: float, now_s: float) -> float:
    """Never negative, also where somebody has put the clock back."""
    return round(max(0.0, now_s - since_s), 3)


# ---- from fields to a line


def _escape(_logger: object, _method: str, fields: Fields) -> Fields:
    for name, value in fields.items():
        if name == "exception":
            fields[name] = _traceback(value)
        elif isinstance(value, str):
            fields[name] = printable(value)
        elif not isinstance(value, _SOUND):
            fields[name] = printable(str(value))
    return fields


_SOUND = (int, float, NoneType)
"""What cannot hold anything from outside."""


def _traceback(text: str) -> str:
    """Its lines set in, so that none of them can pose as a line of the log."""
    return "\n".join("    " + printable(line) for line in masked(text).splitlines())


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode()


def _renderers(
    format: LogFormat, stream: TextIO
) -> tuple[Callable[[], str], Callable[[object, str, Fields], str]]:
    """What says the time, and what makes a line."""
    if not is_human(format, stream):
        return (lambda: to_rfc3339(time.time())), _as_json
    return (lambda: time.strftime("%H:%M:%S")), structlog.dev.ConsoleRenderer(
        colors=stream.isatty() and "NO_COLOR" not in os.environ,
        exception_formatter=structlog.dev.plain_traceback,
        sort_keys=False,
        pad_event_to=18,
    )


def _headed(_logger: object, level: str, fields: Fields) -> Fields:
    """What each line begins with: when, how important, what."""
    return {"timestamp": _now(), "level": level, "event": fields.pop("event"), **fields}


def _as_json(_logger: object, _method: str, fields: Fields) -> str:
    return ujson.dumps(fields, escape_forward_slashes=False)


# ---- the standard library's logging


class _Relay(logging.Handler):
    """Hands the standard library's records on to the same processors.

    An error that keeps the service from starting is left to the command line, which says it in
    one line; Sanic would add a traceback.
    """

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and isinstance(record.exc_info[1], StartError):
            return
        level = min(max(record.levelno // 10 * 10, logging.DEBUG), logging.CRITICAL)
        fields = {"logger": record.name, **_request_fields(record)}
        if record.exc_info:
            fields["exc_info"] = record.exc_info
        _log.log(level, masked(_message_of(record)), **fields)


def _message_of(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):
        return str(record.msg)


def _request_fields(record: logging.LogRecord) -> dict[str, Any]:
    """What Sanic's access log has beside its message, which is empty."""
    if record.name != "sanic.access":
        return {}
    kept = {name: getattr(record, name, "") for name in ("request", "status", "byte", "host")}
    return kept | {"request": masked(str(kept["request"]))}

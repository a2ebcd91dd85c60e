"""The log: one line for each event of a job or a worker.

Lines go to standard error: for people on a terminal, as JSON objects elsewhere. The standard
library's logging (sanic, aiohttp, asyncio) is written the same way. Three rules hold for every
line:

- control characters from outside are escaped;
- secrets are cut: a 128-bit id to its first 8 digits, a query to its keys;
- a line that cannot be written is dropped, and nothing else fails.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache, partial
from io import TextIOWrapper
from types import MappingProxyType, NoneType
from typing import Any, TextIO

import msgspec

from sanic_dispatch.config.settings import LogFormat, LogLevel
from sanic_dispatch.core.events import Event, EventKind
from sanic_dispatch.core.job import Job
from sanic_dispatch.core.timestamps import from_rfc3339, to_rfc3339
from sanic_dispatch.errors import StartError
from sanic_dispatch.observability.absent_module import absent
from sanic_dispatch.observability.log_stream import LogStream

# structlog imports it for coloured tracebacks, which no line here has: that takes a quarter of the
# start of a command.
with absent("rich"):
    import structlog
    from structlog.typing import EventDict

MAX_VALUE_CHARS = 500
"""Most characters of one value: text from outside may be of any length."""

_LEVELS = {
    EventKind.JOB_PROGRESSED: logging.DEBUG,
    EventKind.JOB_DOUBTED: logging.WARNING,
    EventKind.JOB_UNCONSUMED: logging.WARNING,
    EventKind.JOB_BLAMED: logging.WARNING,
    EventKind.JOB_REPORT_REFUSED: logging.WARNING,
    EventKind.JOB_FAILED: logging.WARNING,
    EventKind.WORKER_SET_ASIDE: logging.WARNING,
    EventKind.WORKER_USED: logging.DEBUG,
}
"""The level of each kind of event that is not logged at info."""

_NOTHING: Mapping[str, str] = MappingProxyType({})

_NAMES = {level: name.lower() for name, level in logging.getLevelNamesMapping().items()}

_log = structlog.get_logger("sanic_dispatch")
"""Bound by ``configure``: structlog assembles an unbound logger for each line."""

_threshold = logging.CRITICAL
"""The least level that is written; before ``configure`` no event reaches it."""

_stream = LogStream(sys.stderr)

_topic: ContextVar[str] = ContextVar("topic", default="")
"""The topic whose lines are written; tasks inherit it."""

_now: Callable[[], str] = str
_render: Callable[[object, str, EventDict], bytes]
"""How to format the time, and how to render escaped fields as a line; set by ``configure``."""


def configure(
    format: LogFormat = LogFormat.AUTO,
    level: LogLevel = LogLevel.INFO,
    stream: TextIO | None = None,
) -> None:
    """Send every log of this process to ``stream`` (default: standard error); may be called again.

    Other libraries are logged from warning on, and at level debug from info on. Their debug lines
    never are: some contain the traffic of their connections, with names and secrets.
    """
    global _log, _threshold, _stream, _now, _render
    stream = stream or sys.stderr
    _now, _render = _renderers(format, stream)
    _stream = LogStream(stream)
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[structlog.processors.format_exc_info, _escape, _with_head, _render],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=lambda *_: _stream,
        cache_logger_on_first_use=False,
    )
    _log = structlog.get_logger("sanic_dispatch").bind()
    _threshold = threshold
    logging.captureWarnings(True)
    others = [
        handler for handler in logging.root.handlers if not isinstance(handler, _StdlibHandler)
    ]
    logging.root.handlers[:] = [*others, _StdlibHandler()]
    logging.root.setLevel(
        max(threshold, logging.WARNING) if threshold > logging.DEBUG else logging.INFO
    )


def is_human(format: LogFormat, stream: TextIO) -> bool:
    """Return whether lines of this format are for people when written to this stream."""
    return format is LogFormat.HUMAN or (format is LogFormat.AUTO and stream.isatty())


@contextmanager
def in_topic(topic: str) -> Iterator[None]:
    """Add the topic's name, if it has one, to each log line that comes from within.

    What is made for a topic and called by requests keeps this context (``copy_context``), since the
    context of a request has no topic.
    """
    token = _topic.set(topic)
    try:
        yield
    finally:
        _topic.reset(token)


def of_topic(topic: str) -> Callable[[Sequence[Event]], None]:
    """Return ``log_events`` for a topic: a named one is in each line."""
    return partial(log_events, more={"topic": topic}) if topic else log_events


def log_events(events: Iterable[Event], more: Mapping[str, str] = _NOTHING) -> None:
    """Write the lines of events together, with ``more`` fields, which are escaped.

    Those whose level is off are left out.

    This bypasses structlog's logger and escaping, since the fields of events are escaped already:
    most lines are written here, with half of the instructions.
    """
    now, lines = _now(), []
    for event in events:
        level = _LEVELS.get(event.kind, logging.INFO)
        if level >= _threshold:
            name = _NAMES[level]
            head = {"timestamp": now, "level": name, "event": event.kind}
            if more:
                head.update(more)
            lines.append(_render(None, name, fields_of(event, head)))
    _stream.write(lines)


def printable(text: str) -> str:
    r"""Escape everything that does not print (as ``\x1b``), and cut long text."""
    if len(text) > MAX_VALUE_CHARS:
        text = text[:MAX_VALUE_CHARS] + "…"
    if text.isprintable():
        return text
    return "".join(map(_escaped, text))


def masked(text: str) -> str:
    """Cut ids to their first 8 digits and queries to their keys."""
    text = _LONG_ID.sub(_cut, text)
    return _QUERY_VALUE.sub(_cut, text) if "=" in text else text


def _cut(found: re.Match[str]) -> str:
    return f"{found[1]}…"


_LONG_ID = re.compile(r"\b([0-9a-fA-F]{8})(?:-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}\b")
_QUERY_VALUE = re.compile(r"""([?&][^=&\s"']+=)[^&\s"'#]+""")


# ---- an event's fields


def fields_of(event: Event, head: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the fields of an event's line besides time, level and kind; they are escaped.

    They are added to ``head`` if there is one.
    """
    fields = {} if head is None else head
    if event.job is not None:
        _add_job_fields(fields, event, event.job)
    elif (waiting_s := waiting_s_of(event)) is not None:
        fields["waiting_s"] = waiting_s
    if event.worker is not None:
        if event.worker.label:
            fields["worker"] = printable(event.worker.label)
        fields["callback"] = without_secrets(event.worker.callback_url)
    if event.reason:
        fields["reason"] = printable(masked(event.reason))
    if event.request:
        fields["request"] = printable(event.request)
    return fields


def _add_job_fields(fields: dict[str, Any], event: Event, job: Job) -> None:
    """Add ticket and id, and how long the job waited or was served if that has just ended."""
    fields["ticket"] = job.ticket
    fields["job"] = short_id(job.id)
    if job.attempt:
        fields["attempt"] = job.attempt
    if (waiting_s := waiting_s_of(event)) is not None:
        fields["waiting_s"] = waiting_s
    elif (service_s := service_s_of(event)) is not None:
        fields["service_s"] = service_s
    if (percent := percent_of(event)) is not None:
        fields["percent"] = percent


def short_id(job_id: str) -> str:
    """Return the part of a job's secret id that may be seen: its first 8 digits."""
    return job_id[:8] if len(job_id) >= 32 else job_id[: len(job_id) // 4]


_ENDED = (EventKind.JOB_DONE, EventKind.JOB_FAILED, EventKind.JOB_CANCELLED)


def waiting_s_of(event: Event) -> float | None:
    """Return how long the job waited if that has just ended, or the worker of its own event."""
    job, worker = event.job, event.worker
    if job is not None:
        kind = event.kind
        if kind is EventKind.JOB_ASSIGNED or (kind is EventKind.JOB_CANCELLED and job.hold is None):
            return _elapsed_s(from_rfc3339(job.submitted_at), event.at_s)
    elif worker is not None and event.kind is not EventKind.WORKER_REGISTERED:
        return _elapsed_s(worker.registered_s, event.at_s)
    return None


def service_s_of(event: Event) -> float | None:
    """Return how long its worker had the job that has just ended, if one had it."""
    job = event.job
    if job is not None and event.kind in _ENDED and job.hold:
        return _elapsed_s(job.hold.since_s, event.at_s)
    return None


def percent_of(event: Event) -> float | None:
    """Return how far the worker is with the job, if it has just said so."""
    job = event.job
    if job is None or job.progress is None or event.kind is not EventKind.JOB_PROGRESSED:
        return None
    return job.progress.percent


def _elapsed_s(since_s: float, now_s: float) -> float:
    """Return a duration in whole milliseconds, not negative even if the clock was set back."""
    return round((now_s - since_s) * 1000) / 1000 if now_s > since_s else 0.0


@lru_cache(maxsize=1024)
def without_secrets(url: str) -> str:
    """Return a URL without query, fragment, user name and long ids; cached, as URLs repeat."""
    if "?" in url or "#" in url or "@" in url:
        scheme, separator, rest = url.partition("?")[0].partition("#")[0].partition("://")
        host, slash, path = rest.partition("/")
        url = f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"
    return printable(masked(url))


# ---- from fields to a line


def _escape(_logger: object, _method: str, fields: EventDict) -> EventDict:
    for name, value in fields.items():
        if name == "exception":
            fields[name] = _traceback(value)
        elif isinstance(value, str):
            fields[name] = printable(value)
        elif not isinstance(value, _NOT_TEXT):
            fields[name] = printable(str(value))
    return fields


_NOT_TEXT = (int, float, NoneType)
"""Types of values that cannot hold text from outside."""


def _traceback(text: str) -> str:
    """Indent a traceback, so that no line of it can pass for a line of the log."""
    return "\n".join("    " + printable(line) for line in masked(text).splitlines())


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode()


def _renderers(
    format: LogFormat, stream: TextIO
) -> tuple[Callable[[], str], Callable[[object, str, EventDict], bytes]]:
    """Return how to format the time, and how to render fields as a line in UTF-8."""
    if not is_human(format, stream):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8")  # as JSON is, wherever it runs
        return (lambda: to_rfc3339(time.time())), _as_json
    for_people = structlog.dev.ConsoleRenderer(
        colors=stream.isatty() and "NO_COLOR" not in os.environ,
        exception_formatter=structlog.dev.plain_traceback,
        sort_keys=False,
        pad_event_to=18,
    )
    return (
        lambda: time.strftime("%H:%M:%S"),
        lambda *fields: for_people(*fields).encode(errors="backslashreplace"),
    )


def _with_head(_logger: object, level: str, fields: EventDict) -> EventDict:
    """Put time, level, event and topic before the other fields."""
    head = {"timestamp": _now(), "level": level, "event": fields.pop("event")}
    if topic := _topic.get():
        head["topic"] = topic
    return {**head, **fields}


_ENCODER = msgspec.json.Encoder()


def _as_json(_logger: object, _method: str, fields: EventDict) -> bytes:
    return _ENCODER.encode(fields)


# ---- the standard library's logging


class _StdlibHandler(logging.Handler):
    """Passes the standard library's log records to structlog.

    A StartError is left to the command line, which prints it in one line; Sanic would log it with a
    traceback.
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
    """Return the fields of Sanic's access log, whose message is empty."""
    if record.name != "sanic.access":
        return {}
    kept = {name: getattr(record, name, "") for name in ("request", "status", "byte", "host")}
    return kept | {"request": masked(str(kept["request"]))}

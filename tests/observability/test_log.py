"""The log: one line per event, escaped, without secrets, cheap when it is off."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
import subprocess
import sys
import warnings

import pytest
import structlog

from sanic_dispatch.config.settings import LogFormat, LogLevel
from sanic_dispatch.core.events import Event, EventKind
from sanic_dispatch.core.job import Hold, Job, Progress, Stage, State, Way
from sanic_dispatch.core.worker import Key, Worker
from sanic_dispatch.errors import StartError
from sanic_dispatch.observability.log import (
    MAX_VALUE_CHARS,
    configure,
    log_events,
    masked,
    of_topic,
    printable,
)
from tests.support.paths import DOCS, ROOT

SUBMITTED_AT, SUBMITTED_S = "2024-11-24T01:39:00.500000Z", 1732412340.5
JOB_ID = "0123456789abcdef0123456789abcdef"
LEVELS = "debug|info|warning|error|exception"
LOGGED = re.compile(rf'(?:log|get_logger\(\))\.(?:{LEVELS})\(\s*"([a-z_]+[. ][a-z_ ]+)"')
CALLBACK = "http://127.0.0.1:8298/4/callbacks/5480964890e4a865b1cee2b2fe93f45a/"

WORKER = Worker(CALLBACK, SUBMITTED_AT, Key("b0bc965b", "a1"), label="Register worker")
WAITING = Job(JOB_ID, 42, b'{"name":"Eve"}', SUBMITTED_AT, 42.0)


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True


class Broken(io.StringIO):
    """A stream whose other end is closed."""

    def write(self, text: str) -> int:
        """Fail, as for a full disk or a closed pipe."""
        raise BrokenPipeError


@pytest.fixture(autouse=True)
def put_back():
    """Restore logging after each test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("sanic_dispatch").setLevel(logging.NOTSET)
    logging.captureWarnings(False)
    structlog.reset_defaults()


@pytest.fixture
def stream():
    """The stream with the lines, as JSON and from level debug on."""
    stream = io.StringIO()
    configure(LogFormat.JSON, LogLevel.DEBUG, stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    """Return the lines as objects, without their time."""
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    for line in found:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line.pop("timestamp"))
    return found


def event(
    kind: EventKind,
    job: Job | None = None,
    worker: Worker | None = None,
    reason: str = "",
    at_s: float = SUBMITTED_S,
) -> Event:
    """Return an event as it is published."""
    return Event(1, kind, at_s, job, job.worker if job else worker, reason)


def log_event(event: Event) -> None:
    """Write the line of an event, if its level is on."""
    log_events([event])


def held(stage: Stage, state: State = State.ASSIGNED, worker: Worker = WORKER) -> Job:
    """Return a job that was assigned ten seconds after it was submitted."""
    hold = Hold(worker, Way.PUT, stage, SUBMITTED_S + 10)
    return Job(JOB_ID, 42, b"{}", SUBMITTED_AT, 42.0, state, hold, attempt=2)


def test_job_that_waits(stream):
    """The line has the ticket and the first digits of the secret id, never the data."""
    log_event(event(EventKind.JOB_SUBMITTED, WAITING))
    assert lines(stream) == [
        {"level": "info", "event": "job.submitted", "ticket": 42, "job": "01234567"}
    ]


def test_the_topic(stream):
    """The lines of a named topic have its name; those of the unnamed one do not."""
    for topic in ("roof", ""):
        of_topic(topic)([event(EventKind.JOB_SUBMITTED, WAITING)])
    line = {"level": "info", "event": "job.submitted", "ticket": 42, "job": "01234567"}
    assert lines(stream) == [{**line, "topic": "roof"}, line]


def test_job_that_is_assigned(stream):
    """The line has attempt, waiting time, and the worker's label and callback."""
    log_event(event(EventKind.JOB_ASSIGNED, held(Stage.UNDER_WAY), at_s=SUBMITTED_S + 10.1234567))
    assert lines(stream) == [
        {
            "level": "info",
            "event": "job.assigned",
            "ticket": 42,
            "job": "01234567",
            "attempt": 2,
            "waiting_s": 10.123,
            "worker": "Register worker",
            "callback": "http://127.0.0.1:8298/4/callbacks/54809648…/",
        }
    ]


def test_job_that_is_done(stream):
    """The line has the time for which the worker had the job."""
    log_event(event(EventKind.JOB_DONE, held(Stage.CONFIRMED, State.DONE), at_s=SUBMITTED_S + 95))
    (line,) = lines(stream)
    assert (line["event"], line["service_s"]) == ("job.done", 85.0)
    assert "waiting_s" not in line


def test_job_that_is_cancelled(stream):
    """The line has how long the worker had it, or how long it waited if none had it."""
    for job in (held(Stage.CONFIRMED, State.CANCELLED), WAITING):
        log_event(event(EventKind.JOB_CANCELLED, job, at_s=SUBMITTED_S + 95))
    begun, waited = lines(stream)
    assert begun["service_s"] == 85.0
    assert waited["waiting_s"] == 95.0
    assert "waiting_s" not in begun


def test_progress_is_for_debugging(stream):
    """It comes often; the line has how far the worker is, and what it says."""
    job = held(Stage.CONFIRMED)._replace(progress=Progress(40, "adding gin"))
    log_event(event(EventKind.JOB_PROGRESSED, job, reason="adding gin"))
    (line,) = lines(stream)
    assert (line["level"], line["percent"], line["reason"]) == ("debug", 40, "adding gin")


def test_job_in_doubt_is_a_warning_with_its_reason(stream):
    """It is logged as a warning."""
    log_event(event(EventKind.JOB_DOUBTED, held(Stage.IN_DOUBT), reason="no answer in time"))
    (line,) = lines(stream)
    assert (line["level"], line["reason"]) == ("warning", "no answer in time")


def test_worker_alone(stream):
    """The line has its callback and how long it has waited."""
    worker = Worker("http://127.0.0.1:1/cb", SUBMITTED_AT)
    log_event(event(EventKind.WORKER_DROPPED, worker=worker, reason="gone", at_s=SUBMITTED_S + 3))
    assert lines(stream) == [
        {
            "level": "info",
            "event": "worker.dropped",
            "waiting_s": 3.0,
            "callback": "http://127.0.0.1:1/cb",
            "reason": "gone",
        }
    ]


def test_dispatch_alone(stream):
    """An event without a job and a worker is a line too."""
    log_event(event(EventKind.DISPATCH_PAUSED, reason="ice is out"))
    assert lines(stream) == [{"level": "info", "event": "dispatch.paused", "reason": "ice is out"}]


@pytest.mark.parametrize("kind", list(EventKind))
def test_every_kind_of_event_is_one_line(stream, kind):
    """Each kind is one line, named after the event."""
    log_event(event(kind, held(Stage.CONFIRMED)))
    assert [line["event"] for line in lines(stream)] == [kind.value]


@pytest.mark.parametrize("job_id", ["", "7", "1234567", JOB_ID, "é" * 40])
def test_never_the_whole_id(stream, job_id):
    """At most a quarter of an id is logged, however short it is."""
    log_event(event(EventKind.JOB_SUBMITTED, Job(job_id, 1, b"1", SUBMITTED_AT, 1.0)))
    (line,) = lines(stream)
    assert line["job"] == job_id[: min(8, len(job_id) // 4)]


@pytest.mark.parametrize(
    ("callback", "shown"),
    [
        ("http://h/cb?token=s3cret", "http://h/cb"),
        ("http://h/cb#s3cret", "http://h/cb"),
        ("http://me:s3cret@h:1/cb", "http://h:1/cb"),
        ("http://h/a@b/c", "http://h/a@b/c"),
        ("http://h?s3cret", "http://h"),
        ("http://h/cb&token=s3cret/", "http://h/cb&token=…"),
    ],
)
def test_callback_without_secrets(stream, callback, shown):
    """A callback is logged without query, fragment and user name."""
    log_event(event(EventKind.WORKER_REGISTERED, worker=Worker(callback, SUBMITTED_AT)))
    assert lines(stream)[0]["callback"] == shown


def test_a_clock_put_back_gives_no_negative_time(stream):
    """Durations are at least 0."""
    log_event(event(EventKind.JOB_ASSIGNED, held(Stage.UNDER_WAY), at_s=SUBMITTED_S - 3600))
    assert lines(stream)[0]["waiting_s"] == 0.0


EVIL = "\x1b[2J\r\n\x00\x7f\x85\u2028\u202e\ud800 ticket=1"


@pytest.mark.parametrize("format", [LogFormat.JSON, LogFormat.HUMAN])
def test_nothing_from_outside_controls_the_terminal(format):
    """Control characters, line breaks and bidi overrides are escaped in each field."""
    stream = io.StringIO()
    configure(format, LogLevel.INFO, stream)
    worker = Worker("http://h/" + EVIL, SUBMITTED_AT, label=EVIL)
    log_event(event(EventKind.WORKER_REGISTERED, worker=worker, reason=EVIL))
    logging.getLogger("sanic.error").error("%s", EVIL)
    structlog.get_logger().info(EVIL, given=[EVIL])
    text = stream.getvalue()
    assert text.count("\n") == 3
    assert text.replace("\n", "").isprintable()


def test_value_cannot_pose_as_a_field():
    """In human lines, values with blanks or equals signs are quoted."""
    stream = io.StringIO()
    configure(LogFormat.HUMAN, LogLevel.INFO, stream)
    log_event(event(EventKind.DISPATCH_PAUSED, reason="x ticket=1"))
    assert stream.getvalue().rstrip().endswith("reason='x ticket=1'")


def test_long_values_are_cut():
    """Values from outside are cut, so that they cannot fill the disk."""
    assert printable("x" * 10_000) == "x" * MAX_VALUE_CHARS + "…"


def test_printable_text_is_kept():
    """Printable text of any script is unchanged."""
    assert printable("Kühle Drinks für 東京 🍹") == "Kühle Drinks für 東京 🍹"


def test_json_is_utf_8_everywhere():
    """Also where the locale has another encoding."""
    written, robot = io.BytesIO(), "Kühle Drinks für 東京 🍹"
    configure(LogFormat.JSON, LogLevel.INFO, io.TextIOWrapper(written, encoding="latin-1"))
    log_event(event(EventKind.WORKER_DROPPED, worker=WORKER._replace(label=robot)))
    assert robot in written.getvalue().decode()
    assert json.loads(written.getvalue())["worker"] == robot


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"GET http://h/jobs/{JOB_ID}", "GET http://h/jobs/01234567…"),
        ("/jobs/b0bc965b-11b4-4dfa-91bb-4a145ab2d3b2/x", "/jobs/b0bc965b…/x"),
        ("/live?order=abc&since=a:1 101", "/live?order=…&since=… 101"),
        ("/register-worker?token=s3cret", "/register-worker?token=…"),
        ("nothing to hide: 0123456789abcdef", "nothing to hide: 0123456789abcdef"),
    ],
)
def test_masked(text, expected):
    """In any text, ids of 128 bits are cut and values of queries left out."""
    assert masked(text) == expected


@pytest.mark.parametrize(
    ("level", "kinds"),
    [
        (LogLevel.DEBUG, ["job.done", "worker.used", "job.failed"]),
        (LogLevel.INFO, ["job.done", "job.failed"]),
        (LogLevel.WARNING, ["job.failed"]),
        (LogLevel.ERROR, []),
    ],
)
def test_levels(level, kinds):
    """A level leaves out the less important events."""
    stream = io.StringIO()
    configure(LogFormat.JSON, level, stream)
    log_event(event(EventKind.JOB_DONE, WAITING))
    log_event(event(EventKind.WORKER_USED, worker=WORKER))
    log_event(event(EventKind.JOB_FAILED, WAITING))
    assert [line["event"] for line in lines(stream)] == kinds


def test_a_level_that_is_off_costs_nothing():
    """If the level is off, the event's job is not even read."""
    configure(LogFormat.JSON, LogLevel.ERROR, io.StringIO())
    log_event(Event(1, EventKind.JOB_DONE, 0.0, object(), None, ""))  # type: ignore[arg-type]


def test_unconfigured_events_are_not_logged():
    """Without ``configure`` events are not logged, and nothing fails."""
    program = (
        "from sanic_dispatch.core.events import Event, EventKind\n"
        "from sanic_dispatch.observability.log import log_events\n"
        "log_events([Event(1, EventKind.JOB_FAILED, 0.0, None, None, 'too often')])\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert (run.stdout, run.stderr) == (b"", b"")


@pytest.mark.parametrize("stream", [Broken(), io.StringIO()])
def test_a_log_that_cannot_be_written_stops_nothing(stream):
    """On a full disk, or a closed pipe or stream, the line is dropped and dispatching goes on."""
    configure(LogFormat.JSON, LogLevel.INFO, stream)
    stream.close()
    log_event(event(EventKind.JOB_SUBMITTED, WAITING))
    logging.getLogger("sanic.error").error("x")


def test_auto_is_human_on_a_terminal_and_json_elsewhere():
    """``auto`` depends on the stream."""
    terminal, pipe = Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        configure(LogFormat.AUTO, LogLevel.INFO, stream)
        log_event(event(EventKind.JOB_SUBMITTED, WAITING))
    assert "\x1b[" in terminal.getvalue()
    assert lines(pipe)[0]["ticket"] == 42


def test_colours(monkeypatch):
    """NO_COLOR is honoured on a terminal, and files never have colours."""
    monkeypatch.setenv("NO_COLOR", "1")
    for stream in (Terminal(), io.StringIO()):
        configure(LogFormat.HUMAN, LogLevel.INFO, stream)
        log_event(event(EventKind.JOB_SUBMITTED, WAITING))
        assert "\x1b" not in stream.getvalue()


def test_standard_library_records_are_lines_too(stream):
    """Records of sanic, aiohttp and asyncio are lines of the same kind, once, with their logger."""
    for name in ("sanic.root", "aiohttp.client", "asyncio"):
        logging.getLogger(name).warning("hello %s", "bar")
    assert lines(stream) == [
        {"level": "warning", "event": "hello bar", "logger": name}
        for name in ("sanic.root", "aiohttp.client", "asyncio")
    ]


def test_configured_twice_writes_once(stream):
    """Configuring again replaces the former configuration."""
    again = io.StringIO()
    configure(LogFormat.JSON, LogLevel.INFO, again)
    logging.getLogger("sanic.root").warning("hello")
    assert len(lines(again)) == 1
    assert not stream.getvalue()


def test_other_libraries_are_never_at_debug(stream):
    """Their debug lines would have names and secrets from their connections."""
    logging.getLogger("websockets.server").debug("< TEXT 'name'")
    assert not stream.getvalue()


@pytest.mark.parametrize(
    ("level", "heard"),
    [
        (LogLevel.DEBUG, ["info", "warning", "error"]),
        (LogLevel.INFO, ["warning", "error"]),
        (LogLevel.ERROR, ["error"]),
    ],
)
def test_other_libraries_chat_only_at_debug(level, heard):
    """Their info lines are written at level debug only."""
    stream = io.StringIO()
    configure(LogFormat.JSON, level, stream)
    for word in ("debug", "info", "warning", "error"):
        getattr(logging.getLogger("sanic.server"), word)("x")
    assert [line["level"] for line in lines(stream)] == heard


def test_a_start_that_fails_is_left_to_the_command_line(stream):
    """Sanic's traceback of a StartError is not logged."""
    try:
        raise StartError("no way")
    except StartError:
        logging.getLogger("sanic.error").exception("Experienced exception")
    assert not stream.getvalue()


def test_access_log_shows_request_without_secrets(stream):
    """The access log has request and status, with secrets masked."""
    extra = {"request": f"GET http://h/jobs/{JOB_ID}?token=s3cret", "status": 200, "byte": 9}
    logging.getLogger("sanic.access").info("", extra={**extra, "host": "127.0.0.1:9"})
    assert lines(stream) == [
        {
            "level": "info",
            "event": "",
            "logger": "sanic.access",
            "request": "GET http://h/jobs/01234567…?token=…",
            "status": 200,
            "byte": 9,
            "host": "127.0.0.1:9",
        }
    ]


def test_tracebacks(stream):
    """A traceback is one field of one line, without secrets or control characters."""
    try:
        raise ValueError(f"/jobs/{JOB_ID}\x1b[2J")
    except ValueError:
        logging.getLogger("sanic.error").exception("failed")
    (line,) = lines(stream)
    last = str(line["exception"]).splitlines()[-1]
    assert last == r"    ValueError: /jobs/01234567…\x1b[2J"


def test_records_that_do_not_fit(stream, monkeypatch):
    """A record whose arguments do not fit its message is written as it is."""
    ours = [
        handler
        for handler in logging.root.handlers
        if type(handler).__module__ == configure.__module__
    ]
    monkeypatch.setattr(logging.root, "handlers", ours)
    logging.getLogger("sanic.root").warning("%d", "x")
    assert lines(stream)[0]["event"] == "%d"


def test_warnings_are_logged(stream):
    """Python's warnings are lines too."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
        logging.captureWarnings(False)
    assert lines(stream)[0]["logger"] == "py.warnings"


async def test_exceptions_of_tasks_never_awaited_are_logged(stream):
    """An exception in a task that is never awaited is a line."""
    asyncio.get_running_loop().call_exception_handler({"message": "task failed"})
    assert lines(stream)[0]["event"] == "task failed"


def test_every_event_of_the_log_is_explained() -> None:
    """An operator finds each name in the log's section of docs/operations.md."""
    sources = [path.read_text() for path in (ROOT / "sanic_dispatch").rglob("*.py")]
    logged = {name for source in sources for name in LOGGED.findall(source)}
    explained = (DOCS / "operations.md").read_text().partition("\n## The log\n")[2]
    assert len(logged) > 40
    assert {name for name in logged if f"`{name}`" not in explained} == set()

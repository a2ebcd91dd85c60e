"""The OpenAPI description of each route: parameters, bodies, answers and errors.

Summary and description of a route are its handler's docstring.
"""

from __future__ import annotations

from typing import Any

from sanic_dispatch.config.public_url import ORDER_PAGE
from sanic_dispatch.core.events import EventKind
from sanic_dispatch.core.job import DEFAULT_PRIORITY
from sanic_dispatch.history.questions import MAX_NUMBER
from sanic_dispatch.history.statistics import By
from sanic_dispatch.live.playback import SPEEDS
from sanic_dispatch.live.schema import an_object
from sanic_dispatch.web import auth
from sanic_dispatch.web.openapi.operation import (
    AN_OBJECT,
    CSV,
    JOB_ID_IN_PATH,
    NDJSON,
    NOT_MODIFIED,
    READING,
    TAKING,
    Answer,
    Body,
    Operation,
    Parameter,
    in_json,
)
from sanic_dispatch.web.openapi.schemas import (
    A_BACKUP,
    A_RECORDING,
    ABSOLUTE_URL,
    CALLBACK_URL,
    FRAME,
    HANDED_JOB,
    JOB,
    JOB_ID,
    LINE,
    LISTED_JOB,
    LISTED_WORKER,
    LOGGED,
    ORDER,
    ORDERS,
    PROGRESS,
    PROGRESS_MADE,
    STATE,
    STATISTICS_ROW,
    STEP,
    ref,
)
from sanic_dispatch.web.request_body import FORM
from sanic_dispatch.web.web_manifest import LANGUAGES, MEDIA_TYPE, web_manifest

# ---- jobs

_LIMITED = "where --orders-per-minute limits the orders of an address"
_ACCEPTED_HEADERS = {
    "Location": {"type": "string", "description": "jobs/<id>: the id is a secret"},
    "RateLimit-Policy": {"type": "string", "description": f"the limit, {_LIMITED}"},
    "RateLimit": {"type": "string", "description": f"how many are left now, {_LIMITED}"},
}
A_JOB = Answer("The job as it is now.", in_json(ref("job"), JOB))
SUBMIT = Operation(
    tag="jobs",
    role=auth.SUBMIT,
    parameters=(
        Parameter(
            "header",
            "Job-Priority",
            "0 is served first; only looked at where --priorities is on, and with the token of an "
            "operator or one for this",
            {"type": "string", "pattern": "^[0-7]$", "default": str(DEFAULT_PRIORITY)},
            "0",
        ),
        Parameter(
            "header",
            "Idempotency-Key",
            "a repeat with the same key and body returns the same job",
            {"type": "string", "pattern": r'^("[!#-\[\]-~]{1,200}"|[!#-+\--:<-\[\]-~]{1,200})$'},
            '"8e03978e-40d5-43e8-bc93-6894a57f9324"',
        ),
    ),
    body=Body({"description": "any JSON"}, ORDER),
    answers={
        200: Answer(
            "A worker has taken it.",
            in_json({"const": "Assigned"}, "Assigned"),
            _ACCEPTED_HEADERS,
        ),
        202: Answer(
            "It waits; position counts the jobs up to and including this one; "
            "0 in the answer to a repeat where it waits no longer and nobody got it.",
            in_json(ref("queued"), {"Queued": {"position": 3}}),
            _ACCEPTED_HEADERS,
        ),
    },
    errors=(
        *("Unauthorized", "TooManyOrders", "UnsupportedMediaType", "InvalidJson"),
        *("InvalidPriority", "InvalidIdempotencyKey", "StillUnderWay", "IdempotencyMismatch"),
        "QueueFull",
        *TAKING,
    ),
)
LOOK_UP = Operation(
    tag="jobs",
    parameters=(JOB_ID_IN_PATH,),
    answers={200: A_JOB},
    errors=("UnknownJob", *READING),
)
CANCEL = Operation(
    tag="jobs",
    parameters=(JOB_ID_IN_PATH,),
    answers={
        202: Answer(
            "A worker has it, and is asked to stop; it stays assigned until the worker reports.",
            in_json(an_object({"Cancelling": {"const": True}}), {"Cancelling": True}),
        ),
        204: Answer("It is cancelled."),
    },
    errors=("UnknownJob", "WrongState", *TAKING),
)

# ---- workers

_ANY = {"type": "string", "minLength": 1}
_HEADERS = (
    Parameter(
        "header",
        "CPEE-CALLBACK",
        "the callback on which it waits: an absolute http or https URL; needed unless it polls",
        ABSOLUTE_URL,
        CALLBACK_URL,
    ),
    Parameter("header", "CPEE-INSTANCE-UUID", "its process instance", _ANY, "9b3f6c1e"),
    Parameter("header", "CPEE-ACTIVITY", "which of its activities", _ANY, "a1"),
    Parameter(
        "header",
        "CPEE-INSTANCE-URL",
        "the URL at which the engine tells the instance's state",
        _ANY,
        "http://engine.example:8298/4/",
    ),
    Parameter("header", "CPEE-ATTR-INFO", "its name on the monitor", _ANY, "Robot 1"),
    Parameter(
        "header",
        "CPEE-LABEL",
        "its name on the monitor if there is no other",
        _ANY,
        "Register worker",
    ),
)
_LOST = Parameter(
    "query",
    "lost",
    "the last answer never arrived: return the same job again",
    {"type": "string"},
    "",
)
_VALUES = {"type": "string", "maxLength": 100}
_RULE = (
    Parameter(
        "query",
        "match.drink",
        "take only jobs whose member drink is one of these, with bars between; any other member "
        "likewise, and dots lead into objects",
        _VALUES,
        "mojito|gin-tonic",
    ),
    Parameter("query", "not.size", "take no jobs whose member size is one of these", _VALUES, "xl"),
)
_WORKER_ID = Parameter(
    "header",
    "Worker-Id",
    "the name of a worker without a callback, which polls; not looked at if there is a callback",
    {"type": "string", "pattern": "^[!-~]{1,100}$"},
    "tablet-1",
)
_WAIT = Parameter(
    "query",
    "wait",
    "with Worker-Id: how many seconds to wait for a job",
    {"type": "number", "minimum": 0, "maximum": 60},
    30,
)
_TTL = Parameter(
    "query",
    "ttl",
    "with a callback: after how many seconds without a job the registration ends; the callback is "
    "told so",
    {"type": "number", "minimum": 1, "maximum": 604800},
    3600,
)
REGISTER = Operation(
    tag="workers",
    role=auth.WORKER,
    parameters=(*_HEADERS, _WORKER_ID, _LOST, _WAIT, _TTL, *_RULE),
    body=Body(
        {
            "type": "object",
            "properties": {each.name: each.schema for each in _RULE},
            "description": "the same arguments",
        },
        {each.name: each.example for each in _RULE},
        required=False,
        media_type=FORM,
    ),
    answers={
        200: Answer(
            "The first job in line that it takes.",
            in_json(ref("handed_job"), HANDED_JOB),
            {"Job-Receipt": {"type": "string", "description": "proves later who got the job"}},
        ),
        202: Answer(
            "It waits, and gets its job later by PUT to the callback. The body is empty if the "
            "registration names its process instance (CPEE-INSTANCE-UUID): the engine would take a "
            "body for the result.",
            {
                **in_json({"const": "Queued"}, "Queued"),
                "text/plain": ({"type": "string", "maxLength": 0}, ""),
            },
            {"CPEE-CALLBACK": {"const": "true"}},
        ),
        204: Answer("The wait of a poll is over, and there is no job: poll again within 10 s."),
    },
    errors=(
        *("Unauthorized", "Missing", "NotAString", "NotAUrl", "NotAllowed", "InvalidMatch"),
        *("InvalidRequest", "QueueFull", "TooManyRules", "TooManyClients"),
        *TAKING,
    ),
)
WITHDRAW = Operation(
    tag="workers",
    role=auth.WORKER,
    parameters=(_HEADERS[0], _WORKER_ID),
    answers={204: Answer("It is out of the line.")},
    errors=(
        *("Unauthorized", "Missing", "NotAString", "NotAUrl", "InvalidRequest"),
        *("UnknownWorker", "WrongState"),
        *TAKING,
    ),
)
WORK = Operation(
    tag="workers",
    role=auth.WORKER,
    parameters=(
        Parameter(
            "query",
            "session",
            "take up what the worker of this session has: session of an earlier welcome",
            _ANY,
            "Jq5cZ1m2S8y0aX3vT9bK4w",
        ),
    ),
    answers={101: Answer("A websocket for the messages of a worker: see /asyncapi.json.")},
    errors=("UpgradeRequired",),
)

# ---- reports of workers

_PROOFS = (
    Parameter(
        "header", "CPEE-CALLBACK", "the callback on which it got the job", _ANY, CALLBACK_URL
    ),
    Parameter(
        "header",
        "CPEE-INSTANCE-UUID",
        "its process instance; proof enough if that holds one job only",
        _ANY,
        "9b3f6c1e",
    ),
    Parameter(
        "header",
        "CPEE-ACTIVITY",
        "its activity; with CPEE-INSTANCE-UUID it is the worker's key",
        _ANY,
        "a1",
    ),
    Parameter(
        "header", "Job-Receipt", "the header that came with the job", _ANY, "0f1e2d3c4b5a6978"
    ),
)
_OF_A_HOLDER: dict[str, Any] = {
    "tag": "workers",
    "role": auth.WORKER,
    "parameters": (JOB_ID_IN_PATH, *_PROOFS),
    "answers": {200: A_JOB},
}
_RESULT_FORM = {
    "type": "object",
    "properties": {"result": {"type": "string", "description": "the result as JSON text"}},
}
_FLAG_FORM = {"type": "string", "enum": ["true", "false"]}
_FAILURE_FORM = {
    "type": "object",
    "properties": {"reason": LINE, "retry": _FLAG_FORM, "cancelled": _FLAG_FORM},
}
_PROGRESS_FORM = {
    "type": "object",
    "properties": {
        "percent": {"type": "string", "pattern": "^([0-9]|[1-9][0-9]|100)$"},
        "text": LINE,
    },
    "anyOf": PROGRESS["anyOf"],
}
_REPORT_ERRORS = ("Unauthorized", "UnknownJob", "NotTheHolder", "WrongState", *TAKING)
COMPLETE = Operation(
    **_OF_A_HOLDER,
    body=Body(
        {"description": "the result: any JSON"},
        {"glasses": 1},
        required=False,
        others={FORM: (_RESULT_FORM, {"result": '{"glasses": 1}'})},
    ),
    errors=(*_REPORT_ERRORS, *AN_OBJECT),
)
FAIL = Operation(
    **_OF_A_HOLDER,
    body=Body(
        ref("failure"),
        {"reason": "no ice", "retry": True},
        required=False,
        others={FORM: (_FAILURE_FORM, {"reason": "no ice", "retry": "true"})},
    ),
    errors=(*_REPORT_ERRORS, *AN_OBJECT),
)
EXTEND = Operation(
    **_OF_A_HOLDER
    | {
        "answers": {
            200: Answer(
                "The job as it is now, whether to stop, and how long the worker may be silent.",
                in_json(ref("extended_job"), {**JOB, **ORDERS}),
            )
        }
    },
    errors=_REPORT_ERRORS,
)
REPORT_PROGRESS = Operation(
    **_OF_A_HOLDER
    | {
        "answers": {
            200: Answer(
                "Whether to stop, and how long the worker may be silent.",
                in_json(ref("orders"), ORDERS),
            )
        }
    },
    body=Body(
        ref("progress"),
        PROGRESS_MADE,
        others={FORM: (_PROGRESS_FORM, {"percent": "40", "text": "adding gin"})},
    ),
    errors=(*_REPORT_ERRORS, *AN_OBJECT),
)
CANCELLING = Operation(
    **_OF_A_HOLDER
    | {
        "answers": {
            200: Answer(
                "Whether the worker is to stop.",
                in_json(an_object({"cancel": {"type": "boolean"}}), {"cancel": False}),
            )
        }
    },
    errors=_REPORT_ERRORS,
)

# ---- lists for operators

PAGE, LARGEST_PAGE = 100, 1000
"""How many jobs a list has, by default and at most."""

AFTER = {"type": "integer", "minimum": 0, "maximum": MAX_NUMBER, "default": 0}
LIMIT = {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": PAGE}
"""The number behind which a page begins, and how long it may be."""

_NUMBER = {"type": "integer", "minimum": 1, "maximum": MAX_NUMBER}
OF_AN_OPERATOR: dict[str, Any] = {"tag": "operator", "role": auth.OPERATOR}
LIST_JOBS = Operation(
    **OF_AN_OPERATOR,
    parameters=(
        Parameter("query", "state", "only jobs in this state", STATE, "failed"),
        Parameter("query", "after", "only jobs with a higher ticket than this", AFTER, 41),
        Parameter("query", "limit", "the most jobs to return", LIMIT, 100),
    ),
    answers={
        200: Answer(
            "Jobs by ticket; next is the value of after for the next page, or null.",
            in_json(ref("jobs"), {"jobs": [LISTED_JOB], "next": None}),
        )
    },
    errors=("Unauthorized", "InvalidRequest", *READING),
)
HISTORY = Operation(
    **OF_AN_OPERATOR,
    parameters=(
        Parameter(
            "path", "ticket", "the job's number", {"type": "integer", "minimum": 0}, 42, True
        ),
    ),
    answers={
        200: Answer(
            "The job as it is now, or null if it is no longer kept; and its events, as in the log, "
            "as far back as events are kept.",
            in_json(ref("history"), {"job": LISTED_JOB, "events": [STEP]}),
        )
    },
    errors=("Unauthorized", "UnknownJob", "NotFound", *READING),
)
LIST_WORKERS = Operation(
    **OF_AN_OPERATOR,
    answers={
        200: Answer("The oldest first.", in_json(ref("workers"), {"workers": [LISTED_WORKER]}))
    },
    errors=("Unauthorized", *READING),
)

# ---- what happened

_SPAN = (
    Parameter(
        "query", "from", "only what happened then or later: a time with its zone, ISO 8601",
        {"type": "string", "format": "date-time"}, "2024-11-24T01:00:00Z",
    ),
    Parameter(
        "query", "to", "only what happened before then",
        {"type": "string", "format": "date-time"}, "2024-11-24T02:00:00Z",
    ),
)  # fmt: skip
_PAGE_OF_EVENTS = (
    Parameter("query", "after", "only those behind this number", AFTER, 41),
    Parameter("query", "limit", "at most so many", LIMIT, 100),
)
_GAPS = {"History-Incomplete": {"type": "string", "description": "what may be missing"}}
_NEXT_PAGE = {"Link": {"type": "string", "description": "the next page, if there is one"}}
EVENTS = Operation(
    **OF_AN_OPERATOR,
    parameters=(
        Parameter("query", "ticket", "only those of the job with this number", _NUMBER, 42),
        Parameter(
            "query", "worker", "only those of this worker: its callback or its label",
            {"type": "string", "minLength": 1}, "Robot 1",
        ),
        Parameter(
            "query", "kind", "only events of this name",
            {"type": "string", "enum": [kind.value for kind in EventKind]}, "job.done",
        ),
        *_SPAN,
        Parameter(
            "query", "text", "only those with this in their reason or in the worker's label, in "
            "upper or lower case",
            {"type": "string", "minLength": 1}, "out of ice",
        ),
        *_PAGE_OF_EVENTS,
    ),
    answers={
        200: Answer(
            "The oldest events that match; next is what to give as after for the following ones, "
            "or null. damage and holes are there if something may be missing.",
            {
                **in_json(ref("events"), {"events": [LOGGED], "next": None}),
                CSV: ({"type": "string"}, None),
                NDJSON: ({"type": "string"}, None),
            },
            {**_NEXT_PAGE, **_GAPS},
        )
    },
    errors=("Unauthorized", "InvalidRequest", *READING),
)  # fmt: skip
RECORDING = Operation(
    **OF_AN_OPERATOR,
    parameters=(*_SPAN, *_PAGE_OF_EVENTS),
    answers={
        200: Answer(
            "The oldest events that match, and the data of orders by the number of the event that "
            "brought it; next is what to give as after for the following ones, or null.",
            in_json(ref("recording"), A_RECORDING),
        )
    },
    errors=("Unauthorized", "InvalidRequest", *READING),
)  # fmt: skip
STATISTICS = Operation(
    **OF_AN_OPERATOR,
    parameters=(
        *_SPAN,
        Parameter(
            "query", "by", "what the rows are for",
            {"type": "string", "enum": [by.value for by in By], "default": By.HOUR.value}, "robot",
        ),
    ),
    answers={
        200: Answer(
            "Hours in order, drinks and robots by name.",
            in_json(ref("statistics"), {"rows": [STATISTICS_ROW]}),
        )
    },
    errors=("Unauthorized", "InvalidRequest", *READING),
)  # fmt: skip

BACK_UP = Operation(
    **OF_AN_OPERATOR,
    body=Body(
        {
            "type": "object",
            "required": ["folder"],
            "properties": {
                "folder": {
                    "type": "string",
                    "description": "the absolute path of a new or empty folder, whose parent "
                    "exists, and not in the data folder",
                }
            },
            "additionalProperties": False,
        },
        {"folder": "/var/backups/bar-1"},
    ),
    answers={200: Answer("What the backup has.", in_json(ref("backup"), A_BACKUP))},
    errors=("Unauthorized", *AN_OBJECT, "BackupUnderWay", *TAKING),
)

# ---- the live channel

_VIEW = (
    Parameter(
        "query", "view", "the view; the monitor needs the operator's token",
        {"type": "string", "enum": ["board", "monitor"], "default": "board"}, "board",
    ),
    Parameter(
        "query", "order", "one order instead, by its job's secret id",
        {"type": "string", "minLength": 1}, JOB_ID,
    ),
    Parameter(
        "query", "since", "resume from this version: at of the last frame",
        {"type": "string", "pattern": "^[0-9a-z]{1,32}:[0-9]{1,15}$"}, "a1b2c3d4:41",
    ),
    Parameter(
        "query", "moment", "the monitor as it was then, as far as the history goes back",
        {"type": "string", "format": "date-time"}, "2024-11-24T01:39:00Z",
    ),
    Parameter(
        "query", "speed", "how much faster the past goes on from there, in a stream of frames",
        {"type": "integer", "enum": list(SPEEDS), "default": SPEEDS[0]}, 10,
    ),
)  # fmt: skip
_FRAME = {"anyOf": [ref("board_frame"), ref("order_frame"), ref("monitor_frame")]}
FOLLOW = Operation(
    tag="live",
    parameters=_VIEW,
    answers={101: Answer("A websocket that sends frames: see /asyncapi.json.")},
    errors=("UpgradeRequired",),
)
VIEW_STATE = Operation(
    tag="live",
    parameters=_VIEW,
    answers={
        200: Answer(
            "A frame, or a stream of frames.",
            {
                **in_json(_FRAME, FRAME),
                "text/event-stream": ({"type": "string"}, 'id: a1b2c3d4:41\ndata: {"at":…}\n\n'),
            },
        )
    },
    errors=(
        *("Unauthorized", "UnknownJob", "InvalidRequest"),
        *("TooManyClients", "OutOfReach", "ShuttingDown", *READING),
    ),
)
ASYNCAPI = Operation(
    tag="live",
    answers={200: Answer("AsyncAPI 3.0.", in_json({"type": "object"}, None))},
)

# ---- pages

HOME = Operation(
    tag="pages",
    answers={
        302: Answer(
            "To the order page.",
            headers={"Location": {"const": ORDER_PAGE, "description": "relative"}},
        )
    },
)
CONFIG = Operation(
    tag="pages",
    answers={
        200: Answer(
            "The port, and what the pages have to know.",
            in_json(
                {
                    "type": "object",
                    "required": ["server_port"],
                    "properties": {
                        "server_port": {"type": "integer"},
                        "title": {"type": "string", "description": "if the bar has one"},
                        "submit_token": {"type": "boolean", "description": "if an order needs it"},
                    },
                },
                {"server_port": 2567},
            ),
        )
    },
)
MANIFEST = Operation(
    tag="pages",
    parameters=(
        Parameter(
            "query", "lang", "the language of the name of a bar without a title; else English",
            {"type": "string"}, "de",
        ),
        Parameter(
            "query", "start", "`here`: the app starts with the address at which it is installed",
            {"type": "string"}, "here",
        ),
    ),
    answers={
        200: Answer(
            "A web app manifest.",
            {
                MEDIA_TYPE: (
                    {
                        "type": "object",
                        "required": ["name", "lang", "scope", "display", "icons"],
                        "properties": {
                            "name": {"type": "string"},
                            "lang": {"enum": [*LANGUAGES]},
                            "start_url": {"type": "string", "description": "relative"},
                            "scope": {"type": "string", "description": "relative"},
                            "icons": {"type": "array", "items": {"type": "object"}},
                        },
                    },
                    web_manifest("The roof", "en"),
                )
            },
        )
    },
)  # fmt: skip
PUBLIC_FILE = Operation(
    tag="pages",
    parameters=(
        Parameter(
            "path", "path", "a file", {"type": "string", "minLength": 1}, "order_drink.html", True
        ),
    ),
    answers={200: Answer("The file.", {"*/*": ({}, None)}), 304: NOT_MODIFIED},
    errors=("NotFound",),
)

# ---- the menu

MENU = Operation(
    tag="pages",
    answers={
        200: Answer(
            "The drinks, with an ETag.",
            in_json(ref("menu"), {"drinks": [{"id": "mojito", "name": "Mojito"}]}),
        ),
        304: NOT_MODIFIED,
    },
)

# ---- topics

TOPICS = Operation(
    tag="service",
    answers={
        200: Answer(
            "The topics.",
            in_json(
                ref("topics"),
                {
                    "topics": [
                        {"name": "", "title": "", "orders": "open"},
                        {"name": "roof", "title": "The roof", "orders": "paused"},
                    ]
                },
            ),
        )
    },
)

OPENED_TOPICS = Operation(
    **OF_AN_OPERATOR,
    answers={
        200: Answer(
            "The topics, each with its URL, relative to that of this request.",
            in_json(
                ref("opened_topics"),
                {
                    "topics": [
                        {"name": "", "title": "", "url": "../"},
                        {"name": "roof", "title": "The roof", "url": "../topics/roof/"},
                    ]
                },
            ),
        )
    },
    errors=("Unauthorized",),
)

# ---- the QR code

QR_CODE = Operation(
    tag="pages",
    parameters=(
        Parameter(
            "query", "url", "a URL of this host; not needed with --public-url",
            {"type": "string", "format": "uri"}, "http://localhost:2567/public/order_drink.html",
        ),
    ),
    answers={
        200: Answer("The QR code as SVG.", {"image/svg+xml": ({"type": "string"}, None)}),
        304: NOT_MODIFIED,
    },
    errors=("InvalidRequest",),
)  # fmt: skip

# ---- health and metrics

_STATUS = {
    "type": "object",
    "required": ["status"],
    "properties": {
        "status": {"type": "string"},
        "owner": {
            "type": "string",
            "description": "In the mode Redis: the name of the process that owns the topic, or "
            "nothing while none does.",
        },
    },
    "additionalProperties": False,
}
HEALTH = Operation(
    tag="service",
    answers={200: Answer("It is alive.", in_json(_STATUS, {"status": "ok"}))},
)
READY = Operation(
    tag="service",
    answers={200: Answer("It is ready.", in_json(_STATUS, {"status": "ready"}))},
    errors=("NotReady",),
)
METRICS = Operation(
    tag="service",
    answers={
        200: Answer(
            "Prometheus' text format, or OpenMetrics if the client accepts it.",
            {
                "text/plain": ({"type": "string"}, "dispatch_paused 0.0\n"),
                "application/openmetrics-text": ({"type": "string"}, "dispatch_paused 0.0\n"),
            },
        )
    },
)

LINK = Operation(
    tag="service",
    answers={101: Answer("A websocket between two processes of a cluster.")},
    errors=("NotFound", "UpgradeRequired"),
)

# ---- this description

OPENAPI = Operation(
    tag="service",
    answers={
        200: Answer("OpenAPI 3.1.", in_json({"type": "object"}, None)),
        304: NOT_MODIFIED,
    },
)
DOCS = Operation(
    tag="service",
    answers={
        200: Answer("A page.", {"text/html": ({"type": "string"}, None)}),
        304: NOT_MODIFIED,
    },
)

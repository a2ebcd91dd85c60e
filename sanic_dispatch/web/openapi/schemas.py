"""The objects of the HTTP interface as JSON Schema, with an example of each."""

from __future__ import annotations

from sanic_dispatch.core.events import EventKind
from sanic_dispatch.core.job import DEFAULT_PRIORITY, Stage, State
from sanic_dispatch.core.push_subscriptions import PushKind
from sanic_dispatch.core.worker import Cause
from sanic_dispatch.live import schema as live
from sanic_dispatch.live.schema import Schema, an_object
from sanic_dispatch.outbox.endpoint_queue import EndpointState


def ref(name: str) -> Schema:
    """Return a reference to a schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


ID: Schema = {"type": "string", "description": "the secret id: 32 hex digits"}
TICKET: Schema = {"type": "integer", "minimum": 1, "description": "the number that people see"}
TIME: Schema = {"type": "string", "format": "date-time"}
STATE: Schema = {"type": "string", "enum": [state.value for state in State]}
WINDOW: Schema = {
    "type": "array",
    "items": {"type": "number"},
    "minItems": 2,
    "maxItems": 2,
    "description": "the range in which it will be ready, Unix seconds",
}
CALLBACK: Schema = {"type": "string", "description": "the callback of a worker"}
ABSOLUTE_URL: Schema = {
    "type": "string",
    "pattern": r"^https?://[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63}){0,3}(:[1-9][0-9]{0,3})?(/[!-~]*)?$",
}
LINE: Schema = {"type": "string", "maxLength": 200, "description": "one printable line"}
PERCENT: Schema = {"type": "number", "minimum": 0, "maximum": 100}
COUNT: Schema = {"type": "integer", "minimum": 0}
PRIORITY: Schema = live.PRIORITY | {"description": "0 is served first"}
RULE: Schema = {
    "type": "string",
    "description": "which jobs it takes: the arguments of its registration in one normal form; "
    "not there if it takes any",
}
GAPS: dict[str, Schema] = {
    "damage": {"type": "array", "minItems": 1, "items": ref("damage")},
    "holes": {"type": "array", "minItems": 1, "items": ref("hole")},
}
"""Members of answers that may be incomplete: left out where nothing can be missing."""

_KIND: Schema = {"enum": [kind.value for kind in EventKind]}
_SHORT_ID: Schema = {"type": "string", "description": "the first 8 digits of its secret id"}
_LABEL: Schema = {"type": "string", "description": "its label"}
_SECONDS: Schema = {"type": "number", "minimum": 0}
_SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
_PERCENTILES = an_object(dict.fromkeys(("p50", "p90", "p99"), _or_null(_SECONDS)))
_OF_AN_EVENT: dict[str, Schema] = {
    "attempt": {"type": "integer", "minimum": 1},
    "waiting_s": _SECONDS,
    "service_s": _SECONDS,
    "callback": {"type": "string", "description": "without query, long ids cut"},
    "request": {"type": "string", "description": "the X-Request-ID of the request that caused it"},
    "percent": {
        "type": "number",
        "minimum": 0,
        "maximum": 100,
        "description": "how far its holder is, by its own words",
    },
}
_TOPIC: dict[str, Schema] = {
    "name": {"type": "string", "description": "empty: the unnamed one"},
    "title": {"type": "string"},
}
TEXT: Schema = {
    "anyOf": [{"type": "string"}, {"type": "object", "additionalProperties": {"type": "string"}}],
    "description": "a text, or one for each language",
}

PROGRESS: Schema = an_object({}, {"percent": PERCENT, "text": LINE}) | {
    "anyOf": [{"required": ["percent"]}, {"required": ["text"]}],
    "description": "how far its worker is, by its own words",
}
_JOB: dict[str, Schema] = {
    "id": ID,
    "ticket": TICKET,
    "state": STATE,
    "position": _or_null({"type": "integer", "minimum": 1}),
    "submitted_at": TIME,
    "eta": _or_null(WINDOW),
    "priority": PRIORITY,
}
_OF_SOME_JOBS: dict[str, Schema] = {
    "why": live.WHY,
    "progress": PROGRESS,
    "cancelling": {"const": True, "description": "its worker is asked to stop"},
    "reason": {"type": "string", "description": "why it failed, or was cancelled"},
    "result": {"description": "the worker's result: any JSON"},
    "forgotten": live.FORGOTTEN,
}
_ORDERS: dict[str, Schema] = {
    "cancel": {"type": "boolean", "description": "whether the worker is to stop"},
    "lease_s": _or_null({"type": "number"})
    | {"description": "how many seconds it may be silent; null: any number"},
}

OWN: dict[str, Schema] = {
    "problem": {
        "type": "object",
        "required": ["type", "title", "status", "detail", "Error"],
        "properties": {
            "type": {"const": "about:blank"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "Error": {"type": "string", "description": "a stable code for programs"},
            "state": STATE,
            "eta": _or_null(WINDOW),
            "where": {"type": "string", "description": "which argument"},
            "why": {"type": "string", "description": "what is wrong with it"},
            "job": an_object({"id": ID}, {"ticket": TICKET})
            | {"description": "the job that a worker has, or has lost"},
        },
        "additionalProperties": False,
        "description": "RFC 9457",
    },
    "queued": an_object({"Queued": an_object({"position": COUNT})}),
    "handed_job": an_object(
        {
            "Job": an_object(
                {"id": ID, "data": {"description": "any JSON, as submitted"}, "submitted_at": TIME}
            )
        }
    ),
    "job": an_object(_JOB, _OF_SOME_JOBS),
    "extended_job": an_object({**_JOB, **_ORDERS}, _OF_SOME_JOBS),
    "orders": an_object(_ORDERS),
    "progress": {**PROGRESS, "additionalProperties": True},
    "listed_job": an_object(
        {
            "id": ID,
            "ticket": TICKET,
            "state": STATE,
            "stage": _or_null({"enum": [stage.value for stage in Stage]}),
            "submitted_at": TIME,
            "attempt": {"type": "integer", "minimum": 0},
            "priority": PRIORITY,
            "reason": {"type": "string"},
            "worker": _or_null(CALLBACK),
        },
        {"forgotten": live.FORGOTTEN, "why": live.WHY},
    ),
    "listed_worker": an_object(
        {
            "callback": CALLBACK,
            "label": {"type": "string"},
            "registered_at": TIME,
            "aside": _or_null(
                an_object(
                    {
                        "cause": {"enum": [cause.value for cause in Cause]},
                        "reason": {"type": "string"},
                    }
                )
            ),
        },
        {"rule": RULE},
    ),
    "jobs": an_object(
        {"jobs": {"type": "array", "items": ref("listed_job")}, "next": _or_null(TICKET)}
    ),
    "history": an_object(
        {
            "job": _or_null(ref("listed_job")),
            "events": {"type": "array", "items": ref("step")},
        },
        GAPS,
    ),
    "step": an_object(
        {"timestamp": TIME, "event": _KIND, "ticket": TICKET, "job": _SHORT_ID},
        {"worker": _LABEL, "reason": {"type": "string"}, **_OF_AN_EVENT},
    ),
    "events": an_object(
        {
            "events": {"type": "array", "items": ref("event")},
            "next": _or_null({"type": "integer", "minimum": 1}),
        },
        GAPS,
    ),
    "recording": an_object(
        {
            "events": {
                "type": "array",
                "items": {"type": "array"},
                "description": "as in the event log, in the order of its fields; at least number, "
                "time in Unix seconds, and event",
            },
            "data": {
                "type": "object",
                "additionalProperties": {"type": "string"},
                "description": "the JSON of orders, by the number of the event that brought it",
            },
            "next": _or_null({"type": "integer", "minimum": 1}),
        },
        GAPS,
    ),
    "event": an_object(
        {
            "n": {"type": "integer", "minimum": 1, "description": "its number"},
            "at": TIME,
            "event": _KIND,
            "ticket": _or_null(TICKET),
            "worker": _or_null(_LABEL),
            "reason": {"type": "string"},
        },
        {"job": _SHORT_ID, **_OF_AN_EVENT},
    ),
    "damage": an_object(
        {
            "file": {"type": "string"},
            "byte": {"type": "integer", "minimum": 0},
            "why": {"type": "string"},
        }
    )
    | {"description": "where a file cannot be read"},
    "hole": an_object(
        {
            "first": {"type": "integer", "minimum": 1},
            "last": {"type": "integer", "minimum": 1},
            "from": TIME,
            "to": TIME,
        }
    )
    | {"description": "numbers of events that are missing"},
    "statistics": an_object({"rows": {"type": "array", "items": ref("statistics_row")}}, GAPS),
    "statistics_row": an_object(
        {
            **dict.fromkeys(("submitted", "done", "failed", "cancelled"), COUNT),
            "wait_s": _PERCENTILES | {"description": "from the submission until a robot had it"},
            "service_s": _PERCENTILES | {"description": "from then until it was done"},
            "kept": _or_null(_SHARE) | {"description": "promises that came true"},
            "refused": COUNT | {"description": "hand-overs that robots did not take"},
            "doubted": COUNT | {"description": "hand-overs whose outcome was unknown for a time"},
            "utilisation": _or_null(_SHARE)
            | {"description": "of the time in which robots were there, that with an order"},
        },
        {
            "hour": TIME,
            "drink": _or_null({"type": "string"}),
            "robot": {"type": "string", "description": "its label"},
        },
    )
    | {"description": "has one of hour, drink and robot"},
    "backup": an_object(
        {
            "folder": {"type": "string"},
            "jobs": COUNT | {"description": "with those that are finished and still kept"},
            "workers": COUNT,
            "events": COUNT,
            "bytes": COUNT,
        }
    ),
    "webhooks": an_object({"webhooks": {"type": "array", "items": ref("webhook")}}),
    "webhook": an_object(
        {
            "id": {"type": "string"},
            "url": {"type": "string", "description": "without query, long ids cut"},
            "events": {"type": "array", "items": {"type": "string"}},
            "payload": {"type": "boolean"},
            "configured": {"type": "boolean", "description": "it is in the settings file"},
            "state": {"enum": [state.value for state in EndpointState]},
            "reason": {"type": "string", "description": "why the last message failed"},
            "failing_since": _or_null(TIME),
            "retry_in_s": _or_null(_SECONDS),
            "pending": COUNT | {"description": "in memory; there may be more after those"},
            "oldest": _or_null(TIME) | {"description": "when the first pending event was"},
            "told_to": COUNT | {"description": "it was told every event up to this number"},
            "last": COUNT | {"description": "the number of the last event"},
        }
    ),
    "webhook_secret": an_object({"id": {"type": "string"}, "secret": {"type": "string"}}),
    "webhook_trial": an_object(
        {
            "id": {"type": "string"},
            "delivered": {"type": "boolean"},
            "reason": {"type": "string"},
        }
    ),
    "webhook_events": an_object(
        {
            "events": {
                "type": "array",
                "items": an_object(
                    {
                        "id": {"type": "string", "description": "the webhook-id of its message"},
                        "type": _KIND,
                        "timestamp": TIME,
                        "data": ref("event"),
                    }
                ),
            },
            "next": _or_null({"type": "integer", "minimum": 1}),
        }
    ),
    "push": an_object(
        {
            "subscriptions": COUNT | {"description": "of orders that are not over, on all phones"},
            "pending": {
                "type": "array",
                "items": an_object(
                    {
                        "id": {"type": "string"},
                        "ticket": COUNT,
                        "service": {"type": "string", "description": "the push service's origin"},
                        "kind": {"enum": [kind.value for kind in PushKind]},
                        "told": {"type": "array", "items": {"type": "string"}},
                        "attempts": COUNT | {"description": "how often in a row it has failed"},
                        "reason": {"type": "string", "description": "why it has failed"},
                        "retry_in_s": _or_null(_SECONDS),
                    }
                ),
            },
        }
    ),
    "workers": an_object({"workers": {"type": "array", "items": ref("listed_worker")}}),
    "reason": an_object({}, {"reason": LINE}),
    "callback": an_object({"callback": CALLBACK}, {"reason": LINE}),
    "priority": an_object({"priority": PRIORITY}, {"reason": LINE}),
    "failure": an_object(
        {}, {"reason": LINE, "retry": {"type": "boolean"}, "cancelled": {"type": "boolean"}}
    )
    | {"additionalProperties": True},
    "menu": an_object(
        {
            "drinks": {
                "type": "array",
                "items": an_object(
                    {"id": {"type": "string"}, "name": TEXT},
                    {
                        "description": TEXT,
                        "image": {"type": "string"},
                        "available": {"const": False, "description": "no robot here makes it"},
                    },
                ),
            }
        }
    ),
    "topics": an_object(
        {
            "topics": {
                "type": "array",
                "items": an_object(_TOPIC | {"orders": {"enum": ["open", "paused"]}}),
            }
        }
    ),
    "opened_topics": an_object(
        {
            "topics": {
                "type": "array",
                "items": an_object(
                    _TOPIC
                    | {
                        "url": {
                            "type": "string",
                            "description": "what its paths are below, relative to this request's",
                        }
                    }
                ),
            }
        }
    ),
}

SCHEMAS = {**OWN, **live.schemas()}
"""The schemas of the HTTP interface and of the live channel."""

JOB_ID = "2f6c1d0e9b8a7f6e5d4c3b2a19080706"
CALLBACK_URL = "http://engine.example:8298/4/callbacks/5480964890e4a865b1cee2b2fe93f45a/"
ORDER = {"drink": "mojito", "name": "Ada", "logo": "lion"}
SUBMITTED_AT = "2024-11-24T01:39:00.123456Z"
JOB = {
    "id": JOB_ID,
    "ticket": 42,
    "state": "waiting",
    "position": 3,
    "submitted_at": SUBMITTED_AT,
    "eta": [1732412520.0, 1732412700.0],
    "priority": DEFAULT_PRIORITY,
    "why": {"reason": "behind", "ahead": 2},
}
ORDERS = {"cancel": False, "lease_s": 60.0}
PROGRESS_MADE = {"percent": 40, "text": "adding gin"}
HANDED_JOB = {"Job": {"id": JOB_ID, "data": ORDER, "submitted_at": SUBMITTED_AT}}
LISTED_JOB = {
    "id": JOB_ID,
    "ticket": 42,
    "state": "assigned",
    "stage": "confirmed",
    "submitted_at": SUBMITTED_AT,
    "attempt": 1,
    "priority": DEFAULT_PRIORITY,
    "reason": "",
    "worker": CALLBACK_URL,
}
STEP = {
    "timestamp": "2024-11-24T01:39:01.500000Z",
    "event": "job.confirmed",
    "ticket": 42,
    "job": "2f6c1d0e",
    "attempt": 1,
    "worker": "Register worker",
    "callback": "http://engine.example:8298/4/callbacks/54809648…/",
    "request": "0f1e2d3c4b5a6978",
}
LOGGED = {
    "n": 141,
    "at": "2024-11-24T01:39:01.500000Z",
    "event": "job.confirmed",
    "ticket": 42,
    "job": "2f6c1d0e",
    "attempt": 1,
    "worker": "Register worker",
    "callback": "http://engine.example:8298/4/callbacks/54809648…/",
    "reason": "",
    "request": "0f1e2d3c4b5a6978",
}
A_RECORDING = {
    "events": [
        [140, 1732412340.123, "job.submitted", 42, "", "", "", "", "", 0, None, None],
        [141, 1732412341.5, "job.assigned", 42, "", "Robot 1", "http://engine.example:8298/7f1c"],
    ],
    "data": {"140": '{"drink":"mojito","name":"Ada"}'},
    "next": 141,
}
A_BACKUP = {
    "folder": "/var/backups/bar-1",
    "jobs": 240,
    "workers": 3,
    "events": 24117,
    "bytes": 913408,
}
STATISTICS_ROW = {
    "robot": "Robot 1",
    "submitted": 31,
    "done": 30,
    "failed": 1,
    "cancelled": 0,
    "wait_s": {"p50": 41.5, "p90": 73.0, "p99": 95.2},
    "service_s": {"p50": 30.1, "p90": 44.0, "p99": 52.8},
    "kept": 0.867,
    "refused": 2,
    "doubted": 0,
    "utilisation": 0.81,
}
WEBHOOK_ID = "b7d1f3a5c9e20846"
WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="  # noqa: S105 - an example
A_WEBHOOK = {
    "id": WEBHOOK_ID,
    "url": "https://till.example/hook",
    "events": ["job.*"],
    "payload": True,
    "configured": False,
    "state": "retrying",
    "reason": "status 500",
    "failing_since": "2024-11-24T01:39:02.000000Z",
    "retry_in_s": 3.2,
    "pending": 3,
    "oldest": "2024-11-24T01:39:01.500000Z",
    "told_to": 140,
    "last": 146,
}
A_WEBHOOK_MESSAGE = {
    "id": "msg_5f2b8c1d9e3a47606b1c2d3e4f5a6b7c",
    "type": "job.confirmed",
    "timestamp": "2024-11-24T01:39:01.500000Z",
    "data": LOGGED,
}
PUSH_KEY = "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8"
A_SUBSCRIPTION = {
    "endpoint": "https://push.example/send/f7A0dQ",
    "keys": {
        "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcx"
        "aOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
        "auth": "BTBZMqHH6r4Tts7J_aSIgg",
    },
    "lang": "de",
}
"""The keys are those of the example in RFC 8291."""
A_PUSH_ID = "2f6c0d9be1a47358"
A_PUSH = {
    "subscriptions": 120,
    "pending": [
        {
            "id": A_PUSH_ID,
            "ticket": 42,
            "service": "https://push.example",
            "kind": "ready",
            "told": ["making"],
            "attempts": 2,
            "reason": "status 503",
            "retry_in_s": 6.4,
        }
    ],
}
LISTED_WORKER = {
    "callback": CALLBACK_URL,
    "label": "Register worker",
    "registered_at": SUBMITTED_AT,
    "aside": None,
    "rule": "match.drink=gin-tonic|mojito",
}
FRAME = {
    "at": "a1b2c3d4:41",
    "now": 1732412345.1,
    "state": {
        "order/42": {
            "n": 42,
            "logo": "lion",
            "drink": "Mojito",
            "state": "waiting",
            "t": 1732412340.0,
        },
        "bar": {"robots": 2, "waiting": 7, "assigned": 1, "paused": False, "unavailable": []},
    },
}

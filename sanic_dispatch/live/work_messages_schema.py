"""JSON Schemas of the messages of the websocket ``/work``: the worker's, and the service's.

``web/worker_messages.py`` reads and writes them.
"""

from __future__ import annotations

from sanic_dispatch.core.job import State
from sanic_dispatch.live.schema import TICKET, Schema, an_object

_ID: Schema = {"type": "string", "description": "the job's secret id"}
_RECEIPT: Schema = {"type": "string", "description": "the receipt in the message with the job"}
_LINE: Schema = {"type": "string", "maxLength": 200}
_SECONDS: Schema = {"type": "number", "minimum": 0}
_LEASE: Schema = {"type": "number", "description": "how many seconds the worker may be silent"}
_REF: Schema = {"description": "any JSON; the reply repeats it"}
_LISTS: Schema = {
    "type": "object",
    "additionalProperties": {"type": "array", "minItems": 1, "items": {"type": "string"}},
}
_JOB = {"job": _ID, "receipt": _RECEIPT}
_NEXT: dict[str, Schema] = {
    "next": {"type": "boolean", "description": "the worker registers again, as it was"}
}

_OF_WORKERS: dict[str, tuple[str, Schema]] = {
    "register": (
        "Ask for one job",
        an_object(
            {"worker": {"type": "string", "pattern": "^[!-~]{1,100}$"}},
            {
                "label": _LINE,
                "match": _LISTS | {"description": "the job has one of these, by member"},
                "not": _LISTS | {"description": "the job has none of these, by member"},
            },
        ),
    ),
    "withdraw": ("Leave the line", an_object({})),
    "accept": ("Take the job; begin after the ok", an_object(_JOB)),
    "progress": (
        "Say how far the job is, or nothing but that the worker is still at it",
        an_object(
            _JOB, {"percent": {"type": "number", "minimum": 0, "maximum": 100}, "text": _LINE}
        ),
    ),
    "done": ("The job is done", an_object(_JOB, {"result": {"description": "any JSON"}} | _NEXT)),
    "fail": (
        "The job is not done",
        an_object(
            _JOB,
            {"reason": _LINE, "retry": {"type": "boolean"}, "cancelled": {"type": "boolean"}}
            | _NEXT,
        ),
    ),
}

_OF_THE_SERVICE: dict[str, tuple[str, Schema]] = {
    "welcome": (
        "First of all: by this session another connection takes up what the worker has",
        an_object({"session": {"type": "string"}, "resume_s": _SECONDS}),
    ),
    "job": (
        "Here is a job; the worker begins once its accept is answered with ok",
        an_object(
            {
                "id": _ID,
                "ticket": TICKET,
                "data": {"description": "any JSON, as submitted"},
                "submitted_at": {"type": "string", "format": "date-time"},
                "receipt": _RECEIPT,
                "lease_s": _LEASE,
            }
        ),
    ),
    "cancel": ("Stop making this job", an_object({"job": _ID})),
}

_OK = an_object(
    {},
    {
        "job": _ID,
        "state": {"type": "string", "enum": [state.value for state in State]},
        "cancel": {"type": "boolean", "description": "whether to stop"},
        "registered": {"type": "boolean", "description": "whether it waits for the next job"},
        "lease_s": {"oneOf": [{"type": "null"}, _LEASE]},
    },
)
_PROBLEM: Schema = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "Error"],
    "description": "RFC 9457, as over HTTP",
}

SAID: dict[str, Schema] = {
    name: an_object({name: body}, {"ref": _REF}) for name, (_, body) in _OF_WORKERS.items()
}
"""The messages of a worker."""

TOLD: dict[str, Schema] = {
    **{name: an_object({name: body}) for name, (_, body) in _OF_THE_SERVICE.items()},
    "ok": an_object({"ok": _OK}, {"ref": _REF}),
    "error": an_object({"error": _PROBLEM}, {"ref": _REF}),
}
"""The messages of the service."""

TITLES = {
    **{name: title for name, (title, _) in (_OF_WORKERS | _OF_THE_SERVICE).items()},
    "ok": "The reply to a message that was carried out",
    "error": "The reply to a message that was not",
}

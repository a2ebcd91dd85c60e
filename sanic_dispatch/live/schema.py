"""JSON Schemas of the live channel's frames; ``asyncapi.py`` is the document around them.

The keys of a view are matched by patterns, so that a whole frame can be validated.
"""

from __future__ import annotations

from typing import Any

from sanic_dispatch.core.events import EventKind
from sanic_dispatch.core.job import DEFAULT_PRIORITY, MAX_PRIORITY, Stage, State, Way
from sanic_dispatch.live.order import MAX_TEXT_CHARS
from sanic_dispatch.live.serializers import MAX_LINK_CHARS, MAX_REASON_CHARS, MAX_RULE_CHARS
from sanic_dispatch.live.tracked_robots import RobotState
from sanic_dispatch.live.why import Reason

Schema = dict[str, Any]

VIEWS = ("board", "order", "monitor")


def schemas() -> dict[str, Schema]:
    """Return the JSON Schemas of each view's frames and of the objects in them, by name."""
    frames = {
        f"{view}_frame": _frame(keys, _PAST if view == "monitor" else {})
        for view, keys in _KEYS.items()
    }
    return {**frames, **_OBJECTS}


def frame_schema(view: str) -> Schema:
    """Return a self-contained schema for the frames of a view."""
    return {**schemas()[f"{view}_frame"], "components": {"schemas": schemas()}}


def an_object(required: Schema, optional: Schema | None = None) -> Schema:
    """Return the schema of an object with these keys and no others."""
    return {
        "type": "object",
        "required": list(required),
        "properties": required | (optional or {}),
        "additionalProperties": False,
    }


def _one_of(
    words: type[State | Stage | Way | RobotState | EventKind | Reason],
) -> Schema:
    return {"type": "string", "enum": [word.value for word in words]}


def _text(longest: int) -> Schema:
    return {"type": "string", "minLength": 1, "maxLength": longest}


def _or_null(schema: Schema) -> Schema:
    return {"oneOf": [{"type": "null"}, schema]}


def reference(name: str) -> Schema:
    """Return a reference to one of the schemas."""
    return {"$ref": f"#/components/schemas/{name}"}


COUNT: Schema = {"type": "integer", "minimum": 0}
TICKET: Schema = {"type": "integer", "minimum": 1, "description": "the number that people see"}
PLACE: Schema = {
    "type": "number",
    "description": "its place in the queue if an operator moved it; else its number is its place",
}
TIME: Schema = {"type": "number", "minimum": 0, "description": "Unix seconds"}
TEXT, REASON = _text(MAX_TEXT_CHARS), _text(MAX_REASON_CHARS)
FORGOTTEN: Schema = {"const": True, "description": "its data and its result are erased"}
UNUSED: Schema = {
    "const": True,
    "description": "taken, but the callback is still pending: its process is probably dead",
}
CALLBACK: Schema = {"type": "string", "description": "the callback of the worker"}

_BAR: Schema = {
    "robots": COUNT | {"description": "how many are at work, without the ones set aside"},
    "waiting": COUNT,
    "assigned": COUNT,
    "paused": {"type": "boolean"},
    "unavailable": {
        "type": "array",
        "items": {"type": "string"},
        "description": "the ids of the drinks on the menu that no robot here makes",
    },
}

PRIORITY: Schema = {
    "type": "integer",
    "minimum": 0,
    "maximum": MAX_PRIORITY,
    "description": f"0 is served first; left out where it is {DEFAULT_PRIORITY}",
}

WHY: Schema = an_object(
    {"reason": _one_of(Reason) | {"description": "why it waits"}},
    {
        "ahead": COUNT | {"description": "with `behind`, but not on the monitor: see its `ahead`"},
        "needs": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "with `no_able_worker`, for operators: what it has in the members that "
            "the robots here look at",
        },
    },
)

_WAITS: Schema = {
    name: _or_null({"type": "number", "minimum": 0}) | {"description": text}
    for name, text in (
        ("p50", "median wait in seconds, from the submission until a robot has the order"),
        ("p90", "the 90th percentile of these waits"),
    )
}

_ETA: Schema = {
    "type": "array",
    "items": TIME,
    "minItems": 2,
    "maxItems": 2,
    "description": "the range in which it will be ready; null if that is unknown",
}

PERCENT: Schema = {"type": "number", "minimum": 0, "maximum": 100}

_PROGRESS: Schema = {
    "progress": an_object({}, {"percent": PERCENT, "text": REASON})
    | {"description": "how far the robot is, by its own words"},
    "cancelling": {"const": True, "description": "the robot is asked to stop"},
}

_OBJECTS: dict[str, Schema] = {
    "bar": an_object(_BAR),
    "monitor_bar": an_object(
        _BAR
        | {
            "failed": COUNT | {"description": "how many an operator can still put back"},
            "kept": _or_null({"type": "number", "minimum": 0, "maximum": 1})
            | {"description": "share of recent promises that were kept"},
            "per_hour": COUNT | {"description": "done in the last hour"},
            "priorities": {"type": "boolean", "description": "whether they order the line"},
        }
        | _WAITS
    ),
    "line": an_object(
        {
            "tickets": {
                "type": "array",
                "items": TICKET,
                "description": "the waiting orders that are shown, in line; there is no such entry "
                "where their places say it",
            }
        }
    ),
    "ahead": an_object(
        {
            "counts": {
                "type": "array",
                "items": COUNT,
                "description": "of each waiting order that is shown, in line, how many are before "
                "it for the same robots; there is no such entry where that are all before it",
            }
        }
    ),
    "minute": an_object({"t": TIME, "arrived": COUNT, "done": COUNT} | _WAITS),
    "board_order": an_object(
        {"n": TICKET, "state": {"enum": ["waiting", "assigned", "done"]}, "t": TIME},
        {"logo": TEXT, "drink": TEXT, "place": PLACE, "percent": PERCENT},
    ),
    "own_order": an_object(
        {
            "n": TICKET,
            "state": _one_of(State),
            "ahead": _or_null(COUNT),
            "position": _or_null(TICKET),
            "eta": _or_null(_ETA),
            "t": TIME,
        },
        {
            "name": TEXT,
            "logo": TEXT,
            "drink": TEXT,
            "why": WHY,
            "priority": PRIORITY,
            "late": {"const": True, "description": "it was promised to be ready by now"},
            "doubt": {"const": True},
            **_PROGRESS,
            "can_cancel": {
                "const": True,
                "description": "a robot makes it, and can be asked to stop",
            },
            "forgotten": FORGOTTEN,
            "reason": REASON | {"description": "why it failed or was cancelled, as reported"},
        },
    ),
    "monitor_order": an_object(
        {"n": TICKET, "id": {"type": "string"}, "state": _one_of(State), "submitted": TIME,
         "t": TIME, "attempt": COUNT},
        {"name": TEXT, "logo": TEXT, "drink": TEXT, "place": PLACE, "reason": REASON,
         "forgotten": FORGOTTEN, "why": WHY, "priority": PRIORITY, **_PROGRESS,
         "hold": an_object(
             {"worker": CALLBACK, "way": _one_of(Way), "stage": _one_of(Stage), "since": TIME},
             {"unused": UNUSED, "refused": REASON},
         )},
    ),
    "worker": an_object(
        {"state": _one_of(RobotState), "since": TIME, "seen": TIME, "refusals": COUNT},
        {"label": REASON, "link": _text(MAX_LINK_CHARS), "activity": REASON, "ticket": TICKET,
         "unused": UNUSED, **_PROGRESS,
         "rule": _text(MAX_RULE_CHARS) | {"description": "which orders it takes; any if left out"},
         "reason": {"type": "string", "maxLength": MAX_REASON_CHARS}},
    ),
    "log_entry": an_object(
        {"n": {"type": "integer", "minimum": 1}, "kind": _one_of(EventKind), "t": TIME},
        {"ticket": TICKET, "worker": CALLBACK, "label": REASON, "reason": REASON},
    ),
}  # fmt: skip

_KEYS = {
    "board": {"^bar$": "bar", "^line$": "line", "^order/[0-9]+$": "board_order"},
    "order": {"^bar$": "bar", "^order$": "own_order"},
    "monitor": {
        "^bar$": "monitor_bar",
        "^line$": "line",
        "^ahead$": "ahead",
        "^order/[0-9]+$": "monitor_order",
        "^worker/": "worker",
        "^log/[0-9]+$": "log_entry",
        "^minute/[0-9]+$": "minute",
    },
}


_PAST: Schema = {
    "past": {
        "const": True,
        "description": "what is shown was so at `now`, which the query's `moment` asked for",
    }
}


def _frame(keys: dict[str, str], more: Schema) -> Schema:
    """Return the schema of a frame: with ``state`` or ``patch``, or neither for a heartbeat."""
    frame = an_object(
        {
            "at": {
                "type": "string",
                "pattern": "^[0-9a-z]{1,32}:[0-9]{1,15}$",
                "description": "what to resume with: ?since=",
            },
            "now": TIME,
        },
        {
            "state": _entries({key: reference(name) for key, name in keys.items()}),
            "patch": _entries({key: _or_null(reference(name)) for key, name in keys.items()}),
            **more,
        },
    )
    return frame | {"not": {"required": ["state", "patch"]}}


def _entries(patterns: Schema) -> Schema:
    return {"type": "object", "patternProperties": patterns, "additionalProperties": False}

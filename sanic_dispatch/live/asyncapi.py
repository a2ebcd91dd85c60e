"""The AsyncAPI 3.0 document: the views of the live channel, and the conversation with workers."""

from __future__ import annotations

from sanic_dispatch.live import work_messages_schema
from sanic_dispatch.live.playback import SPEEDS
from sanic_dispatch.live.schema import VIEWS, Schema, reference, schemas

_TITLES = {
    "board": "Public: number, logo, drink and state of the orders",
    "order": "One order, for a client that has its secret id; every frame is a whole state",
    "monitor": "Everything, for operators: orders, workers, the log, the last hour",
}


def asyncapi(version: str) -> Schema:
    """Return the AsyncAPI document for this version of the service."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "sanic-dispatch, the live channel and the workers' websocket",
            "version": version,
            "description": _DESCRIPTION,
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "channels": {**{view: _channel(view) for view in VIEWS}, "work": _WORK},
        "operations": {
            **{f"follow_{view}": _operation(view) for view in VIEWS},
            "tell_workers": _operation_on_work("send", work_messages_schema.TOLD),
            "hear_workers": _operation_on_work("receive", work_messages_schema.SAID),
        },
        "components": {
            "messages": {f"{view}_frame": _message(view) for view in VIEWS}
            | {f"work_{name}": _message_at_work(name) for name in _AT_WORK},
            "schemas": schemas() | {f"work_{name}": each for name, each in _AT_WORK.items()},
        },
    }


def _channel(view: str) -> Schema:
    return {
        "address": "live",
        "title": _TITLES[view],
        "messages": {"frame": {"$ref": f"#/components/messages/{view}_frame"}},
        "bindings": {
            "ws": {"method": "GET", "query": _query(view), "bindingVersion": "0.1.0"},
        },
    }


def _query(view: str) -> Schema:
    since: Schema = {"type": "string", "description": "at of the last frame that was received"}
    if view == "order":
        chosen: Schema = {"order": {"type": "string", "description": "the secret id"}}
    else:
        chosen = {"view": {"type": "string", "const": view}}
    required = [] if view == "board" else list(chosen)
    if view == "monitor":
        chosen |= _OF_THE_PAST
    return {"type": "object", "required": required, "properties": chosen | {"since": since}}


_OF_THE_PAST: Schema = {
    "moment": {
        "type": "string",
        "format": "date-time",
        "description": "show the monitor as it was then, and go on from there; not with `since`",
    },
    "speed": {
        "type": "integer",
        "enum": list(SPEEDS),
        "default": SPEEDS[0],
        "description": "how much faster than it was, with `moment`",
    },
}


def _operation(view: str) -> Schema:
    return {
        "action": "send",
        "title": _TITLES[view],
        "channel": {"$ref": f"#/channels/{view}"},
        "messages": [{"$ref": f"#/channels/{view}/messages/frame"}],
    }


def _message(view: str) -> Schema:
    return {"title": f"A frame of the {view} view", "payload": reference(f"{view}_frame")}


_AT_WORK = {**work_messages_schema.SAID, **work_messages_schema.TOLD}

_WORK: Schema = {
    "address": "work",
    "title": "A worker without an address: registrations, offers and reports",
    "messages": {name: {"$ref": f"#/components/messages/work_{name}"} for name in _AT_WORK},
    "bindings": {
        "ws": {
            "method": "GET",
            "query": {
                "type": "object",
                "properties": {
                    "session": {
                        "type": "string",
                        "description": "session of an earlier welcome: take up what it has",
                    },
                    "token": {"type": "string", "description": "the workers' token, if needed"},
                },
            },
            "bindingVersion": "0.1.0",
        }
    },
}


def _operation_on_work(action: str, messages: dict[str, Schema]) -> Schema:
    return {
        "action": action,
        "channel": {"$ref": "#/channels/work"},
        "messages": [{"$ref": f"#/channels/work/messages/{name}"} for name in messages],
    }


def _message_at_work(name: str) -> Schema:
    return {"title": work_messages_schema.TITLES[name], "payload": reference(f"work_{name}")}


_DESCRIPTION = """\
The live channel has one shape of message, and the client never speaks. A view is one flat map of \
keys to objects. A frame has at most one of `state` (replace everything) and `patch` (set each key \
to its new object; `null` deletes); a frame with neither is a heartbeat. `at` resumes the view \
with `?since=`; `now` corrects the client's clock.

With `moment` the frames are those of the past, and say so with `past`: the monitor as it was \
then, four times a second, up to the present. Their `now` is the moment that is shown. To go on \
after a break, ask for the last one: their `at` cannot be resumed from.

The same frames come from `GET state`, with the same query: as an event stream for \
`Accept: text/event-stream` (`id` is `at`), else once, as JSON.

At `work` a worker and the service talk: each message is an object with exactly one member, which \
names it; a worker's may have `ref`, which its reply repeats.

Close codes are 4000 + an HTTP status: 4400 the client spoke, or a bad query (at `work`: messages \
that cannot be read); 4401 a token is needed; 4403 the page is of another site; 4404 no such \
order; 4409 another connection of the worker has taken over; 4503 full, or the queues are out of \
reach. Do not reconnect after 44xx; reconnect after any other code.
"""

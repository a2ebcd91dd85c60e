"""The description of a route: parameters, body, answers, errors."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from sanic_dispatch.live.schema import Schema
from sanic_dispatch.web.openapi.schemas import JOB_ID

HandlerT = TypeVar("HandlerT", bound=Callable[..., Any])

JSON = "application/json"
CSV = "text/csv"
NDJSON = "application/x-ndjson"


class Answer(NamedTuple):
    """A successful answer: schema and example by media type, and headers."""

    text: str
    content: Mapping[str, tuple[Schema, Any]] = {}
    headers: Mapping[str, Schema] = {}


class Body(NamedTuple):
    """The body of a request; ``others`` are other media types that it may have."""

    schema: Schema
    example: Any
    required: bool = True
    others: Mapping[str, tuple[Schema, Any]] = {}
    media_type: str = JSON


class Parameter(NamedTuple):
    """A parameter in the path, the query or a header."""

    where: str
    name: str
    text: str
    schema: Schema
    example: Any
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A route with its method."""

    tag: str
    answers: Mapping[int, Answer]
    errors: tuple[str, ...] = ()
    """The codes of its errors, without those of any request."""
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    role: str = ""
    """The role whose token it needs, if one is configured."""
    summary: str = field(default="")

    def text_of(self, handler: Callable[..., Any]) -> tuple[str, str]:
        """Return summary and description: those given, else the handler's docstring."""
        text = self.summary or inspect.getdoc(handler) or ""
        first, _, rest = text.partition("\n")
        return first, rest.strip()


JOB_ID_IN_PATH = Parameter(
    "path", "job_id", "the job's secret id", {"type": "string", "minLength": 1}, JOB_ID, True
)
NOT_MODIFIED = Answer("The client has this version already.")

READING = ("NotReady", "OwnerUnreachable", "StorageFailed")
"""The errors of any read: nobody owns the queues, the owner is away, or the storage fails."""

TAKING = ("ShuttingDown", *READING)
"""The errors of any change."""

AN_OBJECT = ("UnsupportedMediaType", "InvalidJson", "InvalidRequest")
"""The errors of a body that must be a JSON object."""

OPERATION = "dispatch_operation"
"""The attribute of a handler that has its description."""


def describe(operation: Operation) -> Callable[[HandlerT], HandlerT]:
    """Attach its description to a handler, whose docstring has the text."""

    def attach(handler: HandlerT) -> HandlerT:
        setattr(handler, OPERATION, operation)
        return handler

    return attach


def in_json(schema: Schema, example: Any) -> Mapping[str, tuple[Schema, Any]]:
    """Return an answer's content in JSON."""
    return {JSON: (schema, example)}

"""What a handler says of itself: what it takes, what it answers, what can go wrong."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from sanic_dispatch.live.schema import Schema
from sanic_dispatch.web.openapi.schemas import JOB_ID

Handler = TypeVar("Handler", bound=Callable[..., Any])

JSON = "application/json"


class Answer(NamedTuple):
    """An answer that is no error: its schema and an example by media type, and its headers."""

    text: str
    content: Mapping[str, tuple[Schema, Any]] = {}
    headers: Mapping[str, Schema] = {}


class Body(NamedTuple):
    """What a request may or must have in it, as JSON; ``others`` are other media types."""

    schema: Schema
    example: Any
    required: bool = True
    others: Mapping[str, tuple[Schema, Any]] = {}


class Parameter(NamedTuple):
    """Something in the path, the query or a header."""

    where: str
    name: str
    text: str
    schema: Schema
    example: Any
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One request that can be made."""

    tag: str
    answers: Mapping[int, Answer]
    errors: tuple[str, ...] = ()
    """The words in ``Error``; those that any request can meet need not be named."""
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    door: str = ""
    """Whose token it needs, where one is set."""
    summary: str = field(default="")

    def text_of(self, handler: Callable[..., Any]) -> tuple[str, str]:
        """A line, and the rest: of the handler's docstring, where nothing else is said."""
        text = self.summary or inspect.getdoc(handler) or ""
        first, _, rest = text.partition("\n")
        return first, rest.strip()


JOB_ID_IN_PATH = Parameter(
    "path", "job_id", "the job's secret id", {"type": "string", "minLength": 1}, JOB_ID, True
)
NOT_MODIFIED = Answer("Whoever asks has it already.")

READING = ("NotReady", "StorageFailed")
"""What can keep anything from being read: another dispatcher has it, or nobody can say."""

TAKING = ("ShuttingDown", *READING)
"""What can keep anything from being changed."""

AN_OBJECT = ("UnsupportedMediaType", "InvalidJson", "InvalidRequest")
"""What can be wrong with a body that is an object."""

OPERATION = "dispatch_operation"
"""The attribute of a handler."""


def describe(**values: Any) -> Callable[[Handler], Handler]:
    """Say what a handler is; the words for it are those of its docstring."""

    def attach(handler: Handler) -> Handler:
        setattr(handler, OPERATION, Operation(**values))
        return handler

    return attach


def in_json(schema: Schema, example: Any) -> Mapping[str, tuple[Schema, Any]]:
    """An answer's content in JSON."""
    return {JSON: (schema, example)}

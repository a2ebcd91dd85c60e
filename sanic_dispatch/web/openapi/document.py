"""The OpenAPI document of an app, made from its routes, their descriptions and docstrings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from itertools import groupby
from typing import Any, NamedTuple

from sanic import Sanic

from sanic_dispatch import __version__
from sanic_dispatch.config.settings import ROLES
from sanic_dispatch.errors import PROBLEMS
from sanic_dispatch.web.context import TOPICS_PATH
from sanic_dispatch.web.openapi.operation import OPERATION, Answer, Operation, Parameter
from sanic_dispatch.web.openapi.schemas import SCHEMAS, ref

ANYWHERE = (
    *("BadRequest", "RequestTimeout", "TooLarge", "ExpectationFailed"),
    *("InternalServerError", "ServiceUnavailable"),
)
"""The errors of any request: not HTTP, too slow, too large, or a fault of the service."""

NO_OPERATION = ("NotFound", "UnknownTopic", "MethodNotAllowed")
"""The errors of paths and methods that do not exist."""

TAGS = {
    "jobs": "Submit jobs, look them up, cancel them.",
    "workers": "Register as a worker, get jobs, report on them.",
    "operator": "Pause and resume, list and move jobs, set workers aside.",
    "live": "Follow orders and robots in real time.",
    "pages": "The pages and the files that they load.",
    "service": "Health, metrics, and this description.",
}

_DESCRIPTION = """\
The oldest job goes to the worker that has waited longest, of those that take it.

Every path is relative to where the service is mounted. Every error is a problem document \
(RFC 9457) whose `Error` is a stable code for programs. GET routes of pages and of the service \
also answer HEAD. A topic has the same paths under `topics/NAME/`, all but `topics` itself. The \
live channel `/live` is a websocket: `/asyncapi.json` describes it.
"""


class Described(NamedTuple):
    """A route and its description."""

    path: str
    method: str
    name: str
    operation: Operation
    handler: Any


def described(app: Sanic[Any, Any], *, of_named_topic: bool = False) -> Iterator[Described]:
    """Yield all routes and methods in order; HEAD is left out: it goes with GET.

    A named topic has the same below its own path, but for the list of topics.
    """
    for route in sorted(app.router.routes, key=lambda each: (each.path, sorted(each.methods))):
        path = f"/{route.path}"
        if path.startswith(TOPICS_PATH) or (of_named_topic and f"{path}/" == TOPICS_PATH):
            continue
        operation = getattr(route.handler, OPERATION, None)
        if operation is None:
            raise ValueError(f"/{route.path} does not say what it is")
        path = re.sub(r"<(\w+)(?::\w+)?>", r"{\1}", path)
        for method in sorted(set(route.methods) - {"HEAD"}):
            name = re.sub(r"\W", "_", route.name.partition(".")[2])
            yield Described(path, method.lower(), name, operation, route.handler)


def openapi_document(app: Sanic[Any, Any], *, of_named_topic: bool = False) -> dict[str, Any]:
    """Return the OpenAPI document of an app, or of one of its named topics."""
    found = described(app, of_named_topic=of_named_topic)
    paths = {
        path: {each.method: _operation(each) for each in of_path}
        for path, of_path in groupby(found, key=lambda each: each.path)
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "sanic-dispatch",
            "version": __version__,
            "summary": "A realtime job dispatcher",
            "description": _DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "./", "description": "relative to this document"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "responses": {_anchor(word): _problems([word]) for word in ANYWHERE},
            "securitySchemes": dict(_schemes()),
        },
    }


def _schemes() -> Iterator[tuple[str, dict[str, str]]]:
    for role in ROLES:
        text = f"The {role}'s token"
        yield role, {"type": "http", "scheme": "bearer", "description": text}
        yield (
            f"{role}_query",
            {
                "type": "apiKey",
                "in": "query",
                "name": "token",
                "description": f"{text}, where no header can be sent",
            },
        )


def _operation(each: Described) -> dict[str, Any]:
    operation = each.operation
    summary, description = operation.text_of(each.handler)
    said: dict[str, Any] = {
        "operationId": each.name,
        "tags": [operation.tag],
        "summary": summary,
        "responses": _responses(operation),
    }
    if description:
        said["description"] = description
    if operation.parameters:
        said["parameters"] = [_parameter(parameter) for parameter in operation.parameters]
    if operation.body:
        body = operation.body
        own = {body.media_type: (body.schema, body.example), **body.others}
        content = {
            media_type: {"schema": schema, "example": example}
            for media_type, (schema, example) in own.items()
        }
        said["requestBody"] = {"required": body.required, "content": content}
    if operation.role:
        said["security"] = _security(operation.role)
    return said


def _security(role: str) -> list[dict[str, list[str]]]:
    """Return the security requirement; only the operator's token is always needed."""
    needed: list[dict[str, list[str]]] = [{role: []}, {f"{role}_query": []}]
    return needed if role == "operator" else [{}, *needed]


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "in": parameter.where,
        "name": parameter.name,
        "description": parameter.text,
        "required": parameter.required,
        "schema": parameter.schema,
        "example": parameter.example,
    }


def _responses(operation: Operation) -> dict[str, Any]:
    answers = {str(status): _answer(answer) for status, answer in operation.answers.items()}
    words = sorted({*operation.errors, *ANYWHERE}, key=lambda word: (PROBLEMS[word].status, word))
    for status, of_status in groupby(words, key=lambda word: PROBLEMS[word].status):
        found = list(of_status)
        is_own = found != [word for word in ANYWHERE if PROBLEMS[word].status == status]
        shared = {"$ref": f"#/components/responses/{_anchor(found[0])}"}
        answers[str(status)] = _problems(found) if is_own else shared
    return answers


def _answer(answer: Answer) -> dict[str, Any]:
    said: dict[str, Any] = {"description": answer.text}
    if answer.content:
        said["content"] = {
            media_type: {"schema": schema, **({} if example is None else {"example": example})}
            for media_type, (schema, example) in answer.content.items()
        }
    if answer.headers:
        said["headers"] = {name: _header(schema) for name, schema in answer.headers.items()}
    return said


def _problems(words: list[str]) -> dict[str, Any]:
    """Return the response for errors of one status, with an example of each."""
    phrase = HTTPStatus(PROBLEMS[words[0]].status).phrase
    examples = {word: {"value": _example(word, phrase)} for word in words}
    schema = {"allOf": [ref("problem"), {"properties": {"Error": {"enum": words}}}]}
    said: dict[str, Any] = {
        "description": f"{phrase}: {', '.join(words)}",
        "content": {"application/problem+json": {"schema": schema, "examples": examples}},
    }
    if headers := _headers(words):
        said["headers"] = headers
    return said


def _headers(words: list[str]) -> dict[str, Any]:
    """Return the headers of these errors; required if all of them have it."""
    of_words = [PROBLEMS[word].headers for word in words]
    names = {name: example for headers in of_words for name, example in headers.items()}
    return {
        name: {**_header({"type": "string"}), "example": example,
               "required": all(name in headers for headers in of_words)}
        for name, example in names.items()
    }  # fmt: skip


def _header(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"schema": dict(schema)}


def _example(word: str, phrase: str) -> dict[str, Any]:
    problem = PROBLEMS[word]
    example = {
        "type": "about:blank",
        "title": phrase,
        "status": problem.status,
        "detail": problem.detail,
        "Error": word,
    }
    return {**example, **_MEMBERS.get(word, {})}


_MEMBERS = {
    "WrongState": {"state": "assigned"},
    "NotTheHolder": {"state": "assigned"},
    "InvalidMatch": {
        "where": "match.",
        "why": "names no member: match.drink and not.size.unit do",
    },
}
"""Examples of further members of problem documents."""


def _anchor(word: str) -> str:
    """Return the name of the shared response for this error's status."""
    return f"problem_{PROBLEMS[word].status}"

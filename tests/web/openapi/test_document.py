"""The OpenAPI document agrees with the routes and with docs/protocol.md."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import schemathesis

from sanic_dispatch.errors import PROBLEMS
from sanic_dispatch.web.openapi.document import ANYWHERE, NO_OPERATION
from sanic_dispatch.web.openapi.page import docs_page
from tests.support.http_requests import ask
from tests.support.paths import DOCS
from tests.support.server import running_service
from tests.web.openapi.operations import the_document
from tests.web.test_auth import routes_of

PROTOCOL = (DOCS / "protocol.md").read_text()

DOCUMENT = the_document()
OPERATIONS = [
    (method.upper(), path, operation)
    for path, of_path in DOCUMENT["paths"].items()
    for method, operation in of_path.items()
]
IDS = [f"{method} {path}" for method, path, _ in OPERATIONS]


def examples(operation: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Yield place, schema and example of all parameters, bodies and answers."""
    for parameter in operation.get("parameters", []):
        yield parameter["name"], parameter["schema"], parameter["example"]
    contents = [operation["requestBody"]] if "requestBody" in operation else []
    contents += [each for each in operation["responses"].values() if "$ref" not in each]
    for where in contents:
        for media_type, content in where.get("content", {}).items():
            if "example" in content:
                yield media_type, content["schema"], content["example"]
            for word, example in content.get("examples", {}).items():
                yield word, content["schema"], example["value"]


def in_the_protocol(path: str) -> str:
    """Return a request as docs/protocol.md writes it."""
    words = {"job_id": "id", "webhook_id": "id", "path": "file"}
    return re.sub(r"\{(\w+)\}", lambda found: f"<{words.get(found[1], found[1])}>", path)


def is_valid(schema: Any, value: Any) -> bool:
    whole = {**schema, "components": DOCUMENT["components"]}
    return jsonschema.Draft202012Validator(whole).is_valid(value)


def test_it_is_openapi() -> None:
    """It is OpenAPI 3.1, as schemathesis checks it, and JSON."""
    assert DOCUMENT["openapi"] == "3.1.0"
    schemathesis.openapi.from_dict(DOCUMENT).validate()
    assert json.loads(json.dumps(DOCUMENT)) == json.loads(json.dumps(DOCUMENT))


async def test_it_has_every_route() -> None:
    """Routes and operations are the same; HEAD goes with GET."""
    async with running_service() as service:
        routes = {route for route in routes_of(service) if not route.startswith("HEAD ")}
        async with service.http.get(service.base_url + "openapi.json") as response:
            served = await response.json()
    assert {name.replace("{", "<").replace("}", ">") for name in IDS} == routes
    assert served == json.loads(json.dumps(DOCUMENT))


def test_each_operation_has_a_name_of_its_own() -> None:
    """Client generators need a unique word for each."""
    names = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() for name in names)


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=IDS)
def test_every_example_is_valid(method: str, path: str, operation: Any) -> None:
    """Examples of parameters, bodies, answers and errors; each operation has some."""
    found = list(examples(operation))
    assert operation["summary"].endswith((".", "``.", "n}}``."))
    for where, schema, example in found:
        assert is_valid(schema, example), f"{method} {path}: {where}"


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=IDS)
def test_the_protocol_has_every_operation(method: str, path: str, operation: Any) -> None:
    """docs/protocol.md names each request."""
    assert re.search(rf"{re.escape(in_the_protocol(path))}(?![\w/])", PROTOCOL), operation[
        "operationId"
    ]


def test_the_protocol_has_no_other_requests() -> None:
    """Each request in docs/protocol.md exists."""
    named = re.findall(r"`(GET|POST|DELETE) (/[\w/<>.-]*)", PROTOCOL)
    assert set(named) <= {(method, in_the_protocol(path)) for method, path, _ in OPERATIONS}


def test_every_error_is_in_the_document() -> None:
    """Each belongs to an operation, or to all."""
    of_operations = {word for _, _, operation in OPERATIONS for word, _, _ in examples(operation)}
    assert PROBLEMS.keys() <= of_operations | set(ANYWHERE) | set(NO_OPERATION)


async def test_the_answer_to_the_repeat_of_a_cancelled_order_is_valid() -> None:
    """It waits at no place: 0."""
    async with running_service() as service:
        for _ in range(2):
            answer = await ask(
                service, "POST", "submit-job", json=1, headers={"Idempotency-Key": "a"}
            )
            await ask(service, "DELETE", answer.headers["Location"])
    described = DOCUMENT["paths"]["/submit-job"]["post"]["responses"][str(answer.status)]
    assert answer.body == {"Queued": {"position": 0}}
    assert is_valid(described["content"]["application/json"]["schema"], answer.body)


async def test_the_headers_of_a_limited_order_are_in_the_document() -> None:
    """RateLimit is described for orders that are taken, too, not only for the 429."""
    responses = DOCUMENT["paths"]["/submit-job"]["post"]["responses"]
    assert responses["200"]["headers"] == responses["202"]["headers"]
    async with running_service(orders_per_minute=1) as service:
        for status in (202, 429):
            answer = await ask(service, "POST", "submit-job", json=1)
            assert answer.status == status
            sent = {name for name in answer.headers if name.startswith("RateLimit")}
            assert len(sent) == 2
            assert sent <= responses[str(status)]["headers"].keys()


async def test_the_page_is_self_contained() -> None:
    """/docs obeys the strict policy: no inline script or style, and only our own files."""
    async with running_service() as service:
        async with service.http.get(service.base_url + "docs") as response:
            text, policy = await response.text(), response.headers["Content-Security-Policy"]
        loaded = re.findall(r'<link [^>]*href="([^"]+)"', text)
        for path in loaded:
            async with service.http.get(service.base_url + path) as response:
                assert response.status == 200, path
    assert "default-src 'none'" in policy
    assert "<script" not in text
    assert " style=" not in text
    links = re.findall(r'(?:href|src)="([^"#]+)"', text)
    assert len(links) >= 5
    assert not [link for link in links if "//" in link or link.startswith("/")]


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=IDS)
def test_the_page_has_every_operation(method: str, path: str, operation: Any) -> None:
    """Each has an anchor."""
    text = docs_page(DOCUMENT)
    assert text.count(f'id="{operation["operationId"]}"') == 1
    assert text.count(f'href="#{operation["operationId"]}"') == 1


def test_the_page_escapes_what_it_shows() -> None:
    """Examples are shown as text."""
    document = json.loads(json.dumps(DOCUMENT).replace("Ada", "<script>"))
    assert "<script>" not in docs_page(document)

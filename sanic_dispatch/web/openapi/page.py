"""The OpenAPI document as a page: plain HTML and one style sheet, no script at all."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="theme-color" content="#fff4e3" media="(prefers-color-scheme: light)">
  <meta name="theme-color" content="#150f2b" media="(prefers-color-scheme: dark)">
  <title>{title}</title>
  <meta name="description" content="The HTTP interface of {title}: every request and its answers.">
  <link rel="icon" href="public/img/robot.svg" type="image/svg+xml">
  <link rel="stylesheet" href="public/css/tokens.css">
  <link rel="stylesheet" href="public/css/dark.css" media="(prefers-color-scheme: dark)">
  <link rel="stylesheet" href="public/css/docs.css">
</head>
<body>
<header>
  <h1>{title}</h1>
  <p>{description}</p>
  <p><a href="openapi.json">openapi.json</a> <a href="asyncapi.json">asyncapi.json</a></p>
</header>
<nav aria-label="Requests">{contents}</nav>
<main>{sections}</main>
</body>
</html>
"""

OperationObject = Mapping[str, Any]


def docs_page(document: Mapping[str, Any]) -> str:
    """Return an OpenAPI document as an HTML page."""
    info = document["info"]
    by_tag = {tag["name"]: list(_of_tag(document, tag["name"])) for tag in document["tags"]}
    texts = {tag["name"]: tag["description"] for tag in document["tags"]}
    return _PAGE.format(
        title=escape(f"{info['title']} {info['version']}"),
        description=_text(info["description"]),
        contents="".join(_contents(tag, found) for tag, found in by_tag.items()),
        sections="".join(_section(tag, texts[tag], found) for tag, found in by_tag.items())
        + _anywhere(document["components"]["responses"]),
    )


def _anywhere(shared: Mapping[str, Any]) -> str:
    found = {name.rpartition("_")[2]: response for name, response in shared.items()}
    text = (
        "Any request can fail this way: malformed, too slow, too large, or a fault of the service."
    )
    return f"<section><h2>errors</h2><p>{text}</p><article>{_responses(found)}</article></section>"


def _of_tag(document: Mapping[str, Any], tag: str) -> Iterator[tuple[str, str, OperationObject]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if tag in operation["tags"]:
                yield path, method.upper(), operation


def _contents(tag: str, found: list[tuple[str, str, OperationObject]]) -> str:
    links = "".join(
        f'<li><a href="#{operation["operationId"]}">{method} {escape(path)}</a></li>'
        for path, method, operation in found
    )
    return f"<h2>{escape(tag)}</h2><ul>{links}</ul>"


def _section(tag: str, text: str, found: list[tuple[str, str, OperationObject]]) -> str:
    articles = "".join(_article(*each) for each in found)
    return f"<section><h2>{escape(tag)}</h2><p>{escape(text)}</p>{articles}</section>"


def _article(path: str, method: str, operation: OperationObject) -> str:
    parts = [
        f'<h3><span class="method">{method}</span> {escape(path)}</h3>',
        f"<p>{_text(operation['summary'])}</p>",
        f"<p>{_text(operation.get('description', ''))}</p>" if "description" in operation else "",
        _token(operation),
        _parameters(operation.get("parameters", [])),
        _body(operation.get("requestBody")),
        _responses(operation["responses"]),
    ]
    return f'<article id="{operation["operationId"]}">{"".join(parts)}</article>'


def _token(operation: OperationObject) -> str:
    security = operation.get("security")
    if not security:
        return ""
    role = next(name for need in security for name in need)
    when = ", where one is set" if {} in security else ""
    return f'<p class="token">Needs the {escape(role)}\'s token{when}.</p>'


def _parameters(parameters: list[Mapping[str, Any]]) -> str:
    if not parameters:
        return ""
    rows = "".join(
        f"<tr><td><code>{escape(each['name'])}</code></td>"
        f"<td>{each['in']}{', required' if each['required'] else ''}</td>"
        f"<td>{_text(each['description'])}</td>"
        f"<td><code>{escape(str(each['example']))}</code></td></tr>"
        for each in parameters
    )
    head = "<tr><th>name</th><th>where</th><th>what</th><th>for example</th></tr>"
    table = f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"
    return f'<div class="scroll" tabindex="0">{table}</div>'


def _body(body: Mapping[str, Any] | None) -> str:
    if body is None:
        return ""
    how = "" if body["required"] else ", optional"
    return "".join(
        f"<h4>Body: {media_type}{how}</h4>{_example(content['example'])}"
        for media_type, content in body["content"].items()
    )


def _responses(responses: Mapping[str, Any]) -> str:
    """Return the responses of an operation, without those of any request."""
    own = ((status, each) for status, each in responses.items() if "$ref" not in each)
    return "".join(_response(status, response) for status, response in own)


def _response(status: str, response: Mapping[str, Any]) -> str:
    parts = []
    for media_type, content in response.get("content", {}).items():
        examples = [each["value"] for each in content.get("examples", {}).values()]
        shown = [*examples, *([content["example"]] if "example" in content else [])]
        parts.append(f"<p><code>{escape(media_type)}</code></p>" + "".join(map(_example, shown)))
    headers = ", ".join(response.get("headers", {}))
    if headers:
        parts.append(f"<p>Headers: <code>{escape(headers)}</code></p>")
    head = f"<summary><b>{status}</b> {_text(response['description'])}</summary>"
    return f"<details>{head}{''.join(parts)}</details>"


def _example(value: Any) -> str:
    text = value if isinstance(value, str) and "\n" in value else json.dumps(value, indent=2)
    return f'<pre tabindex="0">{escape(text)}</pre>'  # tabindex: keys can scroll it


def _text(text: str) -> str:
    """Escape a text, and turn back-quoted parts into code."""
    parts = escape(text).replace("``", "`").split("`")
    return "".join(
        f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(parts)
    )

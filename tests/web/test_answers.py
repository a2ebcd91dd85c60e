"""Answers are written quickly, and exactly as Sanic would write them."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from sanic import HTTPResponse

from sanic_dispatch.web.answers import Response

TEXTS = st.text(st.characters(exclude_categories=()), max_size=8)


@given(st.lists(st.tuples(st.sampled_from(("Location", "A\r", "b\0")), TEXTS | st.integers())))
@example([("Location", "jobs/1\r\nSet-Cookie: a=b")])
@example([("Location", "\udcff")])
@example([("Location", 7)])
def test_headers_are_cleaned_as_sanic_does(headers: list[tuple[str, str | int]]) -> None:
    """Whatever is in them: nothing is ever a header of its own, or lost."""
    sides = (
        Response("{}", 202, None, "application/json"),
        HTTPResponse("{}", 202, None, "application/json"),
    )
    said = []
    for side in sides:
        for name, value in headers:
            side.headers.add(name, value)
        try:
            said.append(list(side.processed_headers))
        except UnicodeEncodeError:
            said.append([])
    assert said[0] == said[1]

"""Fast responses are the bytes that Sanic would write."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from sanic import HTTPResponse
from sanic.headers import format_http1_response

from sanic_dispatch.web.responses import Response

TEXTS = st.text(st.characters(exclude_categories=()), max_size=8)
NAMES = st.sampled_from(("Location", "content-type", "A\r", "b\0"))


@given(
    st.dictionaries(NAMES, TEXTS),
    st.sampled_from((200, 202, 404, 503)),
    st.booleans(),
    st.booleans(),
    TEXTS.map(lambda text: text.encode(errors="replace")),
)
@example({"Location": "jobs/1\r\nSet-Cookie: a=b"}, 202, True, False, b"{}")
@example({"Location": "\udcff"}, 202, True, False, b"{}")
@example({"Location": "ü"}, 202, False, True, b"{}")
def test_a_response_in_one_piece_equals_sanics(
    headers: dict[str, str],
    status: int,
    keep_alive: bool,
    head_only: bool,
    body: bytes,
) -> None:
    """The same status, headers and body; headers that need cleaning are left to Sanic."""
    ours = Response(body, status, headers, "application/json")
    piece = ours.in_one_piece(keep_alive=keep_alive, head_only=head_only)
    if any(not f"{name}{value}".isprintable() for name, value in headers.items()):
        assert piece is None
    else:
        assert piece is not None
        head, body_said = by_sanic(ours, keep_alive=keep_alive), b"" if head_only else body
        assert parts(piece) == parts(head + body_said)


def test_headers_are_a_plain_dictionary() -> None:
    """A multidict takes more than the rest of an answer; what is given is not changed."""
    given = {"Location": "jobs/1"}
    answer = Response(b"1", 202, given)
    answer.headers["X-Request-ID"] = "a"
    assert type(answer.headers) is dict
    assert given == {"Location": "jobs/1"}


def by_sanic(answer: HTTPResponse, *, keep_alive: bool) -> bytes:
    """Return the bytes of ``Http.http1_response_header``."""
    assert answer.body is not None
    answer.headers["content-length"] = len(answer.body)
    answer.headers["connection"] = "keep-alive" if keep_alive else "close"
    return format_http1_response(answer.status, answer.processed_headers)


def parts(answer: bytes) -> tuple[bytes, list[bytes], bytes]:
    """Return status line, headers and body; of equal header names the order counts."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *headers = head.split(b"\r\n")
    return status, sorted(headers, key=lambda header: header.partition(b":")[0]), body

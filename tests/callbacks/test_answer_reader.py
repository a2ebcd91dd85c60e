"""Reading answers from a stream of bytes, however it is cut up."""

from __future__ import annotations

import pytest
from httptools import HttpParserError

from sanic_dispatch.callbacks.answer_reader import HEAD_LIMIT_BYTES, AnswerReader

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nT: x\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"


def head_of(size):
    """Return the start of an answer whose head has so many bytes."""
    start, end = b"HTTP/1.1 200 OK\r\nX: ", b"\r\n\r\n"
    return start + b"y" * (size - len(start) - len(end)) + end


def feed(reader, data, size):
    for start in range(0, len(data), size):
        reader.feed(data[start : start + size])


@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
@pytest.mark.parametrize(
    ("data", "allows_reuse", "ends_by_close"),
    [
        (OK, True, False),
        (CHUNKED, True, False),
        (HINTS + OK, True, False),
        (b"HTTP/1.1 100 \r\nContent-Length: 7\r\n\r\nHTTP/1.1 200 OK\r\n\r\nab", False, True),
        (OK + OK, False, False),
        (OK + b"H", False, False),
        (CHUNKED + OK, False, False),
        (OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), False, False),
        (OK.replace(b"1.1", b"1.0"), False, False),
        (b"HTTP/1.1 200 OK\r\n\r\nab", False, True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: x\r\n\r\nab", False, True),
    ],
)
def test_any_pieces(data, size, allows_reuse, ends_by_close):
    """Status, body and whether the connection can be kept do not depend on the pieces."""
    reader = AnswerReader()
    for _ in range(2 if allows_reuse else 1):
        reader.begin(9)
        feed(reader, data, size)
        assert (reader.status, bytes(reader.body)) == (200, b"ab")
        assert (reader.allows_reuse, reader.ends_by_close) == (allows_reuse, ends_by_close)


def test_an_endless_body_ends_at_the_limit():
    """An endless body ends at its limit, and needs no more memory."""
    reader = AnswerReader()
    reader.begin(3)
    reader.feed(b"HTTP/1.1 200 OK\r\n\r\nab")
    assert not reader.is_done
    for _ in range(9):
        reader.feed(b"cdef")
        assert reader.is_done
    assert reader.body == b"abc"


@pytest.mark.parametrize("size", [1000, 10**6])
def test_long_heads(size):
    """A head may be as long as the limit, whatever follows it in the same piece."""
    reader = AnswerReader()
    feed(reader, head_of(HEAD_LIMIT_BYTES) + b"x" * HEAD_LIMIT_BYTES, size)
    assert reader.status == 200
    with pytest.raises(HttpParserError):
        feed(AnswerReader(), head_of(HEAD_LIMIT_BYTES + 1), size)


@pytest.mark.parametrize("size", [1000, 10**6])
def test_many_interim_answers(size):
    """Interim answers do not count for the limit of the head, however many come at once."""
    reader = AnswerReader()
    feed(reader, HINTS * (2 * HEAD_LIMIT_BYTES // len(HINTS)) + OK, size)
    assert reader.status == 200

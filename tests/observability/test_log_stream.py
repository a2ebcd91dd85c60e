"""The log's stream writes whole lines, alone or together; its failures have no effect."""

from __future__ import annotations

import io
from select import PIPE_BUF

import pytest

from sanic_dispatch.observability.log_stream import LogStream


class Pipe(io.StringIO):
    """Records each write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.writes.append(text)
        return len(text)


@pytest.fixture
def pipe() -> Pipe:
    return Pipe()


def test_a_line_alone_is_written_at_once(pipe: Pipe) -> None:
    """It is flushed."""
    LogStream(pipe).msg(b"one")
    assert pipe.writes == ["one\n"]


def test_several_lines_are_written_together(pipe: Pipe) -> None:
    """In order, in one write."""
    LogStream(pipe).write([b"one", b"two"])
    assert pipe.writes == ["one\ntwo\n"]


def test_writes_are_atomic_in_a_pipe(pipe: Pipe) -> None:
    """Lines of several processes do not mix in a pipe, unless one is longer than PIPE_BUF."""
    lines = ["x" * 1000, "y" * 3000, "z" * (2 * PIPE_BUF), "ü" * 1500, "ü" * 1500, "last"] * 3
    stream = LogStream(pipe)
    stream.write(map(str.encode, lines))
    assert "".join(pipe.writes).splitlines() == lines
    sizes = [(len(piece.encode()), piece.count("\n")) for piece in pipe.writes]
    assert all(size <= PIPE_BUF or number == 1 for size, number in sizes)
    assert len(pipe.writes) < len(lines)


def test_what_cannot_be_written_is_dropped() -> None:
    """A full disk or a closed pipe does not stop the dispatcher."""
    closed = io.StringIO()
    closed.close()
    stream = LogStream(closed)
    stream.write([b"one"])
    stream.msg(b"two")

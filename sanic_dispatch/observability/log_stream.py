"""Where the lines of the log go: the end of their way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from select import PIPE_BUF
from typing import TextIO


class LogStream:
    """Writes a line, or several together. What cannot be written is dropped."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        """Write a line: the name is structlog's."""
        self._write(line + "\n")

    debug = info = warning = error = critical = msg

    def write(self, lines: Iterable[str]) -> None:
        """Write lines in as few pieces as a pipe takes at once."""
        for text in _pieces(line + "\n" for line in lines):
            self._write(text)

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            pass


def _pieces(lines: Iterable[str]) -> Iterator[str]:
    """As many lines in each as a pipe takes at once: other processes may write to it, too."""
    piece, size = "", 0
    for line in lines:
        size += _size(line)
        if piece and size > PIPE_BUF:
            yield piece
            piece, size = "", _size(line)
        piece += line
    if piece:
        yield piece


def _size(line: str) -> int:
    """In bytes, as pipes count."""
    return len(line) if line.isascii() else len(line.encode(errors="replace"))

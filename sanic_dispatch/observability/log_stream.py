"""The output stream of the log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from select import PIPE_BUF
from typing import TextIO


class LogStream:
    """Writes lines, alone or together; drops what cannot be written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        """Write a line; structlog calls a logger's methods by this name."""
        self._write(line + "\n")

    debug = info = warning = error = critical = msg

    def write(self, lines: Iterable[str]) -> None:
        """Write lines in pieces of at most ``PIPE_BUF`` bytes, which a pipe takes atomically."""
        for text in _pieces(line + "\n" for line in lines):
            self._write(text)

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            pass


def _pieces(lines: Iterable[str]) -> Iterator[str]:
    """Join lines into pieces that other processes' writes to the same pipe cannot interrupt."""
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
    """Return the size in bytes."""
    return len(line) if line.isascii() else len(line.encode(errors="replace"))

"""Where the lines of the log go: the end of their way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from select import PIPE_BUF
from typing import TextIO


class LogStream:
    """Writes each line at once, or those of a block together. What cannot be written is dropped."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._kept: list[str] | None = None

    def msg(self, line: str) -> None:
        """Write a line: the name is structlog's."""
        kept = self._kept
        if kept is None:
            self._write(line + "\n")
        else:
            kept.append(line + "\n")

    debug = info = warning = error = critical = msg

    @contextmanager
    def together(self) -> Iterator[None]:
        """Keep the lines of the block, and write them at its end."""
        kept = self._kept = []
        try:
            yield
        finally:
            self._kept = None
            for text in _pieces(kept):
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

"""The output stream of the log."""

from __future__ import annotations

from collections.abc import Iterable
from io import TextIOWrapper
from select import PIPE_BUF
from typing import TextIO


class LogStream:
    """Writes lines in UTF-8, alone or together; drops what cannot be written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        is_utf8 = isinstance(stream, TextIOWrapper) and stream.encoding.lower() == "utf-8"
        self._buffer = stream.buffer if is_utf8 else None
        """What takes bytes, where they need not be decoded for ``stream`` to encode them again."""

    def msg(self, line: bytes) -> None:
        """Write a line; structlog calls a logger's methods by this name."""
        content = line + b"\n"
        try:
            if self._buffer is None:
                self._stream.write(content.decode())
                self._stream.flush()
            else:
                self._buffer.write(content)
                self._buffer.flush()
        except (OSError, ValueError):
            pass

    debug = info = warning = error = critical = msg

    def write(self, lines: Iterable[bytes]) -> None:
        """Write lines in pieces of at most ``PIPE_BUF`` bytes, which a pipe takes atomically."""
        piece, size = list[bytes](), 0
        for line in lines:
            size += len(line) + 1
            if piece and size > PIPE_BUF:
                self.msg(b"\n".join(piece))
                piece, size = [], len(line) + 1
            piece.append(line)
        if piece:
            self.msg(b"\n".join(piece))

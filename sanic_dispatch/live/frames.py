"""Frames of the live channel: encoded once, shared by all clients at the same cursor."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any, NamedTuple

import ujson

Entries = dict[str, Any]
"""The keys and objects of a view; in a patch, None deletes a key."""

_CURSOR = re.compile(r"([0-9a-z]{1,32}):([0-9]{1,15})")


class Cursor(NamedTuple):
    """The position of a client in a view: ``at`` of the last frame that it received."""

    epoch: str
    number: int

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Parse ``epoch:number``. Raises ValueError for any other text."""
        match = _CURSOR.fullmatch(text)
        if match is None:
            raise ValueError("a cursor is epoch:number")
        return cls(match[1], int(match[2]))

    def __str__(self) -> str:
        return f"{self.epoch}:{self.number}"


class Frame:
    """A frame; its websocket and event-stream encodings are made on first use."""

    def __init__(self, at: Cursor, now_s: float, **content: Any) -> None:
        self.at = at
        self.json = encode({"at": str(at), "now": round(now_s, 3), **content})

    @cached_property
    def websocket(self) -> bytes:
        """The frame as one final, unmasked text frame of RFC 6455, without extensions."""
        return _header(len(self.json)) + self.json

    @cached_property
    def event_stream(self) -> bytes:
        """The frame as a server-sent event whose id is the cursor to resume with."""
        return b"id: %b\ndata: %b\n\n" % (str(self.at).encode(), self.json)


def encode(value: Any) -> bytes:
    """Encode JSON as UTF-8; a lone surrogate becomes a question mark."""
    text = ujson.dumps(value, ensure_ascii=False, escape_forward_slashes=False, allow_nan=False)
    return text.encode(errors="replace")


def _header(length: int) -> bytes:
    if length < 126:
        return bytes((0x81, length))
    if length < 65536:
        return b"\x81\x7e" + length.to_bytes(2, "big")
    return b"\x81\x7f" + length.to_bytes(8, "big")

"""Frames: what goes over the live channel, encoded once and shared by all who get it."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any, NamedTuple

import ujson

Entries = dict[str, Any]
"""A view's keys and objects; in a patch, None says that a key is gone."""

_CURSOR = re.compile(r"([0-9a-z]{1,32}):([0-9]{1,15})")


class Cursor(NamedTuple):
    """Where somebody is in a view: ``at`` of the last frame that was received."""

    epoch: str
    number: int

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Read ``epoch:number``. Raises ValueError where it is no such thing."""
        match = _CURSOR.fullmatch(text)
        if match is None:
            raise ValueError("a cursor is epoch:number")
        return cls(match[1], int(match[2]))

    def __str__(self) -> str:
        return f"{self.epoch}:{self.number}"


class Frame:
    """One frame; its JSON is wrapped for a websocket or an event stream when first needed."""

    def __init__(self, at: Cursor, now_s: float, **content: Entries) -> None:
        self.at = at
        self.json = encode({"at": str(at), "now": round(now_s, 3), **content})

    @cached_property
    def websocket(self) -> bytes:
        """As one unmasked, final text frame of RFC 6455, without extensions."""
        return _header(len(self.json)) + self.json

    @cached_property
    def event_stream(self) -> bytes:
        """As one event; its id is the cursor to resume with."""
        return b"id: %b\ndata: %b\n\n" % (str(self.at).encode(), self.json)


def encode(value: Any) -> bytes:
    """JSON as it leaves the service; what is no character in UTF-8 becomes a question mark."""
    text = ujson.dumps(value, ensure_ascii=False, escape_forward_slashes=False, allow_nan=False)
    return text.encode(errors="replace")


def _header(length: int) -> bytes:
    if length < 126:
        return bytes((0x81, length))
    if length < 65536:
        return b"\x81\x7e" + length.to_bytes(2, "big")
    return b"\x81\x7f" + length.to_bytes(8, "big")

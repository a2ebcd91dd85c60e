"""JSON pointers (RFC 6901): the path of a value in a JSON text."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from sanic_dispatch.core.rules import members_of

_POINTER = re.compile(r"(/([^~/]|~[01])*)+")
_INDEX = re.compile(r"0|[1-9][0-9]*")
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])


def steps_of(pointer: str) -> tuple[str, ...]:
    """Return the steps of a pointer, such as ``/customer/name``.

    Raises ValueError if it is invalid; so is the empty pointer here, which means the whole text.
    """
    if not _POINTER.fullmatch(pointer):
        raise ValueError("a JSON pointer is like /guest/name")
    return tuple(each.replace("~1", "/").replace("~0", "~") for each in pointer[1:].split("/"))


def value_at(text: bytes, steps: Sequence[str]) -> bytes | None:
    """Return the JSON text of the value that the steps lead to; None if there is none."""
    found: bytes | None = text
    for step in steps:
        if found is None:
            return None
        found = _item(found, step) if found.startswith(b"[") else members_of(found).get(step)
    return found


def _item(array: bytes, step: str) -> bytes | None:
    if not _INDEX.fullmatch(step):
        return None
    items = _ARRAY.decode(array)
    return bytes(items[int(step)]) if int(step) < len(items) else None

"""Strict JSON (RFC 8259): validation of submitted JSON, and parsing that keeps the raw bytes.

What clients submit is checked here once, and carried as its bytes from then on. ujson is too
lenient for that (it accepts NaN, ``-``, ``01``); msgspec, and the standard library's parser with
hooks for constants and overflow, are not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from itertools import accumulate
from json import JSONDecodeError
from math import isinf
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec import Raw

from sanic_dispatch.errors import InvalidJson

E = TypeVar("E")

MAX_DEPTH = 127
"""The deepest accepted nesting; the original's parser, serde_json, has a limit of 128."""

NOT_JSON = (msgspec.MsgspecError, ValueError, RecursionError)
"""The errors that msgspec raises for what is not JSON, or not of the type that is expected."""

_GAP = re.compile(r"[ \t\n\r]*")
_KEY = re.compile(r'[ \t\n\r,]*"([^"\\]*(?:\\.[^"\\]*)*)"[ \t\n\r]*:[ \t\n\r]*')
"""A key of an object in valid JSON, with the comma before it and all up to its value."""
_COMMA = re.compile(r"[ \t\n\r]*,[ \t\n\r]*")
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
"""Opening brackets as +1 and closing ones as -1, as signed bytes."""
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class Entry(NamedTuple):
    """An object within a JSON text: its parsed values, and where it is in the text."""

    values: dict[str, Any]
    text: str
    at: int
    """The index of its first character; ``byte_at`` converts it to bytes."""
    end: int

    def encoded(self) -> bytes:
        """Return the object's own text as UTF-8."""
        return self.text[self.at : self.end].encode()

    def raw(self, wanted: str) -> str:
        """Return the text of the value of this key. Raises KeyError if it is missing."""
        text, at = self.text, self.at + 1
        while key := _KEY.match(text, at):
            _, end = _SCAN(text, key.end())
            if key[1] == wanted:
                return text[key.end() : end]
            at = end
        raise KeyError(wanted)


def is_value(raw: Raw) -> bool:
    """Return whether a text is strict JSON, at any depth; False also for lone surrogates."""
    try:
        _NATIVE.decode(raw)
    except NOT_JSON:
        return False
    return True


def parse(raw: bytes, max_depth: int = MAX_DEPTH) -> Any:
    """Parse strict JSON.

    Raises InvalidJson for anything else: bad UTF-8, a byte order mark, NaN and Infinity, numbers
    out of a double's range, lone surrogates, control characters, trailing data, too deep nesting.
    """
    try:
        value = _NATIVE.decode(raw)
    except NOT_JSON:
        return parse_again(raw, max_depth)
    _check_depth(raw, max_depth)
    return value


def parse_again(raw: bytes, max_depth: int = MAX_DEPTH) -> Any:
    """Return what ``parse`` does, by the standard library's parser, for the reason of an error.

    It takes three times as long for a small order. msgspec takes the same texts, but for numbers of
    hundreds of digits, and nests deeper.
    """
    try:
        value = _DECODER.decode(_text(raw))
    except RecursionError:
        raise InvalidJson(f"nested deeper than {max_depth}") from None
    except ValueError as error:
        raise InvalidJson(f"not JSON: {_plain(error)}") from None
    _check_depth(raw, max_depth)
    _check_surrogates(raw, value)
    return value


def object_at(text: str, at: int) -> tuple[Entry, int]:
    """Parse the object at an index of the text; return it and the index after it.

    Raises JSONDecodeError if there is none.
    """
    _after(text, at, "{")
    values, end = _value_at(text, at)
    return Entry(values, text, at, end), end


def elements(content: bytes) -> list[Raw]:
    """Return the text of each element of a JSON array, which is yet to be parsed.

    Raises InvalidJson if it is no array.
    """
    try:
        return _ARRAY.decode(content)
    except NOT_JSON as error:
        raise InvalidJson(str(error)) from None


def array_entries(content: bytes, entry_at: Callable[[str, int], tuple[E, int]]) -> Iterator[E]:
    """Yield each object of a JSON array; ``entry_at`` is ``object_at`` or an equivalent.

    Raises InvalidJson, with the number of entries before and the byte, for any other content.
    """
    text, number = _text(content), 0
    try:
        at = _gap(text, _after(text, _gap(text, 0), "["))
        is_over = text[at : at + 1] == "]"
        while not is_over:
            entry, at = entry_at(text, at)
            yield entry
            number += 1
            at, is_over = _after_entry(text, at)
        _check_end(text, at + 1)
    except JSONDecodeError as error:
        where = f"after {number} entries, at byte {byte_at(content, error.pos)}"
        raise InvalidJson(f"{error.msg} {where}") from None


def one_object(content: bytes) -> Entry:
    """Parse content that is one object. Raises InvalidJson with the byte of the error."""
    text = _text(content)
    try:
        entry, end = object_at(text, _gap(text, 0))
        _check_end(text, end)
    except JSONDecodeError as error:
        raise InvalidJson(f"{error.msg} at byte {byte_at(content, error.pos)}") from None
    return entry


def value_end(text: str, at: int) -> int:
    """Return the index after the value at this index. Raises JSONDecodeError."""
    return _value_at(text, at)[1]


def _value_at(text: str, at: int) -> tuple[Any, int]:
    try:
        value, end = _SCAN(text, at)
    except StopIteration as stop:
        raise JSONDecodeError("a value is missing", text, stop.value) from None
    except JSONDecodeError:
        raise
    except (ValueError, RecursionError) as error:
        raise JSONDecodeError(str(error), text, at) from None
    return value, end


def byte_at(content: bytes, at: int) -> int:
    """Convert an index into UTF-8 text to an offset in bytes."""
    return len(content.decode("utf-8")[:at].encode("utf-8"))


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidJson(f"not UTF-8 at byte {error.start}") from None


def _gap(text: str, at: int) -> int:
    match = _GAP.match(text, at)
    assert match
    return match.end()


def _after_entry(text: str, at: int) -> tuple[int, bool]:
    """Return the index of the next entry, or of the end of the array and True."""
    if comma := _COMMA.match(text, at):
        return comma.end(), False
    at = _gap(text, at)
    if text[at : at + 1] != "]":
        raise JSONDecodeError("expected ,", text, at)
    return at, True


def _after(text: str, at: int, char: str) -> int:
    if text[at : at + 1] != char:
        raise JSONDecodeError(f"expected {char}", text, at)
    return at + 1


def _check_end(text: str, at: int) -> None:
    if at != len(text) and (end := _gap(text, at)) != len(text):
        raise JSONDecodeError("something follows", text, end)


def _reject_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _bounded_float(text: str) -> float:
    value = float(text)
    if isinf(value):
        raise ValueError("a number is out of range")
    return value


def _plain(error: ValueError) -> str:
    if isinstance(error, JSONDecodeError):
        return f"{error.msg} at character {error.pos}"
    text = str(error)
    return "a number has too many digits" if "set_int_max_str_digits" in text else text


def _check_depth(raw: bytes, max_depth: int) -> None:
    """Sum up the brackets of valid JSON."""
    if raw.count(b"[") + raw.count(b"{") <= max_depth:
        return
    steps = _STRING.sub(b"", raw).translate(_STEPS, _NO_BRACKETS)
    if max(accumulate(memoryview(steps).cast("b")), default=0) > max_depth:
        raise InvalidJson(f"nested deeper than {max_depth}")


def _check_surrogates(raw: bytes, value: Any) -> None:
    """Raise InvalidJson for a lone surrogate; only an escape can produce one."""
    if b"\\" not in raw or (b"\\ud" not in raw and b"\\uD" not in raw):
        return
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidJson("a lone surrogate is not a character") from None


_DECODER = json.JSONDecoder(parse_constant=_reject_constant, parse_float=_bounded_float)
_NATIVE = msgspec.json.Decoder()
_ARRAY = msgspec.json.Decoder(list[Raw])
_SCAN = _DECODER.scan_once  # type: ignore[attr-defined]

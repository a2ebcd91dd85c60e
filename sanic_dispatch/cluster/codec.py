"""The JSON of calls between processes, made from the signatures of what is called.

To encode is one call of ujson: it writes a NamedTuple or a struct as an array, an enumeration as
its value, and bytes (which are JSON or UTF-8 everywhere in this service) as a string. To decode
takes the type hints, of which each becomes a function, once. So a record or a call is described
nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from functools import cache
from inspect import signature
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

import ujson
from msgspec import Struct
from msgspec.structs import astuple

from sanic_dispatch import errors
from sanic_dispatch.errors import DispatchError

Decode = Callable[[Any], Any]

_MISTAKE = "the process that owns the topic made a mistake; it has been logged there"


class Signature(NamedTuple):
    """How the arguments and the reply of a function are decoded."""

    arguments: tuple[Decode, ...]
    keywords: dict[str, Decode]
    reply: Decode


def encode(value: Any) -> bytes:
    """Encode a value. Raises TypeError, ValueError or OverflowError if it has no JSON."""
    text = ujson.dumps(
        value,
        ensure_ascii=False,
        escape_forward_slashes=False,
        reject_bytes=False,
        allow_nan=False,
        default=_simplified,
    )
    return text.encode(errors="surrogatepass")


def _simplified(value: Any) -> Any:
    """Return what ujson writes instead of a value that it does not know."""
    return astuple(value) if isinstance(value, Struct) else str(value)


@cache
def signature_of(function: Callable[..., Any]) -> Signature:
    """Return how calls of a function are decoded; its first parameter does not travel."""
    hints = get_type_hints(function)
    _, *parameters = signature(function).parameters.values()
    positional = [each for each in parameters if each.kind is not each.KEYWORD_ONLY]
    keywords = [each for each in parameters if each.kind is each.KEYWORD_ONLY]
    return Signature(
        tuple(decoder_of(hints[each.name]) for each in positional),
        {each.name: decoder_of(hints[each.name]) for each in keywords},
        decoder_of(hints["return"]),
    )


def encode_error(error: DispatchError) -> list[Any]:
    """Return an error as JSON has it: the name of its class, its text, and its data."""
    return [type(error).__name__, str(error), vars(error)]


def decode_error(name: str, text: str, data: dict[str, Any]) -> DispatchError:
    """Return the error; one of a class that is not known here is a mistake of the other side."""
    kind = _errors().get(name)
    if kind is None:
        return DispatchError(_MISTAKE)
    error = kind.__new__(kind)
    error.args = (text,)
    vars(error).update(data)
    return error


def mistake() -> DispatchError:
    """Return the error that stands for an exception that was logged at the owner."""
    return DispatchError(_MISTAKE)


@cache
def _errors() -> dict[str, type[DispatchError]]:
    found: dict[str, type[DispatchError]] = {}
    kinds: list[type[DispatchError]] = [errors.DispatchError]
    while kinds:
        kind = kinds.pop()
        found[kind.__name__] = kind
        kinds += kind.__subclasses__()
    return found


@cache
def decoder_of(hint: Any) -> Decode:
    """Return the function that makes a value of this type from its JSON."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _optional([each for each in inner if each is not NoneType])
    if hint is bytes:
        return str.encode
    if hint is Path:
        return Path
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint
    if isinstance(hint, type) and issubclass(hint, Struct):
        return _record(hint, hint.__struct_fields__)
    if isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields"):
        return _record(hint, hint._fields)
    if origin is not None and isinstance(origin, type) and issubclass(origin, Sequence):
        return _sequence(origin, inner)
    return _as_it_is


def _optional(inner: Sequence[Any]) -> Decode:
    decoders = {decoder_of(each) for each in inner}
    if decoders == {_as_it_is}:
        return _as_it_is
    (decode,) = decoders  # a union of types that have different JSON cannot be decoded
    return lambda value: None if value is None else decode(value)


def _record(kind: Any, fields: Sequence[str]) -> Decode:
    hints = get_type_hints(kind)
    decoders = [decoder_of(hints[name]) for name in fields]
    special = [(at, each) for at, each in enumerate(decoders) if each is not _as_it_is]

    def decode(values: list[Any]) -> Any:
        for at, decode_one in special:
            values[at] = decode_one(values[at])
        return kind(*values)

    return decode


def _sequence(origin: type, inner: Sequence[Any]) -> Decode:
    decode_one = decoder_of(inner[0])
    if issubclass(origin, tuple):
        if inner[-1] is not Ellipsis:
            decoders = [decoder_of(each) for each in inner]
            return lambda values: tuple(
                decode(value) for decode, value in zip(decoders, values, strict=True)
            )
        return lambda values: tuple(map(decode_one, values))
    if decode_one is _as_it_is:
        return _as_it_is
    return lambda values: list(map(decode_one, values))


def _as_it_is(value: Any) -> Any:
    return value

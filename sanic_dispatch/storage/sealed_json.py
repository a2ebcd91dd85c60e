"""A JSON value with its checksum, for small files that are replaced as a whole."""

from __future__ import annotations

import zlib
from typing import Any

import ujson


def seal_json(value: Any) -> bytes:
    """Encode a value: a JSON array of its CRC-32 and itself, in a line."""
    return _sealed(ujson.dumps(value, escape_forward_slashes=False).encode())


def unseal_json(content: bytes) -> Any:
    """Check and decode a value. Raises ValueError if any byte is not what was written."""
    body = content[_HEAD_BYTES : -len(_END)]
    if content != _sealed(body):
        raise ValueError("its checksum is wrong")
    return ujson.loads(body)


_HEAD_BYTES, _END = len('["00000000",'), b"]\n"


def _sealed(body: bytes) -> bytes:
    return b'["%08x",%b%b' % (zlib.crc32(body), body, _END)

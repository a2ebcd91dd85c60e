"""The Idempotency-Key header (draft-ietf-httpapi-idempotency-key-header).

What a repeated key means is decided in ``core/state_machine.py`` (``_on_submit``); the job's id is
made from it (``core/receipts.py``).
"""

from __future__ import annotations

import re

from sanic_dispatch.errors import InvalidKey
from sanic_dispatch.web.context import Call

_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
_ESCAPE = re.compile(r"\\(.)")
_VISIBLE = re.compile(r"[\x21-\x7e]{1,255}")
_BARE = re.compile(r'[^",;\\]+')


def key_of(request: Call) -> str | None:
    """Return the request's key, or None if it has none. Raises InvalidKey.

    The draft quotes it, many clients send it bare; both are the same key.
    """
    headers = request.headers.getall("idempotency-key", None)
    if headers is None:
        return None
    if len(headers) > 1:
        raise InvalidKey
    key = _unquoted(headers[0].strip())
    if not _VISIBLE.fullmatch(key):
        raise InvalidKey
    return key


def _unquoted(text: str) -> str:
    if quoted := _QUOTED.fullmatch(text):
        return _ESCAPE.sub(r"\1", quoted[1])
    return text if _BARE.fullmatch(text) else ""

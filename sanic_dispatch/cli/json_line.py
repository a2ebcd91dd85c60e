"""JSON as the commands print it."""

from __future__ import annotations

from typing import Any

import ujson


def json_of(value: Any) -> str:
    """Return the value as one line of JSON."""
    return ujson.dumps(value, ensure_ascii=False, escape_forward_slashes=False)

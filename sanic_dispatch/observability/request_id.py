"""Request ids: the request that began a change is named in its reply and in its log lines.

The id is in a context variable: tasks inherit it, and a command is applied in the context of its
request.
"""

from __future__ import annotations

import re
import secrets
from contextvars import ContextVar
from itertools import count

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""Empty for what no request began: recovery and timers."""

_PROCESS = secrets.token_hex(4)
_numbers = count()
"""A generated id is the random id of the process and a number.

It has no more than 15 digits for the first 268 million requests: up to there it takes 64 B for each
event in memory, and 80 B with one more.
"""

_ACCEPTED = re.compile(r"[A-Za-z0-9._~+/=:-]{1,64}")


def begin(given: str | None) -> str:
    """Set the request id: the client's own if it is well-formed, else a new one.

    A well-formed id has 1 to 64 letters, digits and signs of a URL.
    """
    name = given if given and _ACCEPTED.fullmatch(given) else f"{_PROCESS}{next(_numbers):06x}"
    REQUEST_ID.set(name)
    return name

"""Which request began what happens now: a name that goes along, from the answer to the log.

It goes along by itself: what a request begins runs in tasks of its context, and a change is applied
in the context of whoever wanted it.
"""

from __future__ import annotations

import re
import secrets
from contextvars import ContextVar
from itertools import count

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""Empty where no request began it: at the start, or where a timer did."""

_OURS = secrets.token_hex(4)
_numbers = count()
"""What names that are made consist of: the run of the process, and a number."""

_GOOD = re.compile(r"[A-Za-z0-9._~+/=:-]{1,64}")


def begin(given: str | None) -> str:
    """A request begins: what it calls itself, where that is a plain word; else a new name."""
    name = given if given and _GOOD.fullmatch(given) else f"{_OURS}{next(_numbers):08x}"
    REQUEST_ID.set(name)
    return name

"""Where a command arrived that another process has forwarded."""

from __future__ import annotations

from contextvars import ContextVar
from typing import NamedTuple


class Origin(NamedTuple):
    """The process that forwarded a command, by the random id of its run, and the call's number.

    ``oldest`` is the number of the oldest call that the process still waits for: it repeats none
    before that.
    """

    run: str
    number: int
    oldest: int


ORIGIN: ContextVar[Origin | None] = ContextVar("origin", default=None)
"""None for what arrived here.

Tasks inherit it, so what a forwarded request leads to later may have it, too.
"""

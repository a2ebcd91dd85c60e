"""Why a websocket of a page or of a worker is closed: RFC 6455's codes, and 4000 plus an HTTP
status.

``web/routes/live_channel.py`` chooses the status with which a view is refused.
"""

from __future__ import annotations

ABNORMAL = 1006
"""The connection broke, or the client did not read."""

NOT_UTF8 = 1007
"""A text frame was not UTF-8."""

RESTART = 1012
"""The service stops: come back."""

CLIENT_SPOKE = 4400
"""The client sent something, or asked with a bad query: do not come back with the same.

At ``/work``: what it sent could not be read, again and again, or was too much.
"""

UNAUTHORIZED = 4401
"""The monitor needs the operator's token, and ``/work`` the workers'."""

OTHER_SITE = 4403
"""The page is of another site."""

UNKNOWN_JOB = 4404
"""There is no such order, or not any more."""

REPLACED = 4409
"""Another connection of the same worker has taken over."""

TRY_LATER = 4503
"""Too many connections, or another process owns the queues, or may own them: come back."""


def of_status(status: int) -> int:
    """Return the close code for a request that was refused with this HTTP status."""
    return 4000 + status


def is_final(code: int) -> bool:
    """Whether a client must not come back: codes from 4400 to 4499."""
    return 4400 <= code < 4500


def status_of(code: int) -> int:
    """Return the HTTP status of a close code above 4000."""
    return code - 4000

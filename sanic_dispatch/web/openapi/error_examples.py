"""Every error there is, with its status and an example: docs/protocol.md has the same table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

RETRY = {"Retry-After": "1"}


class Problem(NamedTuple):
    """An error by its word."""

    status: int
    detail: str
    headers: Mapping[str, str] = {}

    @property
    def anchor(self) -> str:
        """What its response is known by."""
        return f"problem_{self.status}"


PROBLEMS: dict[str, Problem] = {
    "InvalidJson": Problem(400, "not JSON: NaN is not JSON"),
    "InvalidRequest": Problem(400, "send a JSON object"),
    "InvalidIdempotencyKey": Problem(
        400, "an Idempotency-Key has 1 to 255 visible ASCII characters, quoted or bare"
    ),
    "Missing": Problem(400, "there is no CPEE-CALLBACK header"),
    "NotAString": Problem(400, "CPEE-CALLBACK is not visible ASCII"),
    "NotAUrl": Problem(400, "CPEE-CALLBACK: not an absolute URL with a scheme and a host"),
    "BadRequest": Problem(400, "view is board or monitor"),
    "Unauthorized": Problem(
        401, "the worker's token is needed", {"WWW-Authenticate": 'Bearer realm="worker"'}
    ),
    "NotAllowed": Problem(403, "the address is link-local"),
    "UnknownJob": Problem(404, "no such job is known"),
    "UnknownWorker": Problem(404, "no worker of that callback waits"),
    "NotFound": Problem(404, "Nothing matches the given URI"),
    "MethodNotAllowed": Problem(
        405, "Specified method is invalid for this resource", {"Allow": "GET"}
    ),
    "RequestTimeout": Problem(408, "Request timed out; try again"),
    "WrongState": Problem(409, "cannot cancel: the job is assigned"),
    "NotTheHolder": Problem(409, "only the worker that holds the job can do this"),
    "StillUnderWay": Problem(
        409, "the first request with this Idempotency-Key is still under way", RETRY
    ),
    "TooLarge": Problem(413, "a body may have 2097152 bytes"),
    "UnsupportedMediaType": Problem(415, "send the job as application/json"),
    "ExpectationFailed": Problem(417, "Expect condition could not be satisfied"),
    "IdempotencyMismatch": Problem(422, "this Idempotency-Key was used for another job"),
    "UpgradeRequired": Problem(
        426,
        "Failed to open a WebSocket connection: missing Connection header.",
        {"Upgrade": "websocket"},
    ),
    "TooManyOrders": Problem(
        429,
        "one address may send 30 orders a minute",
        {
            "Retry-After": "2",
            "RateLimit": '"orders";r=0;t=2',
            "RateLimit-Policy": '"orders";q=30;w=60',
        },
    ),
    "InternalServerError": Problem(500, "the service made a mistake; it has been logged"),
    "QueueFull": Problem(503, "100000 are waiting already", {"Retry-After": "10"}),
    "ShuttingDown": Problem(503, "the service is shutting down", RETRY),
    "StorageFailed": Problem(
        503, "the change could not be written: [Errno 28] No space left on device", RETRY
    ),
    "NotReady": Problem(503, "nothing can be written: [Errno 28] No space left on device", RETRY),
    "TooManyClients": Problem(503, "20000 are following already", RETRY),
    "OutOfReach": Problem(503, "the queues are out of reach", RETRY),
}

ANYWHERE = ("BadRequest", "RequestTimeout", "TooLarge", "ExpectationFailed", "InternalServerError")
"""What any request can meet: no HTTP, too slow, head or body too large; or our own mistake."""

NO_OPERATION = ("NotFound", "MethodNotAllowed")
"""What a path or method meets that is in no document."""

"""Everything that can go wrong, as one tree.

    DispatchError
    ├── StartError               cannot start: one line on stderr, exit code ≠ 0
    │   ├── SettingsError        settings that are wrong or contradict each other (exit 2)
    │   ├── PortUnavailable      the port is taken, or not ours to take
    │   ├── DataFolderUnusable   missing, not a folder, not writable
    │   ├── DataFolderInUse      another process owns it
    │   ├── NotAQueue            a file that cannot be read as what it should hold
    │   ├── RedisUnusable        not there, or what is there is not ours
    │   ├── RedisInUse           another dispatcher owns the queues there
    │   ├── NothingStored        a folder without anything to move, in this mode
    │   ├── FolderNotEmpty       something is stored already where something is to be moved to
    │   └── BrokenTransfer       what is to be moved did not come whole
    ├── Unauthorized             no token, or a wrong one
    ├── TooManyOrders            more in a minute than one address may send
    ├── InvalidRequest           the sender can mend it
    │   ├── WrongMediaType       does not say that it is JSON
    │   ├── BodyTooLarge         larger than is accepted
    │   ├── InvalidJson          not strict JSON, or nested too deeply
    │   ├── InvalidKey           an Idempotency-Key that is none
    │   ├── InvalidCallback      CPEE-CALLBACK missing, not a string, not a URL
    │   └── CallbackForbidden    the address guard says no
    ├── UnknownJob               no such job, or no longer kept
    ├── UnknownWorker            no such worker waits
    ├── WrongState               the job's state does not allow this act
    ├── NotTheHolder             somebody else holds the job
    ├── IdempotencyMismatch      that idempotency key came with another body before
    ├── StillUnderWay            the first request with that idempotency key is not answered yet
    ├── QueueFull                as many wait as may wait
    ├── ShuttingDown             takes nothing new any more
    ├── StandingBy               another process owns the queues
    └── StorageError
        ├── StorageFailed        a write did not succeed: nothing was acknowledged
        ├── OutcomeUnknown       a write may have succeeded: nobody knows yet
        └── LostOwnership        another process owns the queues: nothing was written

Errors carry data and end in a plain fact. ``code`` is the word for an error in a problem document,
and ``PROBLEMS`` says for each code what is answered over HTTP: problem documents, OpenAPI and the
table in docs/protocol.md are made from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple


class DispatchError(Exception):
    """The root of the tree."""

    code = "InternalServerError"
    """The key in ``PROBLEMS``; only errors of a start have none of their own."""


class StartError(DispatchError):
    """The service cannot start; the text is the one line that the operator sees."""

    exit_code = 1


class SettingsError(StartError):
    """Settings that are wrong or contradict each other."""

    exit_code = 2


class PortUnavailable(StartError):
    """The address cannot be listened on."""

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(f"cannot listen on {host or 'all interfaces'} port {port}: {reason}")


class DataFolderUnusable(StartError):
    """The data folder is missing, no folder, or not writable."""

    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(f"data folder {folder}: {reason}")


class DataFolderInUse(StartError):
    """Another process owns the data folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"data folder {folder} is used by another dispatcher")


class NotAQueue(StartError):
    """A file that cannot be read as what it should hold; it is left untouched."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}; the file was left as it is")
        self.path = path
        self.reason = reason


class RedisUnusable(StartError):
    """Redis cannot be reached, or what is there cannot be read as our queues."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"Redis at {where}: {reason}; nothing there was changed")


class RedisInUse(StartError):
    """Another dispatcher owns the queues in Redis."""

    def __init__(self, where: str, owner: str = "") -> None:
        named = f" ({owner})" if owner else ""
        super().__init__(f"Redis at {where}: another dispatcher{named} owns the queues there")


class NothingStored(StartError):
    """Nothing is stored in this mode."""

    def __init__(self, folder: Path, mode: str) -> None:
        super().__init__(f"data folder {folder} holds nothing of the mode {mode}")


class FolderNotEmpty(StartError):
    """Something is stored there already."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is there already; import into a folder without it")


class BrokenTransfer(StartError):
    """What is to be moved did not come whole, or did not arrive whole."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"nothing was stored, the export is not whole: {reason}")


class Unauthorized(DispatchError):
    """No token, or one that does not open this door; nobody is told which."""

    code = "Unauthorized"

    def __init__(self, door: str) -> None:
        super().__init__(f"the {door} token is needed")
        self.door = door


class TooManyOrders(DispatchError):
    """More in a minute than one address may send."""

    code = "TooManyOrders"

    def __init__(self, per_minute: int, wait_s: float) -> None:
        super().__init__(f"one address may send {per_minute} orders a minute")
        self.per_minute = per_minute
        self.wait_s = wait_s


class InvalidRequest(DispatchError):
    """What came in is not acceptable, and the sender can mend it."""

    code = "InvalidRequest"


class WrongMediaType(InvalidRequest):
    """The body does not say that it is JSON."""

    code = "UnsupportedMediaType"

    def __init__(self) -> None:
        super().__init__("send the job as application/json")


class BodyTooLarge(InvalidRequest):
    """The body is larger than is accepted."""

    code = "TooLarge"

    def __init__(self, limit: int) -> None:
        super().__init__(f"a body may have {limit} bytes")
        self.limit = limit


class InvalidJson(InvalidRequest):
    """Not strict JSON (RFC 8259), or nested more deeply than is accepted."""

    code = "InvalidJson"


class InvalidKey(InvalidRequest):
    """The Idempotency-Key header is neither a quoted string nor a bare word."""

    code = "InvalidIdempotencyKey"

    def __init__(self) -> None:
        super().__init__("an Idempotency-Key has 1 to 255 visible ASCII characters, quoted or bare")


class InvalidCallback(InvalidRequest):
    """The CPEE-CALLBACK header; ``code`` is the original's word for what is wrong with it."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class CallbackForbidden(DispatchError):
    """The address guard does not let this callback be called."""

    code = "NotAllowed"


class UnknownJob(DispatchError):
    """No job of that id is known, or it is no longer kept."""

    code = "UnknownJob"

    def __init__(self) -> None:
        super().__init__("no such job is known")


class UnknownWorker(DispatchError):
    """No worker of that callback waits."""

    code = "UnknownWorker"

    def __init__(self) -> None:
        super().__init__("no worker of that callback waits")


class WrongState(DispatchError):
    """The job's state does not allow this act."""

    code = "WrongState"

    def __init__(self, act: str, state: str) -> None:
        super().__init__(f"cannot {act}: the job is {state}")
        self.state = state


class NotTheHolder(DispatchError):
    """Somebody else holds the job, or nobody does."""

    code = "NotTheHolder"

    def __init__(self, state: str) -> None:
        super().__init__("only the worker that holds the job can do this")
        self.state = state


class IdempotencyMismatch(DispatchError):
    """That idempotency key came with another body before."""

    code = "IdempotencyMismatch"

    def __init__(self) -> None:
        super().__init__("this Idempotency-Key was used for another job")


class StillUnderWay(DispatchError):
    """The first request with that idempotency key is not answered yet."""

    code = "StillUnderWay"

    def __init__(self) -> None:
        super().__init__("the first request with this Idempotency-Key is still under way")


class QueueFull(DispatchError):
    """As many wait as may wait."""

    code = "QueueFull"

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} are waiting already")
        self.limit = limit


class ShuttingDown(DispatchError):
    """The service is stopping and takes nothing new."""

    code = "ShuttingDown"

    def __init__(self) -> None:
        super().__init__("the service is shutting down")


class StandingBy(DispatchError):
    """Another process owns the queues; this one takes over when that one is gone."""

    code = "NotReady"

    def __init__(self, owner: str = "") -> None:
        super().__init__(f"standing by: {owner or 'another dispatcher'} owns the queues")


class StorageError(DispatchError):
    """The queue did not take the change."""

    code = "StorageFailed"


class StorageFailed(StorageError):
    """A write did not succeed; nothing changed and nothing was acknowledged."""


class OutcomeUnknown(StorageError):
    """A write may have succeeded, or may still do so: it has to be repeated until that is known."""


class LostOwnership(StorageError):
    """Another process owns the queues, or the store has lost what was committed.

    Nothing of the batch was applied by this call. An earlier call of the same batch whose outcome
    is unknown may have been: what the queues have now shows when they are loaded again.
    """

    def __init__(self, owner: str = "", reason: str = "") -> None:
        super().__init__(reason or f"{owner or 'another dispatcher'} owns the queues now")
        self.owner = owner


class Problem(NamedTuple):
    """What is answered over HTTP where a request fails.

    ``detail`` is an example and ``note`` what docs/protocol.md adds to it. ``headers`` are examples
    too, but for Retry-After, which is sent as it stands here; ``members`` says what the problem
    document has besides.
    """

    status: int
    detail: str
    note: str = ""
    headers: Mapping[str, str] = MappingProxyType({})
    members: str = ""


_SOON = {"Retry-After": "1"}
"""For what recovers by itself: a storage, or a service that is taken over."""

PROBLEMS: dict[str, Problem] = {
    "InvalidJson": Problem(400, "not JSON: NaN is not JSON"),
    "InvalidRequest": Problem(400, "state is one of waiting, assigned, done, failed, cancelled"),
    "InvalidIdempotencyKey": Problem(
        400, "an Idempotency-Key has 1 to 255 visible ASCII characters, quoted or bare"
    ),
    "Missing": Problem(400, "there is no CPEE-CALLBACK header"),
    "NotAString": Problem(400, "CPEE-CALLBACK is not visible ASCII"),
    "NotAUrl": Problem(400, "CPEE-CALLBACK: not an absolute URL with a scheme and a host"),
    "BadRequest": Problem(400, "view is board or monitor", "; or the request is no HTTP"),
    "Unauthorized": Problem(
        401,
        "the worker token is needed",
        ", the same whatever was shown",
        {"WWW-Authenticate": 'Bearer realm="worker"'},
    ),
    "NotAllowed": Problem(403, "the address is link-local"),
    "UnknownJob": Problem(404, "no such job is known"),
    "UnknownWorker": Problem(404, "no worker of that callback waits"),
    "NotFound": Problem(404, "Nothing matches the given URI"),
    "MethodNotAllowed": Problem(
        405, "Specified method is invalid for this resource", headers={"Allow": "GET"}
    ),
    "RequestTimeout": Problem(
        408,
        "Request timed out; try again",
        ": it did not arrive within `--request-timeout`",
        members="the connection is closed",
    ),
    "WrongState": Problem(
        409, "cannot cancel: the job is assigned", members='`"state":"assigned"`'
    ),
    "NotTheHolder": Problem(
        409, "only the worker that holds the job can do this", members='`"state":"assigned"`'
    ),
    "StillUnderWay": Problem(
        409, "the first request with this Idempotency-Key is still under way", headers=_SOON
    ),
    "TooLarge": Problem(
        413,
        "a body may have 2097152 bytes",
        "; or the head of the request (its path and headers) is over 8 KiB",
    ),
    "UnsupportedMediaType": Problem(415, "send the job as application/json"),
    "ExpectationFailed": Problem(417, "Expect condition could not be satisfied"),
    "IdempotencyMismatch": Problem(422, "this Idempotency-Key was used for another job"),
    "UpgradeRequired": Problem(
        426,
        "Failed to open a WebSocket connection: missing Connection header.",
        " and so on",
        {"Upgrade": "websocket"},
    ),
    "TooManyOrders": Problem(
        429,
        "one address may send 30 orders a minute",
        headers={
            "Retry-After": "2",
            "RateLimit": '"orders";r=0;t=2',
            "RateLimit-Policy": '"orders";q=30;w=60',
        },
    ),
    "InternalServerError": Problem(500, "the service made a mistake; it has been logged"),
    "ServiceUnavailable": Problem(
        503,
        "The server cannot process the request due to a high load",
        ": the answer took longer than a minute",
        _SOON,
    ),
    "QueueFull": Problem(
        503,
        "100000 are waiting already",
        headers={"Retry-After": "10"},  # a queue has to move first
        members='of jobs also `"eta":[1732412940.0,1732413540.0]`, when a job that came now would '
        "be ready, or null",
    ),
    "ShuttingDown": Problem(503, "the service is shutting down", headers=_SOON),
    "StorageFailed": Problem(
        503,
        "the change could not be written: [Errno 28] No space left on device",
        ": why the write did not succeed",
        _SOON,
    ),
    "NotReady": Problem(
        503,
        "nothing can be written: [Errno 28] No space left on device",
        ", on `/ready`; on any other request `standing by: bar-1:2567 owns the queues`: ask that "
        "one, or again",
        _SOON,
    ),
    "TooManyClients": Problem(503, "20000 are following already", headers=_SOON),
    "OutOfReach": Problem(
        503,
        "the queues are out of reach",
        ": the live channel of a dispatcher that does not own them",
        _SOON,
    ),
}
"""Every error over HTTP by its code, those that Sanic finds included."""

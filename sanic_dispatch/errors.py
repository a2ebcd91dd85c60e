"""All errors of the service, in one tree.

    DispatchError
    ├── StartError               cannot start: one line on stderr, exit code ≠ 0
    │   ├── SettingsError        a setting is wrong, or two contradict each other (exit 2)
    │   ├── PortUnavailable      the port is taken, or needs privileges
    │   ├── DataFolderUnusable   missing, not a folder, not writable
    │   ├── DataFolderInUse      another process owns it
    │   ├── NotAQueue            a file cannot be read as a queue
    │   ├── RedisUnusable        no connection, or data that is not ours
    │   ├── RedisInUse           another dispatcher owns its queues
    │   ├── NothingStored        nothing to export from the folder in this mode
    │   ├── NoHistory            no events are stored in this folder
    │   ├── UnusableReplay       what is to be run again is not there, or contradicts itself
    │   ├── FolderNotEmpty       the folder to import into is not empty
    │   └── BrokenTransfer       an export is incomplete or damaged
    ├── Unauthorized             no token, or a wrong one
    ├── TooManyOrders            more in a minute than one address may send
    ├── InvalidRequest           the sender can correct it
    │   ├── WrongMediaType       does not say that it is JSON
    │   ├── BodyTooLarge         larger than is accepted
    │   ├── InvalidJson          not strict JSON, or nested too deeply
    │   ├── InvalidKey           a malformed Idempotency-Key
    │   ├── InvalidCallback      CPEE-CALLBACK missing, not a string, not a URL; a webhook's no URL
    │   ├── CallbackForbidden    the address guard refuses the callback
    │   ├── InvalidMatch         what a worker says it takes is no rule
    │   ├── InvalidPriority      Job-Priority is none of 0 to 7
    │   └── FolderRefused        a backup cannot be written to this folder
    ├── UnknownJob               no such job, or no longer kept
    ├── UnknownWorker            no such worker is waiting
    ├── UnknownTopic             no topic of that name
    ├── UnknownWebhook           no webhook of that id
    ├── WebhookConfigured        the webhook is in the settings file
    ├── WrongState               the job's state does not allow this act
    ├── NotTheHolder             the reporter does not hold the job
    ├── IdempotencyMismatch      the idempotency key was used with another body
    ├── StillUnderWay            the first request with that idempotency key is not answered yet
    ├── BackupUnderWay           another backup is being made
    ├── QueueFull                the queue has reached its limit
    ├── TooManyRules             as many different rules as may be are in use
    ├── TooManyWebhooks          the topic has as many webhooks as may be
    ├── ShuttingDown             the service takes nothing new
    ├── StandingBy               another process owns the queues
    ├── OwnerUnreachable         another process owns the queues, and does not answer
    └── StorageError
        ├── StorageFailed        a write failed: nothing was acknowledged
        ├── OutcomeUnknown       a write may have succeeded: it has to be repeated
        └── LostOwnership        another process owns the queues: nothing was written

An error has data, and a message that states a fact. ``code`` is its code in a problem document.
``PROBLEMS`` has the HTTP answer for each code: problem documents, OpenAPI and the table in
docs/protocol.md are made from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple


class DispatchError(Exception):
    """The root of the tree."""

    code = "InternalServerError"
    """The key in ``PROBLEMS``; errors of the start have none of their own."""

    def __init__(self, text: str | None = None) -> None:
        """By default the text is that in ``PROBLEMS``, for errors that are always the same."""
        super().__init__(PROBLEMS[self.code].detail if text is None else text)


class StartError(DispatchError):
    """The service cannot start; the text is the one line that the operator sees."""

    exit_code = 1


class SettingsError(StartError):
    """A setting is wrong, or two contradict each other."""

    exit_code = 2


class PortUnavailable(StartError):
    """The service cannot listen on this address."""

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
    """A file cannot be read as a queue; it is left untouched."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path}: {reason}; the file was left as it is (sanic-dispatch check says more, and "
            "serve --repair sets damaged entries of queues and journals aside)"
        )
        self.path = path
        self.reason = reason


class RedisUnusable(StartError):
    """Redis cannot be reached, or its data cannot be read as our queues."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"Redis at {where}: {reason}; nothing there was changed")


class RedisInUse(StartError):
    """Another dispatcher owns the queues in Redis."""

    def __init__(self, where: str, owner: str = "") -> None:
        named = f" ({owner})" if owner else ""
        super().__init__(f"Redis at {where}: another dispatcher{named} owns the queues there")


class NothingStored(StartError):
    """The folder has nothing of this mode to export."""

    def __init__(self, folder: Path, mode: str) -> None:
        super().__init__(f"data folder {folder} holds nothing of the mode {mode}")


class NoHistory(StartError):
    """No events are stored in this data folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"data folder {folder} holds no history")


class UnusableReplay(StartError):
    """A replay is impossible: the log lacks what it needs, or its options contradict each other."""

    exit_code = 2


class FolderNotEmpty(StartError):
    """The folder to import into has data already."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is there already; import into a folder without it")


class BrokenTransfer(StartError):
    """An export is incomplete or damaged, or was not stored completely."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"nothing was stored, the export is not whole: {reason}")


class Unauthorized(DispatchError):
    """No token, or a wrong one; the answer does not say which."""

    code = "Unauthorized"

    def __init__(self, role: str) -> None:
        super().__init__(f"the {role} token is needed")
        self.role = role


class TooManyOrders(DispatchError):
    """An address has sent more orders than it may in a minute."""

    code = "TooManyOrders"

    def __init__(self, per_minute: int, wait_s: float) -> None:
        super().__init__(f"one address may send {per_minute} orders a minute")
        self.wait_s = wait_s


class InvalidRequest(DispatchError):
    """The request is invalid, and the sender can correct it."""

    code = "InvalidRequest"


class MomentInHole(InvalidRequest):
    """Events around a moment are not there; ``from_s`` is that of the last one before it."""

    def __init__(self, from_s: float, begin: str, end: str) -> None:
        super().__init__(f"moment is in a hole of the history, from {begin} to {end}")
        self.from_s = from_s


class WrongMediaType(InvalidRequest):
    """The body's media type is not JSON."""

    code = "UnsupportedMediaType"


class BodyTooLarge(InvalidRequest):
    """The body is larger than is accepted."""

    code = "TooLarge"

    def __init__(self, limit: int) -> None:
        super().__init__(f"a body may have {limit} bytes")


class InvalidJson(InvalidRequest):
    """Not strict JSON (RFC 8259), or nested more deeply than is accepted."""

    code = "InvalidJson"


class InvalidKey(InvalidRequest):
    """The Idempotency-Key header is neither a quoted string nor a bare word."""

    code = "InvalidIdempotencyKey"


class InvalidCallback(InvalidRequest):
    """The CPEE-CALLBACK header, or a webhook's URL, is invalid.

    ``code`` is the word of the original service.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class CallbackForbidden(DispatchError):
    """The address guard refuses to call this callback."""

    code = "NotAllowed"


MAX_WHERE_CHARS = 100
"""How much of an argument's name an error repeats."""


class InvalidMatch(InvalidRequest):
    """A worker registered with a malformed rule about the jobs that it takes."""

    code = "InvalidMatch"

    def __init__(self, where: str, why: str) -> None:
        self.where = where[:MAX_WHERE_CHARS]
        self.why = why
        super().__init__(f"{self.where} {why}")


class InvalidPriority(InvalidRequest):
    """A priority is none of 0 to 7."""

    code = "InvalidPriority"

    def __init__(self, given: object) -> None:
        super().__init__(f"a priority is a whole number from 0 to 7, not {given!r:.40}")


class FolderRefused(InvalidRequest):
    """A backup cannot be written to this folder."""

    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(f"{folder}: {reason}")


class UnknownJob(DispatchError):
    """No job of that id is known, or it is no longer kept."""

    code = "UnknownJob"


class UnknownWorker(DispatchError):
    """No worker is waiting on that callback."""

    code = "UnknownWorker"


class UnknownTopic(DispatchError):
    """There is no topic of that name."""

    code = "UnknownTopic"

    def __init__(self, name: str, meant: str | None = None) -> None:
        hint = f"; did you mean {meant!r}?" if meant else ""
        super().__init__(f"there is no topic {name!r}{hint}")


class UnknownWebhook(DispatchError):
    """There is no webhook of that id."""

    code = "UnknownWebhook"


class WebhookConfigured(DispatchError):
    """The webhook is in the settings file, and is changed there."""

    code = "WebhookConfigured"


class WrongState(DispatchError):
    """The job's state does not allow this act."""

    code = "WrongState"

    def __init__(self, act: str, state: str) -> None:
        super().__init__(f"cannot {act}: the job is {state}")
        self.state = state


class AlreadyRegistered(WrongState):
    """A worker's connection registers although it waits already, or has a job."""

    def __init__(self) -> None:
        DispatchError.__init__(self, "this connection is registered, or has a job")
        self.state = ""


class WorkerHasJob(WrongState):
    """A worker withdraws although it has a job."""

    def __init__(self, job_id: str, ticket: int) -> None:
        super().__init__("withdraw its worker", "assigned")
        self.job = {"id": job_id, "ticket": ticket}


class NotTheHolder(DispatchError):
    """The reporter does not hold the job."""

    code = "NotTheHolder"

    def __init__(self, state: str) -> None:
        super().__init__("only the worker that holds the job can do this")
        self.state = state


class IdempotencyMismatch(DispatchError):
    """The idempotency key was used with another body before."""

    code = "IdempotencyMismatch"


class StillUnderWay(DispatchError):
    """The first request with that idempotency key is not answered yet."""

    code = "StillUnderWay"


class BackupUnderWay(DispatchError):
    """Another backup is being made."""

    code = "BackupUnderWay"


class QueueFull(DispatchError):
    """The limit of waiting jobs, or of waiting workers, is reached."""

    code = "QueueFull"

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} are waiting already")


class TooManyRules(DispatchError):
    """The present workers already have as many different rules as ``--max-rules`` allows."""

    code = "TooManyRules"

    def __init__(self, limit: int) -> None:
        super().__init__(f"workers with {limit} different rules are present already")


class TooManyWebhooks(DispatchError):
    """The topic has as many webhooks as may be."""

    code = "TooManyWebhooks"

    def __init__(self, limit: int) -> None:
        super().__init__(f"there are {limit} webhooks already")


class TooManySubscriptions(DispatchError):
    """The job has as many push subscriptions as may be."""

    code = "TooManySubscriptions"

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} phones are told of this order already")


class UnknownSubscription(DispatchError):
    """No push subscription of that id is kept."""

    code = "UnknownSubscription"


class ShuttingDown(DispatchError):
    """The service is stopping and takes nothing new."""

    code = "ShuttingDown"


class StandingBy(DispatchError):
    """Another process owns the queues; this one takes over when that one is gone."""

    code = "NotReady"

    def __init__(self, owner: str = "") -> None:
        super().__init__(f"standing by: {owner or 'another dispatcher'} owns the queues")


class OwnerUnreachable(DispatchError):
    """The process that owns the queues could not be reached, or its answer got lost."""

    code = "OwnerUnreachable"

    def __init__(self, owner: str, reason: str, *, was_sent: bool) -> None:
        what = "it may have been carried out" if was_sent else "it was not carried out"
        super().__init__(f"no answer from the owner of the queues, {owner}: {reason}; {what}")


class StorageError(DispatchError):
    """The storage did not take a change."""

    code = "StorageFailed"


class StorageFailed(StorageError):
    """A write failed; nothing changed and nothing was acknowledged."""


class OutcomeUnknown(StorageError):
    """A write may have succeeded, or may still do so: it has to be repeated until that is known."""


class LostOwnership(StorageError):
    """Another process owns the queues, or the store has lost what was committed.

    This call has written nothing of the batch. An earlier call with the same batch, whose outcome
    is unknown, may have written it: that shows when the queues are loaded again.
    """

    def __init__(self, owner: str = "", reason: str = "") -> None:
        super().__init__(reason or f"{owner or 'another dispatcher'} owns the queues now")
        self.owner = owner


class Problem(NamedTuple):
    """The HTTP answer to a request that failed.

    ``detail`` is an example, unless the error is always the same, and docs/protocol.md adds
    ``note`` to it. ``headers`` are examples too, except Retry-After, which is sent with this value.
    ``members`` describes further members of the problem document.
    """

    status: int
    detail: str
    note: str = ""
    headers: Mapping[str, str] = MappingProxyType({})
    members: str = ""


_SOON = {"Retry-After": "1"}
"""For errors that pass: the storage recovers, or another process takes over."""

PROBLEMS: dict[str, Problem] = {
    "InvalidJson": Problem(400, "not JSON: NaN is not JSON"),
    "InvalidRequest": Problem(400, "state is one of waiting, assigned, done, failed, cancelled"),
    "InvalidIdempotencyKey": Problem(
        400, "an Idempotency-Key has 1 to 255 visible ASCII characters, quoted or bare"
    ),
    "InvalidMatch": Problem(
        400,
        "match. names no member: match.drink and not.size.unit do",
        members='`"where":"match."`, `"why":"names no member: …"`',
    ),
    "InvalidPriority": Problem(400, "a priority is a whole number from 0 to 7, not 'high'"),
    "Missing": Problem(400, "there is no CPEE-CALLBACK header"),
    "NotAString": Problem(400, "CPEE-CALLBACK is not visible ASCII"),
    "NotAUrl": Problem(400, "CPEE-CALLBACK: not an absolute URL with a scheme and a host"),
    "BadRequest": Problem(400, "view is board or monitor", "; or the request is not HTTP"),
    "Unauthorized": Problem(
        401,
        "the worker token is needed",
        ", the same without a token and with a wrong one",
        {"WWW-Authenticate": 'Bearer realm="worker"'},
    ),
    "NotAllowed": Problem(403, "the address is link-local"),
    "UnknownJob": Problem(404, "no such job is known"),
    "UnknownWorker": Problem(404, "no worker of that callback waits"),
    "UnknownTopic": Problem(404, "there is no topic 'bear'; did you mean 'beer'?"),
    "UnknownWebhook": Problem(404, "there is no webhook of that id"),
    "UnknownSubscription": Problem(404, "there is no push subscription of that id"),
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
    "WebhookConfigured": Problem(409, "the webhook is in the settings file: change it there"),
    "TooManyWebhooks": Problem(409, "there are 1000 webhooks already"),
    "TooManySubscriptions": Problem(409, "3 phones are told of this order already"),
    "BackupUnderWay": Problem(409, "another backup is being made", headers=_SOON),
    "TooLarge": Problem(
        413,
        "a body may have 2097152 bytes",
        "; or the head of the request (its path and headers) is over 8 KiB",
    ),
    "UnsupportedMediaType": Problem(415, "send the body as application/json"),
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
        headers={"Retry-After": "10"},  # the queue has to get shorter first
        members='of jobs also `"eta":[1732412940.0,1732413540.0]`, when a job submitted now would '
        "be ready, or null",
    ),
    "TooManyRules": Problem(
        503,
        "workers with 100 different rules are present already",
        headers={"Retry-After": "10"},  # workers with other rules have to leave first
    ),
    "ShuttingDown": Problem(503, "the service is shutting down", headers=_SOON),
    "StorageFailed": Problem(
        503,
        "the change could not be written: [Errno 28] No space left on device",
        ": why the write failed",
        _SOON,
    ),
    "NotReady": Problem(
        503,
        "nothing can be written: [Errno 28] No space left on device",
        ", on `/ready`; on any other request `standing by: bar-1:2567 owns the queues`: ask that "
        "one, or retry",
        _SOON,
    ),
    "OwnerUnreachable": Problem(
        503,
        "no answer from the owner of the queues, bar-1:2567: the link broke; it may have been "
        "carried out",
        ": repeat it with the same Idempotency-Key",
        _SOON,
    ),
    "TooManyClients": Problem(503, "20000 are connected already", headers=_SOON),
    "OutOfReach": Problem(
        503,
        "the queues are out of reach",
        ": the live channel of a dispatcher that does not own them",
        _SOON,
    ),
}
"""Every error over HTTP by its code, including the errors that Sanic raises."""

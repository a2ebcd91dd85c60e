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

Errors carry data and end in a plain fact. None knows an HTTP status: web/problems.py has the map.
"""

from __future__ import annotations

from pathlib import Path


class DispatchError(Exception):
    """The root of the tree."""


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

    def __init__(self, door: str) -> None:
        super().__init__(f"the {door} token is needed")
        self.door = door


class TooManyOrders(DispatchError):
    """More in a minute than one address may send."""

    def __init__(self, per_minute: int, wait_s: float) -> None:
        super().__init__(f"one address may send {per_minute} orders a minute")
        self.per_minute = per_minute
        self.wait_s = wait_s


class InvalidRequest(DispatchError):
    """What came in is not acceptable, and the sender can mend it."""


class WrongMediaType(InvalidRequest):
    """The body does not say that it is JSON."""

    def __init__(self) -> None:
        super().__init__("send the job as application/json")


class BodyTooLarge(InvalidRequest):
    """The body is larger than is accepted."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"a body may have {limit} bytes")
        self.limit = limit


class InvalidJson(InvalidRequest):
    """Not strict JSON (RFC 8259), or nested more deeply than is accepted."""


class InvalidKey(InvalidRequest):
    """The Idempotency-Key header is neither a quoted string nor a bare word."""

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

    def __init__(self) -> None:
        super().__init__("no such job is known")


class UnknownWorker(DispatchError):
    """No worker of that callback waits."""

    def __init__(self) -> None:
        super().__init__("no worker of that callback waits")


class WrongState(DispatchError):
    """The job's state does not allow this act."""

    def __init__(self, act: str, state: str) -> None:
        super().__init__(f"cannot {act}: the job is {state}")
        self.state = state


class NotTheHolder(DispatchError):
    """Somebody else holds the job, or nobody does."""

    def __init__(self, state: str) -> None:
        super().__init__("only the worker that holds the job can do this")
        self.state = state


class IdempotencyMismatch(DispatchError):
    """That idempotency key came with another body before."""

    def __init__(self) -> None:
        super().__init__("this Idempotency-Key was used for another job")


class StillUnderWay(DispatchError):
    """The first request with that idempotency key is not answered yet."""

    def __init__(self) -> None:
        super().__init__("the first request with this Idempotency-Key is still under way")


class QueueFull(DispatchError):
    """As many wait as may wait."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} are waiting already")
        self.limit = limit


class ShuttingDown(DispatchError):
    """The service is stopping and takes nothing new."""

    def __init__(self) -> None:
        super().__init__("the service is shutting down")


class StandingBy(DispatchError):
    """Another process owns the queues; this one takes over when that one is gone."""

    def __init__(self, owner: str = "") -> None:
        super().__init__(f"standing by: {owner or 'another dispatcher'} owns the queues")


class StorageError(DispatchError):
    """The queue did not take the change."""


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

"""The mode InMemory: records are lost when the process ends."""

from __future__ import annotations

from sanic_dispatch.storage.memory_log import MemoryEventLog
from sanic_dispatch.storage.store import Batch, Store, Stored


class InMemoryStore(Store):
    """A store that writes nothing."""

    lasts = False
    is_as_committed = False

    def __init__(self, *, payloads: bool = True) -> None:
        self.history = MemoryEventLog(payloads=payloads)

    async def load(self) -> Stored:
        return Stored()

    async def commit(self, batch: Batch) -> None:
        """Do nothing: the state machine has the records."""

    async def try_writing(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""

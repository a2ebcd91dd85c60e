"""InMemory: nothing outlives the process."""

from __future__ import annotations

from sanic_dispatch.storage.store import Batch, Store, Stored


class InMemoryStore(Store):
    """A store that keeps nothing."""

    lasts = False

    async def load(self) -> Stored:
        return Stored()

    async def commit(self, batch: Batch) -> None:
        """Return at once: what is in memory is all there is."""

    async def try_writing(self) -> None:
        """Return at once."""

    async def close(self) -> None:
        """Return at once."""

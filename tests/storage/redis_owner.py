"""A process that owns the queues in Redis and commits all the time.

``python -m tests.storage.redis_owner URL PREFIX`` prints ``owner`` when it owns them, ``n`` for
each committed batch, and ``lost`` when another process took over.
"""

from __future__ import annotations

import asyncio
import sys
from itertools import count

from sanic_dispatch.cluster.members import Member
from sanic_dispatch.core.tables import Change, Fact, Table
from sanic_dispatch.errors import LostOwnership, OutcomeUnknown, StorageFailed
from sanic_dispatch.storage.redis import RedisStore
from sanic_dispatch.storage.store import Batch


async def main(url: str, prefix: str) -> None:
    """Acquire, load, and commit until ownership is lost."""
    store = RedisStore(url, prefix, Table, Member("the owner", ""))
    await store.ownership.acquire()
    await store.load()
    say("owner")
    for number in count(1):
        fact = Fact("last_ticket", number)
        batch = Batch(number, [Change(Table.FACTS, fact.id, None, fact)], ())
        while True:
            try:
                await store.commit(batch)
            except (StorageFailed, OutcomeUnknown):
                await asyncio.sleep(0.05)
                continue
            except LostOwnership:
                say("lost")
                await store.close()
                return
            break
        say(str(number))
        await asyncio.sleep(0.01)


def say(word: str) -> None:
    """Print and flush a line."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

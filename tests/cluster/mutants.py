"""A server with bugs: ``python -m tests.cluster.mutants "one bug,another" serve …``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

from sanic_dispatch.cluster import sessions
from sanic_dispatch.cluster.ownership import LeaseTimes, Ownership
from sanic_dispatch.dispatch import batches
from sanic_dispatch.dispatch.batches import Batches
from sanic_dispatch.storage import redis
from sanic_dispatch.storage.redis_connection import Script

QUICK = LeaseTimes(lease_s=0.8, renew_s=0.25, poll_s=0.05, turn_s=0.05)
"""Short lease times, so that tests are quick."""

APPLY = "redis.call(ARGV[at + 1], KEYS[tonumber(ARGV[at])], unpack(ARGV, at + 3, last))"
FENCE = "if batch ~= ARGV[1] then"

MUTANTS: dict[str, Callable[[], None]] = {}


def mutant(patch: Callable[[], None]) -> Callable[[], None]:
    """Register a bug under its name, with blanks for underscores."""
    MUTANTS[patch.__name__.replace("_", " ")] = patch
    return patch


def fenceless() -> Script:
    """Return the script of a commit without its check of the epoch."""
    script = redis.COMMIT.text
    assert FENCE in script
    assert APPLY in script
    # a stream refuses a smaller id, so without its events
    without_events = f"if tonumber(ARGV[at]) ~= HISTORY then {APPLY} end"
    return Script(script.replace(FENCE, "if false then").replace(APPLY, without_events))


@mutant
def no_fence() -> None:
    """Redis applies the batches of a process that is not the owner any more."""
    redis.COMMIT = fenceless()


@mutant
def no_deadline() -> None:
    """A process takes itself for the owner until somebody tells it otherwise."""
    Ownership.may_act = lambda self: self.is_owner  # type: ignore[method-assign]


@mutant
def no_memory() -> None:
    """A call that is repeated after a broken link is a new one."""

    def take(self: sessions._Session, message: Any) -> None:
        self._calls.clear()
        take_once(self, message)

    take_once = sessions._Session.take
    sessions._Session.take = take  # type: ignore[method-assign]
    batches._known_by_number = lambda command: command


@mutant
def early_frames() -> None:
    """Events are shown when they are applied, and not when they are durable."""

    def begin(self: Batches, work: Any, pending: Any) -> None:
        self._on_events([event for entry in pending.entries for event in entry.applied.events])
        begin_once(self, work, pending)

    def release(self: Batches, pending: Any) -> None:
        on_events, self._on_events = self._on_events, lambda _: None
        release_once(self, pending)
        self._on_events = on_events

    begin_once, release_once = Batches._begin, Batches._release
    Batches._begin, Batches._release = begin, release  # type: ignore[method-assign]


@mutant
def short_lease() -> None:
    """No bug: others take over soon."""
    redis.RedisStore.__init__.__defaults__ = (QUICK, None)


@mutant
def no_renewal() -> None:
    """No bug either: the lease is not renewed, as by a process that was stopped or cut off."""

    async def renew_never(_: Ownership) -> None:
        await asyncio.Event().wait()

    Ownership._renew_loop = renew_never  # type: ignore[method-assign]


def main() -> None:
    """Run the command with the bugs, and with less patience with Redis."""
    from sanic_dispatch.cli.main import main as run

    _, names, *arguments = sys.argv
    batches.COMMIT_WAIT_S = 0.5
    for name in filter(None, names.split(",")):
        MUTANTS[name]()
    sys.argv = ["sanic-dispatch", *arguments]
    run()


if __name__ == "__main__":
    main()

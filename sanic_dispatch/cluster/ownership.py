"""Ownership of a topic: one process at a time, by a lease.

The owner gives signs of life: each renewal and each commit changes the *state* in the register (the
store's record of who owns the topic). It may act until ``lease_s`` after it sent the last one that
was granted. Who wants to take over watches the state, and may do so once it has seen the same state
for ``lease_s``, with the register in reach all the time, and no other comes in between. So

- no two may act at once: a watcher sees a sign of life later than its owner began to send it, and
  both count the same span from there, each on its own clock that only goes forward. What time the
  register has, and whether its clock steps, does not matter;
- an outage of the register ends nobody's ownership: when it is back, every watcher begins to count
  anew, and the owner renews within that time.

Every commit carries the token of its owner and is refused where the register has another one, so a
process that was stopped past its lease can change nothing any more.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, Protocol

import structlog

from sanic_dispatch.errors import LostOwnership, OutcomeUnknown, StorageFailed

RETRY_S = 0.1
"""How long to wait after a call that failed."""

LONGEST_GAP_S = 2.0
"""With a longer time between two looks, the register counts as having been out of reach."""

_log = structlog.get_logger("sanic_dispatch.cluster")


def running_s() -> float:
    """Seconds on a clock that only goes forward, also while the machine sleeps."""
    return time.clock_gettime(_CLOCK)


_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Pace(NamedTuple):
    """How fast ownership changes hands, in seconds.

    ``lease_s``: how long after its last sign of life an owner may act, and the least time to a
    take-over. ``renew_s``: how often an owner gives a sign of life at least. ``poll_s``: how often
    a process that stands by looks whether it can take over. So a take-over takes ``lease_s`` and
    twice ``poll_s`` at most.
    """

    lease_s: float = 3.0
    renew_s: float = 1.0
    poll_s: float = 0.4


PACE = Pace()


class Claim(NamedTuple):
    """Who wants to own a topic: a random id for each attempt, and a name for people and peers.

    ``former`` is the last token of the same process, which it has given up.
    """

    id: str
    name: str
    former: str = ""


class Sight(NamedTuple):
    """What the register answers to a claim: the token, or whose the topic is and its state."""

    token: str = ""
    epoch: int = 0
    state: str = ""
    owner: str = ""


class Register(Protocol):
    """The store's record of who owns a topic; each method is atomic there.

    They raise StorageFailed or OutcomeUnknown where it cannot be reached; each can be repeated.
    """

    async def claim(self, claim: Claim, unchanged: str | None) -> Sight:
        """Become the owner, if the topic has none, or its state is still ``unchanged``.

        A claim that is repeated, since its answer was lost, is granted again and changes the state.
        """

    async def renew(self, token: str) -> None:
        """Give a sign of life. Raises LostOwnership."""

    async def release(self, token: str) -> None:
        """Let go of the topic, if this token still owns it."""


class Ownership:
    """This process's place in a topic: it owns it, or stands by.

    ``when_lost`` is called at once, and synchronously, when it becomes known that another process
    came; it gets the reason.
    """

    def __init__(
        self,
        register: Register,
        name: str,
        pace: Pace = PACE,
        clock: Callable[[], float] = running_s,
    ) -> None:
        self.name = name
        self.owner = ""
        """The advertised name of the owner, as it was last seen."""
        self.epoch = 0
        """Counts the owners that the topic has had, this one included."""
        self.token = ""
        """What commits carry; empty while this process is not the owner."""
        self.when_lost: Callable[[str], None] = _nothing
        self.deadline_s = 0.0
        """Until when this process may act without asking, on the clock of ``running_s``."""
        self._register = register
        self._pace = pace
        self._clock = clock
        self._former = ""
        self._sent_s = 0.0
        self._away_since_s: float | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()

    @property
    def is_owner(self) -> bool:
        """Whether this process owns the topic, as far as it knows."""
        return bool(self.token)

    def may_act(self) -> bool:
        """Whether no other process can own the topic now, without asking."""
        return bool(self.token) and self._clock() < self.deadline_s

    async def confirm(self) -> None:
        """Return once this process may act; ask the register where the deadline is past.

        Raises LostOwnership, or StorageFailed where the register cannot be asked.
        """
        while not self.may_act():  # the answer may come later than the lease lasts
            await self._renew()

    async def acquire(self, patience_s: float | None = None) -> bool:
        """Wait until this process owns the topic; False where it does not within ``patience_s``.

        Raises what the register raises where the topic is unusable.
        """
        claim = Claim(secrets.token_hex(8), self.name, self._former)
        began_s = self._clock()
        watch = _Watch(self._pace.lease_s)
        while not self.is_owner:
            sent_s = self._clock()
            try:
                sight = await self._register.claim(claim, watch.lapsed(sent_s))
            except (StorageFailed, OutcomeUnknown) as error:
                watch.forget()
                self._note_trouble(error)
                if patience_s is not None and self._clock() - began_s >= patience_s:
                    raise StorageFailed(str(error)) from error
                await asyncio.sleep(RETRY_S)
                continue
            self._note_reach()
            if sight.token:
                self._begin(sight, sent_s)
                break
            self.owner = sight.owner
            watch.note(sight.state, self._clock())
            if patience_s is not None and self._clock() - began_s >= patience_s:
                return False
            await asyncio.sleep(self._pace.poll_s)
        return True

    def granted(self, sent_s: float) -> None:
        """Note that a sign of life which was sent at that time has reached the register."""
        self._sent_s = max(self._sent_s, sent_s)
        self.deadline_s = self._sent_s + self._pace.lease_s

    def lose(self, reason: str) -> None:
        """Note that another process came, or that the register knows nothing of this one."""
        if not self.token:
            return
        self.token = ""
        self.deadline_s = 0.0
        if self._renewing is not None:
            self._renewing.cancel()
            self._renewing = None
        _log.warning("ownership.lost", epoch=self.epoch, reason=reason)
        self._lost.set()
        self.when_lost(reason)

    async def until_lost(self) -> None:
        """Return when this process does not own the topic any more."""
        if self.token:
            await self._lost.wait()

    async def close(self) -> None:
        """Release the topic, so that another process takes over at once."""
        token, self.token = self.token, ""
        self.deadline_s = 0.0
        self._lost.set()
        renewing, self._renewing = self._renewing, None
        if renewing is not None:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
        if token:
            with suppress(StorageFailed, OutcomeUnknown):
                await self._register.release(token)

    def _begin(self, sight: Sight, sent_s: float) -> None:
        self.token = self._former = sight.token
        self.epoch, self.owner = sight.epoch, self.name
        self._sent_s = sent_s
        self.deadline_s = sent_s + self._pace.lease_s
        self._lost = asyncio.Event()
        self._renewing = asyncio.create_task(self._keep())
        _log.info("ownership.gained", epoch=self.epoch)

    async def _keep(self) -> None:
        """Renew whenever no other sign of life was granted for ``renew_s``."""
        while self.token:
            await asyncio.sleep(max(self._sent_s + self._pace.renew_s - self._clock(), 0.001))
            if self._clock() < self._sent_s + self._pace.renew_s:
                continue
            try:
                await self._renew()
            except LostOwnership:
                return
            except (StorageFailed, OutcomeUnknown) as error:
                self._note_trouble(error)
                await asyncio.sleep(RETRY_S)
            except Exception:  # an owner that gives no more signs of life is taken for dead
                _log.exception("ownership.not_renewed")
                await asyncio.sleep(RETRY_S)

    async def _renew(self) -> None:
        sent_s, token = self._clock(), self.token
        if not token:
            raise LostOwnership(self.owner)
        try:
            await self._register.renew(token)
        except LostOwnership as error:
            if token == self.token:
                self.lose(str(error))
            raise
        except OutcomeUnknown as error:
            raise StorageFailed(str(error)) from error
        self._note_reach()
        if token == self.token:
            self.granted(sent_s)

    def _note_trouble(self, error: Exception) -> None:
        if self._away_since_s is None:
            self._away_since_s = self._clock()
            _log.warning("ownership.store_away", reason=str(error))

    def _note_reach(self) -> None:
        if self._away_since_s is not None:
            away_s = round(self._clock() - self._away_since_s, 1)
            self._away_since_s = None
            _log.warning("ownership.store_back", after_s=away_s)


class _Watch:
    """The state of a topic as a process that stands by sees it, and for how long unchanged."""

    def __init__(self, lease_s: float) -> None:
        self._lease_s = lease_s
        self._state: str | None = None
        self._since_s = self._seen_s = 0.0

    def note(self, state: str, now_s: float) -> None:
        """The register was reached and had this state."""
        if state != self._state or now_s - self._seen_s > LONGEST_GAP_S:
            self._state, self._since_s = state, now_s
        self._seen_s = now_s

    def forget(self) -> None:
        """The register was out of reach: count anew."""
        self._state = None

    def lapsed(self, now_s: float) -> str | None:
        """The state that has not changed for a whole lease; None where there is none."""
        if self._state is None or now_s - self._seen_s > LONGEST_GAP_S:
            return None
        return self._state if now_s - self._since_s >= self._lease_s else None


def _nothing(reason: str) -> None:
    """Ignore the loss of ownership, until somebody asks to be told."""

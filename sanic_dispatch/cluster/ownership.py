"""Ownership of a topic by one process at a time: a lease with a fencing token and an epoch.

The owner sends heartbeats: each renewal and each commit changes the *state* in the lease store. It
may act until ``lease_s`` after it sent the last heartbeat that the store confirmed. A process on
standby polls the state. It may take over once it has seen the same state for ``lease_s``, with the
store reachable all the time; the store grants the claim only if that is still the state. So

- at most one process may act: the standby sees a heartbeat later than the owner sent it, and both
  count ``lease_s`` from there on their own monotonic clocks. The store's clock is not used;
- an outage of the store ends no ownership: after it every standby starts counting again, and the
  owner renews within that time.

Every commit carries its owner's token (the fencing token) and is refused if the store has another
one. So a process that was suspended for longer than its lease cannot write any more.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, Protocol

import structlog

from sanic_dispatch.cluster.members import Member
from sanic_dispatch.errors import LostOwnership, OutcomeUnknown, StorageFailed

STORE_RETRY_S = 0.1
"""How long to wait after a failed call."""

LONGEST_GAP_S = 2.0
"""After a longer time between two polls the store counts as having been unreachable."""

_log = structlog.get_logger("sanic_dispatch.cluster")


def boottime_s() -> float:
    """Return seconds on a monotonic clock that includes the time the machine is suspended."""
    return time.clock_gettime(_CLOCK)


_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class LeaseTimes(NamedTuple):
    """Times of the lease, in seconds.

    ``lease_s``: how long an owner may act after its last heartbeat, and so the least time until
    another process takes over. ``renew_s``: the longest time between two heartbeats. ``poll_s``:
    how often a standby polls the state. A take-over takes at most ``lease_s`` + 2 × ``poll_s``.
    """

    lease_s: float = 3.0
    renew_s: float = 1.0
    poll_s: float = 0.4


LEASE_TIMES = LeaseTimes()


class Claim(NamedTuple):
    """A process's claim to a topic, with a random id for each attempt.

    ``former`` is this process's previous token, which it does not use any more.
    """

    id: str
    own: Member
    former: str = ""


class ClaimAnswer(NamedTuple):
    """The answer to a claim: token and epoch if granted, else the state and who the owner is."""

    token: str = ""
    epoch: int = 0
    state: str = ""
    owner: str = ""
    owner_url: str = ""


class LeaseStore(Protocol):
    """Where the lease is kept; each method is atomic, and safe to repeat.

    All raise StorageFailed or OutcomeUnknown if the store is unreachable.
    """

    async def claim(self, claim: Claim, unchanged: str | None) -> ClaimAnswer:
        """Grant the lease if the topic has no owner, or its state is still ``unchanged``.

        A repeated claim, after a lost answer, is granted again and counts as a heartbeat.
        """

    async def renew(self, token: str) -> None:
        """Change the state: a heartbeat. Raises LostOwnership if another token owns the topic."""

    async def release(self, token: str) -> None:
        """End the lease, if this token still has it."""


class Ownership:
    """This process's share in a topic: it is the owner, or on standby.

    ``on_lost`` is called synchronously, with the reason, as soon as the loss of ownership is known.
    """

    def __init__(
        self,
        store: LeaseStore,
        own: Member,
        times: LeaseTimes = LEASE_TIMES,
        now_s: Callable[[], float] = boottime_s,
    ) -> None:
        self.own = own
        """This process."""
        self.owner = ""
        """The public name of the owner, as of the last poll."""
        self.owner_url = ""
        """The URL at which other processes reach the owner; empty if that is unknown."""
        self.epoch = 0
        """The number of the current ownership; increases with each change of owner."""
        self.token = ""
        """The fencing token for commits; empty while this process is not the owner."""
        self.on_lost: Callable[[str], None] = _ignore
        self.deadline_s = 0.0
        """Until when this process may act without asking the store, on the ``boottime_s`` clock."""
        self._store = store
        self._times = times
        self._now_s = now_s
        self._former = ""
        self._sent_s = 0.0
        self._unreachable_since_s: float | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()

    @property
    def is_owner(self) -> bool:
        """Whether this process has a token; the lease may have expired meanwhile."""
        return bool(self.token)

    def may_act(self) -> bool:
        """Return whether the lease has not expired, so that no other process can own the topic."""
        return bool(self.token) and self._now_s() < self.deadline_s

    async def confirm(self) -> None:
        """Renew the lease if it has expired; return once this process may act.

        Raises LostOwnership, or StorageFailed if the store is unreachable.
        """
        while not self.may_act():  # the answer may take longer than the lease
            await self._renew()

    async def acquire(self, patience_s: float | None = None) -> bool:
        """Wait until this process owns the topic; return False after ``patience_s`` without it.

        Raises StorageFailed after ``patience_s`` if the store is unreachable then, and the lease
        store's own error if its data is unusable.
        """
        claim = Claim(secrets.token_hex(8), self.own, self._former)
        began_s = self._now_s()
        watch = _StateWatch(self._times.lease_s)
        while not self.is_owner:
            sent_s = self._now_s()
            try:
                answer = await self._store.claim(claim, watch.expired(sent_s))
            except (StorageFailed, OutcomeUnknown) as error:
                watch.forget()
                self._log_unreachable(error)
                if patience_s is not None and self._now_s() - began_s >= patience_s:
                    raise StorageFailed(str(error)) from error
                await asyncio.sleep(STORE_RETRY_S)
                continue
            self._log_reachable()
            if answer.token:
                self._start_lease(answer, sent_s)
                break
            self.owner, self.owner_url = answer.owner, answer.owner_url
            watch.note(answer.state, self._now_s())
            if patience_s is not None and self._now_s() - began_s >= patience_s:
                return False
            await asyncio.sleep(self._times.poll_s)
        return True

    def granted(self, sent_s: float) -> None:
        """Extend the lease: the store has confirmed a heartbeat that was sent at ``sent_s``."""
        self._sent_s = max(self._sent_s, sent_s)
        self.deadline_s = self._sent_s + self._times.lease_s

    def lose(self, reason: str) -> None:
        """Give up ownership: another process took over, or the store has lost this lease."""
        if not self.token:
            return
        self.token = ""
        self.deadline_s = 0.0
        if self._renewing is not None:
            self._renewing.cancel()
            self._renewing = None
        _log.warning("ownership.lost", epoch=self.epoch, reason=reason)
        self._lost.set()
        self.on_lost(reason)

    async def until_lost(self) -> None:
        """Wait until this process is not the owner any more."""
        if self.token:
            await self._lost.wait()

    async def close(self) -> None:
        """Stop renewing and end the lease, so that another process can take over at once."""
        token, self.token = self.token, ""
        self.deadline_s = 0.0
        self._lost.set()
        renewing, self._renewing = self._renewing, None
        if renewing is not None:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
        if token:
            with suppress(StorageFailed, OutcomeUnknown):
                await self._store.release(token)

    def _start_lease(self, answer: ClaimAnswer, sent_s: float) -> None:
        self.token = self._former = answer.token
        self.epoch, self.owner, self.owner_url = answer.epoch, self.own.name, self.own.url
        self._sent_s = sent_s
        self.deadline_s = sent_s + self._times.lease_s
        self._lost = asyncio.Event()
        self._renewing = asyncio.create_task(self._renew_loop())
        _log.info("ownership.gained", epoch=self.epoch)

    async def _renew_loop(self) -> None:
        """Renew ``renew_s`` after the last confirmed heartbeat, until ownership is lost."""
        while self.token:
            await asyncio.sleep(max(self._sent_s + self._times.renew_s - self._now_s(), 0.001))
            if self._now_s() < self._sent_s + self._times.renew_s:
                continue
            try:
                await self._renew()
            except LostOwnership:
                return
            except (StorageFailed, OutcomeUnknown) as error:
                self._log_unreachable(error)
                await asyncio.sleep(STORE_RETRY_S)
            except Exception:  # go on: without heartbeats the lease would expire
                _log.exception("ownership.not_renewed")
                await asyncio.sleep(STORE_RETRY_S)

    async def _renew(self) -> None:
        sent_s, token = self._now_s(), self.token
        if not token:
            raise LostOwnership(self.owner)
        try:
            await self._store.renew(token)
        except LostOwnership as error:
            if token == self.token:
                self.lose(str(error))
            raise
        except OutcomeUnknown as error:
            raise StorageFailed(str(error)) from error
        self._log_reachable()
        if token == self.token:
            self.granted(sent_s)

    def _log_unreachable(self, error: Exception) -> None:
        if self._unreachable_since_s is None:
            self._unreachable_since_s = self._now_s()
            _log.warning("ownership.store_unreachable", reason=str(error))

    def _log_reachable(self) -> None:
        if self._unreachable_since_s is not None:
            away_s = round(self._now_s() - self._unreachable_since_s, 1)
            self._unreachable_since_s = None
            _log.warning("ownership.store_reachable", after_s=away_s)


class _StateWatch:
    """Measures for how long the lease's state has not changed, as a standby polls it."""

    def __init__(self, lease_s: float) -> None:
        self._lease_s = lease_s
        self._state: str | None = None
        self._since_s = self._seen_s = 0.0

    def note(self, state: str, now_s: float) -> None:
        """Record the state that a poll returned."""
        if state != self._state or now_s - self._seen_s > LONGEST_GAP_S:
            self._state, self._since_s = state, now_s
        self._seen_s = now_s

    def forget(self) -> None:
        """Start counting again, since the store was unreachable."""
        self._state = None

    def expired(self, now_s: float) -> str | None:
        """Return the state if it has not changed for a whole lease, else None."""
        if self._state is None or now_s - self._seen_s > LONGEST_GAP_S:
            return None
        return self._state if now_s - self._since_s >= self._lease_s else None


def _ignore(reason: str) -> None:
    """Do nothing: the default of ``on_lost``."""

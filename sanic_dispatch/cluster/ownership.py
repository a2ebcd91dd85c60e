"""Ownership of a topic by one process at a time: a lease with a fencing token and an epoch.

The owner sends heartbeats: each renewal and each commit changes the *state* in the lease store. It
may act until ``lease_s`` after it sent the last heartbeat that the store confirmed. A process on
standby polls the state. It may take over once it has seen the same state for ``lease_s``, with the
store reachable all the time, or once the owner has released the topic; the store grants the claim
only if that is still the state. Of several processes the one whose turn it is takes over first
(``spreading.py``). So

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

FREE = ""
"""The state of a topic that has no owner."""

HAND_OVER_POLL_S = 0.02
"""How often the successor polls the state while the topic is being handed over to it."""

NOTICE_POLLS = 1.25
"""For how many intervals of polls an owner waits until its successor has noticed that it is one."""

STORE_RETRY_S = 0.1
"""How long to wait after a failed call."""

_log = structlog.get_logger("sanic_dispatch.cluster")


def boottime_s() -> float:
    """Return seconds on a monotonic clock that includes the time the machine is suspended."""
    return time.clock_gettime(_CLOCK)


_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class LeaseTimes(NamedTuple):
    """Times of the lease, in seconds.

    ``lease_s``: how long an owner may act after its last heartbeat, and so the least time until
    another process takes over. ``renew_s``: the longest time between two heartbeats. ``poll_s``:
    how often a standby polls the state. ``turn_s``: how long the others wait for the process whose
    turn it is. A take-over takes at most ``lease_s`` + 2 × ``poll_s``, and ``turn_s`` more if that
    one does not come.
    """

    lease_s: float = 3.0
    renew_s: float = 1.0
    poll_s: float = 0.2
    turn_s: float = 1.0

    @property
    def longest_gap_s(self) -> float:
        """After a longer time between two polls the store counts as having been unreachable.

        What held the poll up may have held the owner up too, whose last heartbeat was by then up to
        ``renew_s`` ago.
        """
        return self.lease_s - self.renew_s


LEASE_TIMES = LeaseTimes()


class Claim(NamedTuple):
    """A process's claim to a topic, with a random id for each attempt.

    ``former`` is this process's previous token, which it does not use any more.
    """

    id: str
    own: Member
    former: str = ""


class ClaimAnswer(NamedTuple):
    """The answer to a claim: token and epoch if granted, else the state and who the owner is.

    ``successor`` is the name of the process that the topic is, or was, handed over to.
    """

    token: str = ""
    epoch: int = 0
    state: str = FREE
    owner: str = ""
    owner_url: str = ""
    successor: str = ""


class LeaseStore(Protocol):
    """Where the lease is kept; each method is atomic, and safe to repeat.

    All raise StorageFailed or OutcomeUnknown if the store is unreachable.
    """

    async def claim(self, claim: Claim, unchanged: str | None) -> ClaimAnswer:
        """Grant the lease if the state is still ``unchanged``; with None, only look.

        A repeated claim, after a lost answer, is granted again and counts as a heartbeat.
        """

    async def renew(self, token: str, successor: str = "") -> None:
        """Change the state: a heartbeat; with a successor, say that it will get the topic.

        Raises LostOwnership if another token owns the topic.
        """

    async def release(self, token: str, successor: str = "") -> None:
        """End the lease, if this token still has it, for a successor, if there is one."""


def _always() -> bool:
    return True


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
        self.is_successor = False
        """Whether the owner is handing the topic over to this process, as of the last poll."""
        self.is_out_of_turn = False
        """Whether this process owns the topic since the one whose turn it was did not come."""
        self.changed = asyncio.Event()
        """Wakes its waiters when the owner, or what is known of it, changes; never stays set."""
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
    def owner_member(self) -> Member:
        """The owner as others know it; without a name if the topic has none."""
        return Member(self.owner, self.owner_url)

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

    async def acquire(
        self, patience_s: float | None = None, is_our_turn: Callable[[], bool] = _always
    ) -> bool:
        """Wait until this process owns the topic; return False after ``patience_s`` without it.

        If it is not our turn, and nobody takes the topic, it is taken ``turn_s`` later. Raises
        StorageFailed after ``patience_s`` if the store is unreachable then, and the lease store's
        own error if its data is unusable.
        """
        claim = Claim(secrets.token_hex(8), self.own, self._former)
        began_s = self._now_s()
        watch, is_ours = _StateWatch(self._times), False
        while not self.is_owner:
            sent_s = self._now_s()
            unchanged = watch.claimable(sent_s, is_ours=is_ours)
            try:
                answer = await self._store.claim(claim, unchanged)
            except (StorageFailed, OutcomeUnknown) as error:
                watch.forget()
                self._log_unreachable(error)
                if patience_s is not None and self._now_s() - began_s >= patience_s:
                    raise StorageFailed(str(error)) from error
                await asyncio.sleep(STORE_RETRY_S)
                continue
            self._log_reachable()
            if answer.token:
                self.is_out_of_turn = not is_ours
                self._start_lease(answer, sent_s)
                break
            self._note_owner(answer.owner, answer.owner_url, answer.successor)
            watch.note(answer.state, self._now_s())
            is_ours = self.is_successor if answer.successor else is_our_turn()
            if unchanged is None and watch.claimable(self._now_s(), is_ours=is_ours) is not None:
                continue
            if patience_s is not None and self._now_s() - began_s >= patience_s:
                return False
            await asyncio.sleep(HAND_OVER_POLL_S if self.is_successor else self._times.poll_s)
        return True

    async def announce(self, successor: Member) -> None:
        """Say that the topic will be handed over; return once the successor has noticed.

        From then on requests wait there. Raises LostOwnership or StorageFailed.
        """
        await self._renew(successor.name)
        await asyncio.sleep(NOTICE_POLLS * self._times.poll_s)

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
        self._note_owner()
        self.on_lost(reason)

    async def until_lost(self) -> None:
        """Wait until this process is not the owner any more."""
        if self.token:
            await self._lost.wait()

    async def release(self, successor: Member | None = None) -> None:
        """Stop renewing and end the lease, so that another process can take over at once.

        With a successor, that one does; the others wait ``turn_s`` for it.
        """
        token, self.token = self.token, ""
        self.deadline_s = 0.0
        self._lost.set()
        renewing, self._renewing = self._renewing, None
        if renewing is not None:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
        if not token:
            return
        name, url = (successor.name, successor.url) if successor else ("", "")
        self._note_owner(name, url)
        with suppress(StorageFailed, OutcomeUnknown):
            await asyncio.shield(self._store.release(token, name))

    def _note_owner(self, name: str = "", url: str = "", successor: str = "") -> None:
        is_successor = successor == self.own.name
        if (name, url, is_successor) != (self.owner, self.owner_url, self.is_successor):
            self.owner, self.owner_url, self.is_successor = name, url, is_successor
            self.wake()

    def wake(self) -> None:
        """Wake whoever waits for ``changed``."""
        self.changed.set()
        self.changed.clear()

    def _start_lease(self, answer: ClaimAnswer, sent_s: float) -> None:
        self.token = self._former = answer.token
        self.epoch = answer.epoch
        self._note_owner(self.own.name, self.own.url)
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

    async def _renew(self, successor: str = "") -> None:
        sent_s, token = self._now_s(), self.token
        if not token:
            raise LostOwnership(self.owner)
        try:
            await self._store.renew(token, successor)
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

    def __init__(self, times: LeaseTimes) -> None:
        self._times = times
        self._state: str | None = None
        self._since_s = self._seen_s = 0.0

    def note(self, state: str, now_s: float) -> None:
        """Record the state that a poll returned."""
        if state != self._state or now_s - self._seen_s > self._times.longest_gap_s:
            self._state, self._since_s = state, now_s
        self._seen_s = now_s

    def forget(self) -> None:
        """Start counting again, since the store was unreachable."""
        self._state = None

    def claimable(self, now_s: float, *, is_ours: bool) -> str | None:
        """Return the state if the topic may be claimed now, else None.

        That is if it is free, or has not changed for a whole lease; the process whose turn it is
        is first.
        """
        if self._state is None or now_s - self._seen_s > self._times.longest_gap_s:
            return None
        wait_s = 0.0 if self._state == FREE else self._times.lease_s
        if not is_ours:
            wait_s += self._times.turn_s
        return self._state if now_s - self._since_s >= wait_s else None


def _ignore(reason: str) -> None:
    """Do nothing: the default of ``on_lost``."""

"""Ownership on virtual time: many processes, and a register that is slow or unreachable."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from sanic_dispatch.cluster.members import Member
from sanic_dispatch.cluster.ownership import (
    FREE,
    LEASE_TIMES,
    Claim,
    ClaimAnswer,
    LeaseTimes,
    Ownership,
)
from sanic_dispatch.errors import LostOwnership, OutcomeUnknown, StorageFailed

SEEDS = range(20)

QUICK = (0.001, 0.02)
"""The range of a message's latency without faults, seconds."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that never waits: when all tasks sleep, time jumps to the next timer."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        real = self._selector.select  # type: ignore[attr-defined]

        def select(timeout: float | None) -> Any:
            assert timeout is not None, "nothing is left that could happen"
            self.now_s += max(timeout, 0.0)
            return real(0)

        self._selector.select = select  # type: ignore[attr-defined]

    def time(self) -> float:
        return self.now_s


def on_virtual_time(run: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end without waiting."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(run)


def member(name: str) -> Member:
    """Return a process of this name."""
    return Member(name, f"http://{name}.example:2567/")


def now_s() -> float:
    """Return the time of the loop."""
    return asyncio.get_running_loop().time()


class FakeRegister:
    """The register of the owner, in memory; it can be unreachable for all processes."""

    def __init__(self) -> None:
        self.token = ""
        self.name = ""
        self.successor = ""
        self.beat = 0
        self.epoch = 0
        self.is_away = False

    def claim(self, claim: Claim, unchanged: str | None) -> ClaimAnswer:
        if self.token.endswith(f":{claim.id}"):
            self.beat += 1
            return ClaimAnswer(self.token, self.epoch)
        is_free = self.token in ("", claim.former)
        state, name = (FREE, "") if is_free else (f"{self.token} {self.beat}", self.name)
        if unchanged != state:
            url = member(name).url if name else ""
            return ClaimAnswer("", 0, state, name, url, self.successor)
        self.epoch += 1
        self.token, self.name, self.beat = f"{self.epoch}:{claim.id}", claim.own.name, 0
        self.successor = ""
        return ClaimAnswer(self.token, self.epoch)

    def renew(self, token: str, successor: str) -> None:
        if token != self.token:
            raise LostOwnership(self.name)
        self.beat += 1
        self.successor = successor or self.successor

    def release(self, token: str, successor: str) -> None:
        if token == self.token:
            self.token, self.successor = "", successor


class FakeLink:
    """One process's link to the register, with a latency and a share of losses each way."""

    def __init__(self, register: FakeRegister, rng: random.Random) -> None:
        self.latency_s = QUICK
        self.losses = 0.0
        self._register = register
        self._rng = rng

    async def claim(self, claim: Claim, unchanged: str | None) -> ClaimAnswer:
        sight: ClaimAnswer = await self._call(lambda: self._register.claim(claim, unchanged))
        return sight

    async def renew(self, token: str, successor: str = "") -> None:
        await self._call(lambda: self._register.renew(token, successor))

    async def release(self, token: str, successor: str = "") -> None:
        await self._call(lambda: self._register.release(token, successor))

    async def _call(self, act: Callable[[], Any]) -> Any:
        await self._travel(StorageFailed("not sent"))
        answer = act()
        await self._travel(OutcomeUnknown("no answer"))
        return answer

    async def _travel(self, failure: Exception) -> None:
        await asyncio.sleep(self._rng.uniform(*self.latency_s))
        if self._register.is_away or self._rng.random() < self.losses:
            raise failure


class Process:
    """A process that owns or stands by while it runs; it can be killed and restarted."""

    def __init__(
        self, link: FakeLink, name: str, drift_s: float = 0.0, times: LeaseTimes = LEASE_TIMES
    ) -> None:
        self.link = link
        self.is_our_turn = True
        self.ownership = Ownership(link, member(name), times, lambda: now_s() + drift_s)
        self.running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            await self.ownership.acquire(is_our_turn=lambda: self.is_our_turn)
            await self.ownership.until_lost()

    async def kill(self) -> None:
        """Stop at once, without releasing ownership."""
        tasks = [self.running, self.ownership._renewing]
        for task in tasks:
            if task is not None:
                task.cancel()
        await asyncio.gather(*(task for task in tasks if task), return_exceptions=True)
        self.ownership.deadline_s = 0.0


async def watch(processes: list[Process], for_s: float) -> None:
    """Check at all times that at most one process may act."""
    until_s = now_s() + for_s
    while now_s() < until_s:
        active = [each.ownership.own.name for each in processes if each.ownership.may_act()]
        assert len(active) <= 1, f"{active} may all act"
        await asyncio.sleep(0.03)


async def eventually_one(processes: list[Process], within_s: float) -> None:
    """Wait until one of them may act."""
    until_s = now_s() + within_s
    while not any(each.ownership.may_act() for each in processes):
        assert now_s() < until_s, f"no owner within {within_s} s"
        await watch(processes, 0.05)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_two_may_act_at_once(seed: int) -> None:
    """Whatever is lost, delayed or killed, at most one may act, and soon one may again."""
    rng = random.Random(seed)

    async def run() -> None:
        register = FakeRegister()

        def start(name: str) -> Process:
            return Process(FakeLink(register, rng), name, rng.uniform(0, 1e6))

        processes = [start(f"p{number}") for number in range(rng.randint(2, 5))]
        for _ in range(30):
            register.is_away = rng.random() < 0.1
            for each in processes:
                each.link.losses = rng.choice([0.0, 0.0, 0.1, 0.5])
                each.link.latency_s = rng.choice([QUICK, QUICK, (0.0, 1.0), (0.5, 6.0)])
            if rng.random() < 0.3:
                number = rng.randrange(len(processes))
                await processes[number].kill()
                processes[number] = start(f"p{number}'")
            await watch(processes, rng.uniform(0.1, 8.0))
        register.is_away = False
        for each in processes:
            each.link.losses, each.link.latency_s = 0.0, QUICK
        await eventually_one(processes, 15.0)
        for each in processes:
            await each.kill()

    on_virtual_time(run())


@pytest.mark.parametrize("seed", SEEDS)
def test_an_outage_keeps_the_owner(seed: int) -> None:
    """After outages of the register, of any number and length, the owner is the same."""
    rng = random.Random(seed)

    async def run() -> None:
        register = FakeRegister()
        processes = [Process(FakeLink(register, rng), name) for name in ("ada", "bert", "cleo")]
        await eventually_one(processes, 1.0)
        for _ in range(10):
            register.is_away = True
            await watch(processes, rng.choice([0.5, 2.0, 3.0, 4.0, 30.0]))
            register.is_away = False
            await eventually_one(processes, 2.0)
            await watch(processes, rng.uniform(0.0, 8.0))
        assert register.epoch == 1
        for each in processes:
            await each.kill()

    on_virtual_time(run())


@pytest.mark.parametrize("seed", SEEDS)
def test_a_killed_owner_is_replaced_within_five_seconds(seed: int) -> None:
    """A standby takes over within 5 s of the kill, and not before the lease has ended."""
    rng = random.Random(seed)

    async def run() -> None:
        register = FakeRegister()
        ada, bert = (Process(FakeLink(register, rng), name) for name in ("ada", "bert"))
        await eventually_one([ada, bert], 1.0)
        await asyncio.sleep(rng.uniform(0.0, 10.0))
        owner, other = (ada, bert) if ada.ownership.is_owner else (bert, ada)
        renewed_s = owner.ownership.deadline_s - LEASE_TIMES.lease_s
        await owner.kill()
        killed_s = now_s()
        await eventually_one([other], 5.0)
        assert now_s() >= renewed_s + LEASE_TIMES.lease_s
        assert now_s() - killed_s < 5.0
        await other.kill()

    on_virtual_time(run())


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "times",
    [LEASE_TIMES, LeaseTimes(lease_s=0.8, renew_s=0.25, poll_s=0.05)],
    ids=["usual", "short"],
)
def test_a_machine_that_is_held_up_keeps_the_owner(times: LeaseTimes, seed: int) -> None:
    """Neither of its processes could do anything meanwhile, for however long that was."""
    rng = random.Random(seed)

    async def run() -> None:
        register, loop = FakeRegister(), asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        ada, bert = (
            Process(FakeLink(register, rng), name, times=times) for name in ("ada", "bert")
        )
        await eventually_one([ada, bert], 1.0)
        for _ in range(20):
            await watch([ada, bert], rng.uniform(1.0, 2.0) * times.renew_s)
            loop.now_s += rng.choice((0.2, 0.5, 0.75, 1.0, 2.0)) * times.lease_s
        await eventually_one([ada, bert], 1.0)
        assert register.epoch == 1
        for each in (ada, bert):
            await each.kill()

    on_virtual_time(run())


def test_a_clean_end_hands_over_at_once() -> None:
    """Closing releases the topic; from then on the process may not act."""

    async def run() -> None:
        register = FakeRegister()
        link = FakeLink(register, random.Random(1))
        ada = Ownership(link, member("ada"), now_s=now_s)
        await ada.acquire()
        bert = Process(link, "bert")
        await asyncio.sleep(2.0)
        assert bert.ownership.owner == "ada"
        assert bert.ownership.owner_url == member("ada").url
        closing = asyncio.create_task(ada.release())
        await asyncio.sleep(0)
        assert not ada.may_act()
        await closing
        await eventually_one([bert], 2 * LEASE_TIMES.poll_s)
        await bert.kill()

    on_virtual_time(run())


@pytest.mark.parametrize("seed", SEEDS)
def test_the_one_whose_turn_it_is_takes_over(seed: int) -> None:
    """The others let it go first; if it does not come, one of them takes over within 5 s."""
    rng = random.Random(seed)

    async def run() -> None:
        register = FakeRegister()
        ada = Process(FakeLink(register, rng), "ada")
        await eventually_one([ada], 1.0)
        bert, cleo = (Process(FakeLink(register, rng), name) for name in ("bert", "cleo"))
        bert.is_our_turn = False
        await asyncio.sleep(rng.uniform(0.0, 10.0))
        await ada.kill()
        await eventually_one([bert, cleo], 5.0)
        assert (cleo.ownership.is_owner, cleo.ownership.is_out_of_turn) == (True, False)
        await cleo.kill()
        await eventually_one([bert], 5.0)
        assert bert.ownership.is_out_of_turn
        await bert.kill()

    on_virtual_time(run())


@pytest.mark.parametrize("seed", SEEDS)
def test_a_hand_over(seed: int) -> None:
    """The successor knows that it is one, and owns the topic at once; the others wait."""
    rng = random.Random(seed)

    async def run() -> None:
        register = FakeRegister()
        link = FakeLink(register, rng)
        ada = Ownership(link, member("ada"), now_s=now_s)
        await ada.acquire()
        bert, cleo = (Process(FakeLink(register, rng), name) for name in ("bert", "cleo"))
        await asyncio.sleep(rng.uniform(1.0, 3.0))
        bert.is_our_turn = rng.random() < 0.5
        await ada.announce(member("bert"))
        assert (bert.ownership.is_successor, cleo.ownership.is_successor) == (True, False)
        assert ada.may_act()
        await ada.release(member("bert"))
        assert (ada.owner, ada.owner_url) == member("bert")[:2]
        await eventually_one([bert], 0.2)
        assert not bert.ownership.is_out_of_turn
        await asyncio.sleep(1.0)
        assert cleo.ownership.owner == "bert"
        await bert.kill()
        await cleo.kill()

    on_virtual_time(run())


def test_a_successor_that_does_not_come() -> None:
    """Another process takes over, a moment later."""

    async def run() -> None:
        link = FakeLink(FakeRegister(), random.Random(1))
        ada, bert = (Ownership(link, member(name), now_s=now_s) for name in ("ada", "bert"))
        await ada.acquire()
        await ada.release(member("cleo"))
        assert not await bert.acquire(LEASE_TIMES.turn_s / 2)
        assert await bert.acquire(2 * LEASE_TIMES.turn_s)
        await bert.release()

    on_virtual_time(run())


def test_whoever_waits_is_told() -> None:
    """``changed`` wakes them when the owner changes, and when there is none."""

    async def run() -> None:
        link = FakeLink(FakeRegister(), random.Random(1))
        ada = Ownership(link, member("ada"), now_s=now_s)
        for act in (ada.acquire(), ada.release(), ada.acquire(), ada.release(member("bert"))):
            waiting = asyncio.create_task(ada.changed.wait())
            await asyncio.sleep(0)
            await act
            await asyncio.sleep(0)
            assert waiting.done()

    on_virtual_time(run())


def test_a_superseded_owner_is_notified() -> None:
    """The callback comes once, with a reason; ``until_lost`` returns; acting is refused."""

    async def run() -> None:
        register, reasons = FakeRegister(), list[str]()
        link = FakeLink(register, random.Random(1))
        ada = Ownership(link, member("ada"), now_s=now_s)
        ada.on_lost = reasons.append
        await ada.acquire()
        register.token, register.name = "2:x", "bert"
        await asyncio.wait_for(ada.until_lost(), 2 * LEASE_TIMES.renew_s)
        assert reasons == ["bert owns the queues now"]
        assert not ada.may_act()
        with pytest.raises(LostOwnership):
            await ada.confirm()

    on_virtual_time(run())


def test_confirming_past_the_deadline() -> None:
    """Past its deadline an owner may act again only once the register has confirmed it."""

    async def run() -> None:
        register = FakeRegister()
        link = FakeLink(register, random.Random(1))
        ada = Ownership(link, member("ada"), now_s=now_s)
        await ada.acquire()
        register.is_away = True
        await asyncio.sleep(LEASE_TIMES.lease_s)
        assert ada.is_owner
        assert not ada.may_act()
        with pytest.raises(StorageFailed):
            await ada.confirm()
        register.is_away = False
        await ada.confirm()
        assert ada.may_act()
        await ada.release()

    on_virtual_time(run())


def test_no_owner_in_time() -> None:
    """With a time limit, acquiring returns False, or raises if the register is unreachable."""

    async def run() -> None:
        register = FakeRegister()
        link = FakeLink(register, random.Random(1))
        ada, bert = (Ownership(link, member(name), now_s=now_s) for name in ("ada", "bert"))
        await ada.acquire()
        assert not await bert.acquire(10.0)
        register.is_away = True
        failing: Awaitable[bool] = bert.acquire(1.0)
        with pytest.raises(StorageFailed):
            await failing
        await ada.release()

    on_virtual_time(run())


def test_a_claim_whose_answer_is_late() -> None:
    """The lease counts from when the claim was sent: after a late answer it must be confirmed."""

    async def run() -> None:
        link = FakeLink(FakeRegister(), random.Random(1))
        ada = Ownership(link, member("ada"), now_s=now_s)
        link.latency_s = (LEASE_TIMES.lease_s / 2, LEASE_TIMES.lease_s / 2)
        await ada.acquire()
        assert ada.is_owner
        assert not ada.may_act()
        link.latency_s = QUICK
        await ada.confirm()
        assert ada.may_act()
        await ada.release()

    on_virtual_time(run())

"""A simulated engine: robots that behave as CPEE's process instances do, and worse."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING

from sanic_dispatch.core.receipts import Proof
from sanic_dispatch.core.rules import ANYTHING
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.core.worker import Key, Worker
from sanic_dispatch.errors import QueueFull, StorageFailed
from tests.crash.records import Delivery, Outcome, Registration
from tests.histories.connected import ConnectedWorker, Poller, Tablet
from tests.histories.handed import Handed, handed
from tests.histories.plan import BEER_ONLY
from tests.histories.requests import Answer, CutOff, NotSent

if TYPE_CHECKING:
    from tests.histories.simulation import Simulation


class Robot:
    """A process instance: it registers, waits on a callback, works, reports, registers again."""

    def __init__(self, run: Simulation, number: int, *, has_key: bool, is_healthy: bool) -> None:
        self.number = number
        self.instance_url = f"http://engine/{number}/"
        self.key = Key(f"i{number}", "a1") if has_key else None
        self.state = "running"
        self.is_dead = False
        """Whether its process was killed: it looks running, and loses the jobs that it takes."""
        self.callback = ""
        self.is_pending = False
        self.is_waiting = False
        """Whether it was told that it waits, and waits."""
        self.may_have_got_one = False
        """Whether it will register again for a job that it may have got, and no other will get."""
        self._run = run
        self._dice = run.dice
        self._is_healthy = is_healthy
        self._callbacks: Iterator[int] = count(1)
        self._is_lost = False
        self._last_job = ""
        self._called: asyncio.Future[Handed | None] | None = None
        self._is_running = asyncio.Event()
        self._is_running.set()
        self._is_to_stop = False

    # ---- what its life is

    async def live(self) -> None:
        """Work until it is dead or abandoned."""
        while not self.is_dead and self.state in ("running", "stopped"):
            await self._is_running.wait()
            job = await self._next_job()
            if job is None:
                continue
            if job.job_id == self._last_job:  # it was given again what it has worked on
                await asyncio.sleep(0.05)
                continue
            self._last_job = job.job_id
            await self._work(job)
            await asyncio.sleep(0.15)

    async def _next_job(self) -> Handed | None:
        """Register until there is a job; return None if this callback leads to nothing."""
        self.callback = callback = f"{self.instance_url}callbacks/{next(self._callbacks)}/"
        self.is_pending, self.is_waiting = True, False
        called = self._called = asyncio.get_running_loop().create_future()
        while not called.done():
            answer = await self._register(callback)
            if not isinstance(answer, Exception):
                self.may_have_got_one = False
            elif isinstance(answer, CutOff):
                self.may_have_got_one = self.key is None
            if answer is None:
                if not called.done():
                    self.is_waiting = True
                break
            if isinstance(answer, Handed):
                if not called.done():
                    self._take(answer, callback)
                break
            await asyncio.sleep(self._dice.uniform(0.05, 2.0))
            if called.done() or self.key is None or self._dice.random() < 0.5:
                continue
            self.is_pending, self._is_lost = False, True
            return None
        job: Handed | None = await called
        self._is_lost = self.is_waiting = self.may_have_got_one = False
        return job

    async def _register(self, callback: str) -> Handed | Exception | None:
        """Register once; return the job, None if it waits, or what went wrong."""
        run, began_s = self._run, self._run.now_s()
        worker = Worker(
            callback_url=callback,
            registered_at=to_rfc3339(run.wall.now_s()),
            key=self.key,
            instance_url=self.instance_url if self.key else "",
            rule=BEER_ONLY if run.plan.has_skills and self.number % 2 else ANYTHING,
        )
        if run.has_trouble and run.plan.connected and self._dice.random() < run.plan.expires:
            expires_s = run.wall.now_s() + self._dice.choice((0.1, 1.0, 5.0))
            worker = worker._replace(expires_s=expires_s)
        lost = self._is_lost
        run.write("register", callback, lost)
        outcome = Outcome.OK
        answer: Answer | Exception | None
        try:
            answer = await run.requests.register(worker, lost=lost)
        except (NotSent, QueueFull) as error:
            outcome, answer = Outcome.FAILED, error
        except CutOff as error:
            outcome, answer = Outcome.UNKNOWN, error
        except StorageFailed as error:
            outcome = Outcome.UNKNOWN if "may have been" in str(error) else Outcome.FAILED
            answer = error
        except Exception as error:  # ShuttingDown
            outcome, answer = Outcome.FAILED, error
        name = f"robot {self.number}"
        entry = Registration(callback, name, began_s, run.now_s(), outcome)
        run.history.registrations.append(entry)
        run.write("registered", callback, outcome.value, _told(answer))
        if isinstance(answer, Answer):
            return handed(answer.body, answer.receipt, answer.began_s)
        return answer

    def _take(self, job: Handed, callback: str) -> None:
        """Take a job, and use the callback."""
        assert self._called is not None
        self.is_pending = self.is_waiting = False
        self._note(job, callback, Outcome.OK)
        self._called.set_result(job)

    def _note(self, job: Handed, callback: str, outcome: Outcome) -> None:
        run, began_s = self._run, job.began_s
        run.write("arrived", callback, job.job_id, outcome.value)
        name = f"robot {self.number}"
        delivery = Delivery(job.data, job.job_id, name, callback, began_s, run.now_s(), outcome)
        run.history.deliveries.append(delivery)

    async def _work(self, job: Handed) -> None:
        run, dice = self._run, self._dice
        await asyncio.sleep(dice.uniform(0, run.plan.work_s))
        if self._is_healthy or dice.random() < 0.4:
            if self.key is None and run.plan.policy.lease_s is not None:
                await self._report("complete", job)
            return
        if run.plan.connected and dice.random() < 0.5:
            self._is_to_stop = False
            await self._report("progress", job)
            await asyncio.sleep(dice.uniform(0, 1.0))
            await self._report("progress", job)
            if self._is_to_stop and dice.random() < 0.5:
                await self._report("stopped", job)
                return
        act = dice.choice(("complete", "complete twice", "fail", "retry", "extend", "late"))
        if act in ("extend", "late"):
            if act == "extend":
                await self._report("extend", job)
            await asyncio.sleep(dice.uniform(0, 3.0))
            await self._report("complete", job)
        else:
            await self._report(act.split()[0], job)
            if act == "complete twice":
                await self._report("complete", job)

    async def _report(self, act: str, job: Handed) -> None:
        """Report until the report is accepted or refused, or a few times at most."""
        proof = self._dice.choice(
            (Proof(receipt=job.receipt), Proof(callback_url=self.callback), Proof(key=self.key))
        )
        for _ in range(4):
            self._run.write("report", act, job.job_id)
            if act == "retry":
                self._run.allow(job.data)
            try:
                placed = await self._run.requests.report(act, job.job_id, proof)
                self._is_to_stop = placed.job.cancelling
            except (CutOff, NotSent, StorageFailed):
                await asyncio.sleep(0.3)
            except Exception as error:
                self._run.write("reported", act, job.job_id, type(error).__name__)
                return
            else:
                self._run.write("reported", act, job.job_id)
                return

    # ---- what the network asks of it

    def put(self, callback: str, body: bytes, receipt: str, began_s: float) -> int:
        """Handle a PUT: take the job or not; return the status."""
        job = handed(body, receipt, began_s)
        if self.is_dead and callback == self.callback:
            self._run.swallowed.add((callback, job.job_id))
            self._note(job, callback, Outcome.OK)
            return 200
        is_there = self.is_pending and callback == self.callback and self.state == "running"
        status = 200 if is_there else 503
        if is_there and self._run.has_trouble:
            if self._dice.random() < self._run.plan.blames:
                status = 500
            elif self._dice.random() < self._run.plan.refuses:
                status = 503
        if status == 200:
            self._take(job, callback)
        else:
            self._note(job, callback, Outcome.FAILED)
        return status

    def expire(self, callback: str) -> int:
        """Handle the PUT that says that its time to wait is over; return the status."""
        run = self._run
        if not self.waits_on(callback) or self.is_dead:
            return 404
        run.write("expired", callback)
        self.is_pending = self.is_waiting = False
        assert self._called is not None
        self._called.set_result(None)
        return 200

    def waits_on(self, callback: str) -> bool:
        """Return what a GET of the callback answers."""
        is_known = self.is_dead or (self.is_pending and self.state == "running")
        return is_known and callback == self.callback

    # ---- what befalls it

    def befall(self, what: str) -> None:
        """Stop, continue, abandon or kill it."""
        if self.is_dead or self.state not in ("running", "stopped"):
            return
        self._run.write("robot", self.number, what)
        if what == "die":
            if self.key is not None and self.is_pending:
                self.is_dead = True
        elif what == "stop":
            self.state = "stopped"
            self._is_running.clear()
        elif what == "continue":
            self.state = "running"
            self._is_running.set()
        elif self.key is not None:
            self.state = "abandoned"
            self.is_pending = self.is_waiting = False


def _told(answer: object) -> str:
    return "" if answer is None else type(answer).__name__


class Engine:
    """All workers: robots, by the URLs of their instances, and connected ones."""

    def __init__(self, run: Simulation) -> None:
        self._run = run
        self.robots: list[Robot | ConnectedWorker] = []

    def start(self, *, has_key: bool, is_healthy: bool = False) -> None:
        """Start an instance."""
        self._begin(Robot(self._run, self._next, has_key=has_key, is_healthy=is_healthy))

    def connect(self, *, polls: bool) -> None:
        """Switch a connected worker on."""
        self._begin((Poller if polls else Tablet)(self._run, self._next))

    @property
    def _next(self) -> int:
        return len(self.robots) + 1

    def _begin(self, worker: Robot | ConnectedWorker) -> None:
        self.robots.append(worker)
        self._run.spawn(worker.live())

    def at(self, url: str) -> Robot:
        """Return the instance of a callback, or of an instance's URL."""
        robot = self.robots[int(url.split("/")[3]) - 1]
        assert isinstance(robot, Robot)
        return robot

"""Pages that were connected to an earlier run: a patch leads to what the server shows."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

from sanic_dispatch.core import commands as c
from sanic_dispatch.core import line
from sanic_dispatch.core.events import Event
from sanic_dispatch.core.receipts import Proof
from sanic_dispatch.core.state_machine import Now, StateMachine
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.dispatch.queries import EarlierRuns, forgotten_until_s, snapshot_of
from sanic_dispatch.live import finished, projection, views
from sanic_dispatch.live.connection import ViewKey
from sanic_dispatch.live.frames import Cursor
from sanic_dispatch.live.hub import Hub
from sanic_dispatch.live.projection import Projection
from sanic_dispatch.live.resumption import SHOWN_S
from sanic_dispatch.live.views import BOARD_WAITING
from sanic_dispatch.observability.event_bus import EventBus
from sanic_dispatch.storage.event_log import Epoch
from sanic_dispatch.storage.event_record import decode_events, encode_event, logged
from sanic_dispatch.storage.record_json import in_queue_order
from tests.core.test_state_machine_properties import MAKERS, SECRET, Player, worker
from tests.support.clock import START_S
from tests.support.story import FakeConnection, FakeLoop, state_of

BOARD, MONITOR = ViewKey("board"), ViewKey("monitor")
KEYS = (BOARD, MONITOR)

LIMITS = (
    "BOARD_WAITING", "BOARD_ASSIGNED", "BOARD_FINISHED", "MONITOR_WAITING", "MONITOR_ASSIGNED",
    "MONITOR_FINISHED", "MONITOR_FAILED", "MONITOR_WORKERS", "MONITOR_LOG",
)  # fmt: skip


class Page:
    """A page that keeps its state and its cursor when it loses its connection."""

    def __init__(self, key: ViewKey) -> None:
        self.key = key
        self.state: dict[str, Any] = {}
        self.at: str | None = None
        self.frame: dict[str, Any] = {}

    def look(self, hub: Hub) -> list[str]:
        """Connect for one frame, and check that it leads to the server's state.

        Return its kind if the page was last connected to an earlier run.
        """
        connection = FakeConnection()
        connection.state = self.state
        since = Cursor.parse(self.at) if self.at else None
        hub.leave(hub.follow(connection, self.key, since))
        self.frame, self.state, self.at = connection.taken[0], connection.state, connection.at
        assert self.state == state_of(hub, self.key)
        is_of_earlier_run = since is not None and Cursor.parse(self.at).epoch != since.epoch
        kind = next(iter({"state", "patch"} & self.frame.keys()), "heartbeat")
        return [f"{self.key.view}: {kind}"] if is_of_earlier_run else []


class Runs(Player):
    """A topic that is restarted: its records and its events are what lasts."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy)
        self.loop = FakeLoop()
        self.events: list[Event] = []
        self.epochs: list[Epoch] = []
        self._begin(EarlierRuns())

    def apply(self, command: c.Command) -> None:
        self.loop.elapsed_s += 1.0 / 3
        now_s = self.loop.elapsed_s
        applied = self.machine.apply(command, Now(START_S + now_s, now_s))
        self.due = (self.due + applied.effects)[-12:]
        self.events += applied.events
        self.bus.publish(applied.events)
        self.wait(0.0)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.loop.elapsed_s += seconds
        self.hub.projection.expire(self.loop.now_s())

    def restart(self) -> None:
        """Load what lasts, as a start does."""
        before, self.machine = self.machine, StateMachine(self.machine.policy)
        tables = before.tables
        self.machine.number = before.number
        self.machine.load(
            in_queue_order(list(tables.jobs._jobs.values())), tables.workers, list(tables.facts)
        )
        lines = [encode_event(logged(event)) for event in self.events]
        newest = decode_events(b"[%b]" % b",".join(lines))[-projection.EARLIER_EVENTS :]
        self._begin(EarlierRuns(self.epochs, newest, forgotten_until_s(self.machine.tables)))

    def _begin(self, earlier: EarlierRuns) -> None:
        self.bus = EventBus()
        self.bus.number = self.machine.number
        self.epochs.append(Epoch(self.bus.epoch, self.bus.number + 1, self.loop.now_s()))
        ordering = self.machine.policy.ordering
        self.hub = Hub(
            self.bus, self.loop, self.loop, new_projection=partial(Projection, ordering=ordering)
        )
        self.hub.show(self.hub.project(snapshot_of(self.machine.tables, earlier)))
        self.apply(c.Recover(SECRET))


WAITS_S = (0.1, 20.0, 200.0, 700.0, 4000.0)

HISTORIES = 40
STEPS = ["command"] * 20 + ["restart"] + ["wait"] + ["look"] * 4

POLICY_CHOICES: dict[str, tuple[Any, ...]] = {
    "max_attempts": (1, 3),
    "lease_s": (None, 10.0),
    "resend_doubt": (None, True, False),
    "probe_after_s": (0.0, 60.0),
    "keep_finished": (2, 100),
    "priorities": (False, True),
    "fair_by": (None, "/name"),
}


def submit(_: Player, about: int, choice: int) -> c.Command:
    """Submit an order of one of a few customers."""
    data = b'{"drink":"%b","name":"%d"}' % (DRINKS[choice % 2].encode(), about % 3)
    return c.Submit(f"order{about}-{choice}", data, priority=choice)


def register(_: Player, about: int, choice: int) -> c.Command:
    """Register a robot that makes one drink."""
    robot = worker(about, choice)
    return c.Register(robot._replace(rule=f"match.drink={DRINKS[choice % 2]}"))


def set_priority(player: Player, about: int, choice: int) -> c.Command:
    """Give an order another priority."""
    jobs = sorted(player.machine.tables.jobs._jobs)
    return c.SetPriority(jobs[about % len(jobs)] if jobs else "none", choice, "why")


def report_progress(player: Player, about: int, choice: int) -> c.Command:
    """Have a robot say how far it is, once it has an order."""
    held = player.machine.tables.jobs.assigned()
    jobs = sorted((job for job in held if job.worker), key=lambda job: job.id)
    if not jobs:
        return register(player, about, choice)
    job = jobs[about % len(jobs)]
    assert job.worker
    return c.ReportProgress(job.id, Proof(callback_url=job.worker.id), 10.0 * choice, "mixing")


ACTS = (*MAKERS, submit, register, set_priority, *[report_progress] * 8)

DRINKS = ("mojito", "beer")


def play(seed: int) -> list[str]:
    """Play a random history with restarts; return the kinds of frames after them, by view."""
    dice, got = random.Random(seed), []
    with pytest.MonkeyPatch.context() as patch:
        limit = dice.choice((2, 5, 500))
        for name in LIMITS:
            patch.setattr(views, name, limit)
        patch.setattr(projection, "EARLIER_EVENTS", dice.choice((8, 40, 512)))
        runs = Runs(Policy(**{name: dice.choice(each) for name, each in POLICY_CHOICES.items()}))
        pages = [Page(key) for key in KEYS for _ in range(2)]
        for _ in range(dice.randint(20, 150)):
            kind, page = dice.choice(STEPS), dice.choice(pages)
            if kind == "command":
                make = dice.choice(ACTS)
                runs.apply(make(runs, dice.randint(0, 7), dice.randint(0, 7)))
            elif kind == "wait":
                runs.wait(dice.choice(WAITS_S))
            else:
                if kind == "restart":
                    runs.restart()
                got += page.look(runs.hub)
        for page in pages:
            got += page.look(runs.hub)
    return got


def test_pages_end_equal_over_restarts() -> None:
    """Whatever happens, and however often the service restarts, a page ends equal to it."""
    got = Counter(kind for seed in range(HISTORIES) for kind in play(seed))
    assert min(got[f"{key.view}: {kind}"] for key in KEYS for kind in ("patch", "state")) > 5


def waiting(count: int) -> Runs:
    """A topic in which so many orders wait, and no robot."""
    runs = Runs(Policy())
    for number in range(1, count + 1):
        runs.apply(c.Submit(f"job{number}", b'{"drink":"Mojito"}'))
    return runs


def patch_over_restart(runs: Runs, key: ViewKey, steps: Sequence[c.Command]) -> set[str]:
    """Return the keys of the patch for a page that was away during these steps and a restart."""
    page = Page(key)
    page.look(runs.hub)
    for command in steps:
        runs.apply(command)
    runs.restart()
    assert page.look(runs.hub) == [f"{key.view}: patch"]
    return set(page.frame["patch"])


def test_a_patch_has_what_has_changed() -> None:
    """An order that came, one that went, the counts; on the monitor also the log."""
    steps = [c.Submit("job7", b"1"), c.Cancel("job2")]
    changed = {"order/2", "order/7", "bar", "line"}
    assert patch_over_restart(waiting(6), BOARD, steps) == changed
    lines = {"log/7", "log/8", "minute/28873539"}
    assert patch_over_restart(waiting(6), MONITOR, steps) == changed | lines


@pytest.mark.parametrize("step", [c.Pause(True), c.Register(worker(0, 0))])
def test_orders_that_wait_for_another_reason(step: c.Command) -> None:
    """They are in the patch if robots came or went meanwhile, or the topic was paused."""
    assert "order/2" in patch_over_restart(waiting(2), MONITOR, [step])


@pytest.mark.usefixtures("few_events")
@pytest.mark.parametrize("more", [1, 60])
def test_a_robot_that_was_awaited(more: int) -> None:
    """A start does not know that it was done a moment before, and no order waits for it."""
    runs, robot, page = waiting(0), worker(0, 0), Page(MONITOR)
    for command in (*served("job1", robot), c.Complete("job1", Proof(callback_url=robot.id))):
        runs.apply(command)
    for number in range(more):
        runs.apply(c.Submit(f"more{number}", b"1"))
    page.look(runs.hub)
    assert page.state["order/2"]["why"] == {"reason": "behind"}
    runs.restart()
    page.look(runs.hub)
    assert page.state["order/2"]["why"] == {"reason": "no_worker"}


def test_a_rule_that_was_matched_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """No event says so."""
    monkeypatch.setattr(line, "SLICE_JOBS", 1)
    runs, page = waiting(2), Page(MONITOR)
    register = c.Register(worker(0, 0)._replace(rule="match.drink=Mojito"))
    for command in (register, c.MatchRules(), c.MatchRules(), c.DeliveryAccepted("job1", 1)):
        runs.apply(command)
    page.look(runs.hub)
    assert page.state["order/2"]["why"] == {"reason": "matching"}
    monkeypatch.setattr(line, "SLICE_JOBS", 2)
    runs.restart()
    page.look(runs.hub)
    assert page.state["order/2"]["why"] == {"reason": "behind"}


def test_an_order_that_moved_up() -> None:
    """An order that is shown since another one went is in the patch; the next may be, too."""
    moved = BOARD_WAITING + 1
    patched = patch_over_restart(waiting(moved + 9), BOARD, [c.Cancel("job3")])
    assert patched == {"order/3", f"order/{moved}", f"order/{moved + 1}", "bar", "line"}


def test_orders_that_rose_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where more than events orders the line, any order may be shown instead of another."""
    monkeypatch.setattr(views, "BOARD_WAITING", 2)
    runs, page = Runs(Policy(priorities=True)), Page(BOARD)
    for number, priority in enumerate((7, 3, 3)):
        runs.apply(c.Submit(f"job{number}", b"1", priority=priority))
    page.look(runs.hub)
    assert "order/1" not in page.state
    runs.wait(3_000.0)
    runs.restart()
    assert page.look(runs.hub) == ["board: state"]
    assert "order/1" in page.state


@pytest.mark.parametrize(("more", "kind"), [(0, "patch"), (1, "state")])
def test_a_cursor_that_is_too_old(more: int, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """More events are not remembered: then the page gets the state."""
    monkeypatch.setattr(projection, "EARLIER_EVENTS", 3)
    runs, page = waiting(9), Page(BOARD)
    page.look(runs.hub)
    for number in range(3 + more):
        runs.apply(c.Submit(f"more{number}", b"1"))
    runs.restart()
    assert page.look(runs.hub) == [f"board: {kind}"]


def state_over_restart(runs: Runs, steps: Sequence[c.Command]) -> None:
    """Check that a monitor that was away during these steps and a restart gets the state."""
    page = Page(MONITOR)
    page.look(runs.hub)
    for command in steps:
        runs.apply(command)
    runs.restart()
    assert page.look(runs.hub) == ["monitor: state"]


def served(job_id: str, robot: Worker) -> Sequence[c.Command]:
    """Return how a robot comes to have an order, in the answer to its registration."""
    return [c.Submit(job_id, b"1"), c.Register(robot), c.AnswerWritten(job_id, 1)]


@pytest.fixture
def few_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remember few events."""
    monkeypatch.setattr(projection, "EARLIER_EVENTS", 9)
    monkeypatch.setattr(views, "MONITOR_LOG", 5)


def test_lines_of_the_log_that_others_pushed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The monitor lists so many; a page forgets those for which there is no room any more."""
    monkeypatch.setattr(views, "MONITOR_LOG", 5)
    runs = waiting(5)
    for number in range(1, 6):
        runs.apply(c.Cancel(f"job{number}"))
    steps = [c.Pause(True), c.Pause(False), c.Pause(True)]
    patched = patch_over_restart(runs, MONITOR, steps)
    lines = {f"log/{n}" for n in (6, 7, 8, 11, 12, 13)}
    assert {key for key in patched if key.startswith("log/")} == lines


def test_a_line_of_the_log_that_is_not_known_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress is not listed, so the lines before it stay; a start does not know them."""
    monkeypatch.setattr(projection, "EARLIER_EVENTS", 9)
    runs, robot = waiting(100), worker(0, 0)
    for command in (c.Register(robot), c.AnswerWritten("job1", 1)):
        runs.apply(command)
    said = [
        c.ReportProgress("job1", Proof(callback_url=robot.id), 5.0 * each) for each in range(20)
    ]
    for report in said[:-1]:
        runs.apply(report)
        runs.wait(1.0)
    state_over_restart(runs, said[-1:])


@pytest.mark.usefixtures("few_events")
def test_a_robot_that_an_event_does_not_name() -> None:
    """A robot asks for its order on a new callback; no event says that the former one is gone."""
    runs = waiting(0)
    for command in served("job1", worker(0, 0)):
        runs.apply(command)
    for number in range(100):
        runs.apply(c.Submit(f"more{number}", b"1"))
    state_over_restart(runs, [c.Register(worker(1, 0), lost=True)])


@pytest.mark.usefixtures("few_events")
def test_a_failed_order_that_was_forgotten() -> None:
    """It failed too long ago for an event to say so, and was forgotten when another ended."""
    runs, robots = Runs(Policy(keep_finished=2)), [worker(0, number) for number in range(3)]
    proofs = [Proof(callback_url=robot.id) for robot in robots]
    for number, end in enumerate((c.Fail("0", proofs[0], "no ice"), c.Complete("1", proofs[1]))):
        for command in (*served(str(number), robots[number]), end):
            runs.apply(command)
    for command in served("2", robots[2]):
        runs.apply(command)
    runs.wait(SHOWN_S)
    for number in range(100):
        runs.apply(c.Submit(f"more{number}", b"1"))
    state_over_restart(runs, [c.Complete("2", proofs[2])])


@pytest.mark.usefixtures("few_events")
def test_a_drink_that_was_ready_before_many_were_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """It leaves the board after ten minutes, also while the page is away and the service is off."""
    monkeypatch.setattr(finished, "MAX_EXPIRED", 20)
    runs, robot, page = waiting(0), worker(0, 0), Page(BOARD)
    for command in (*served("job1", robot), c.Complete("job1", Proof(callback_url=robot.id))):
        runs.apply(command)
    for number in range(20):
        runs.apply(c.Submit(f"cancelled{number}", b"1"))
        runs.apply(c.Cancel(f"cancelled{number}"))
    for number in range(BOARD_WAITING):
        runs.apply(c.Submit(f"more{number}", b"1"))
    page.look(runs.hub)
    assert "order/1" in page.state
    runs.wait(SHOWN_S)
    runs.restart()
    assert page.look(runs.hub) == ["board: patch"]
    assert "order/1" not in page.state


def test_robots_that_were_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A robot that is shown since another one has left has no event."""
    monkeypatch.setattr(views, "MONITOR_WORKERS", 2)
    runs = waiting(0)
    robots = [worker(number, 0) for number in (0, 2, 4)]
    for robot in robots:
        runs.apply(c.Register(robot))
    for number in range(10):
        runs.apply(c.Pause(bool(number % 2)))
    state_over_restart(runs, [c.DropWorker(robots[0].id)])

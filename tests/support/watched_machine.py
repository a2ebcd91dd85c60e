"""A state machine under random commands, with a live monitor of it, and what the log keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sanic_dispatch.core import commands as c
from sanic_dispatch.core import effects as e
from sanic_dispatch.core.events import Event
from sanic_dispatch.core.state_machine import Now
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.live.projection import Projection
from sanic_dispatch.live.views import Monitor
from tests.core.test_state_machine_properties import (
    MAKERS,
    SECRET,
    START_S,
    Player,
    connected,
    worker,
)

Step = tuple[int, int, int]

RULES = ("", "", "match.drink=mojito", "not.drink=mojito", "match.drink=gin-tonic|mojito")


def _submit(player: Player, about: int, choice: int) -> c.Command:
    data = b'{"drink":"%b","name":"%d"}' % ((b"mojito", b"gin-tonic")[choice % 2], about % 3)
    job_id = f"order {player.machine.number}"
    return c.Submit(job_id, data, priority=choice if about > 3 else None)


def _register(_: Player, about: int, choice: int) -> c.Command:
    robot = worker(about, choice)._replace(label=f"Robot {about}", rule=RULES[about % 5])
    return c.Register(robot, lost=choice == 7)


def _connect(_: Player, about: int, choice: int) -> c.Command:
    there = connected(about, choice)._replace(label=f"Tablet {about}", rule=RULES[about % 5])
    return c.RegisterConnected(there, f"connection{about}-{choice % 3}")


def _forget(player: Player, about: int, choice: int) -> c.Command:
    jobs = [job for job in player.machine.tables.jobs.unordered() if job.state.is_final]
    ref = jobs[about % len(jobs)].ref if jobs else None
    return c.Forget(ref.id, "why") if ref else c.LookForWorkers(choice)


# Without edits of files: the log does not have the data that they change.
OURS = (
    *MAKERS[3:-1],
    _submit,
    _submit,
    _submit,
    _submit,
    _register,
    _register,
    _register,
    _connect,
    _connect,
    _forget,
)


class WatchedMachine(Player):
    """A state machine and its live monitor; ``told`` gets the events of each command."""

    def __init__(self, policy: Policy, told: Callable[[Sequence[Event]], None]) -> None:
        super().__init__(policy)
        self._told = told
        self._live = Projection(policy.keep_done_s, policy.ordering)
        self._monitor = Monitor(self._live, "live", lambda: self.now_s)
        self.apply(c.Recover(SECRET))

    @property
    def now_s(self) -> float:
        """The time, Unix seconds; a command takes one."""
        return START_S + self._now_s

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self._now_s += seconds

    def apply(self, command: c.Command) -> None:
        """Apply a command, and tell of its events."""
        self._now_s += 1.0
        applied = self.machine.apply(command, Now(self.now_s, self._now_s))
        effects = [each for each in applied.effects if not isinstance(each, e.EraseData)]
        self.due = (self.due + effects)[-12:]
        events = self._live.promised(applied.events)
        self._live.fold(*events)
        self._told(events)

    def step(self, step: Step) -> None:
        """Apply one command."""
        kind, about, choice = step
        self.apply(OURS[kind % len(OURS)](self, about, choice))

    def shown(self) -> dict[str, Any]:
        """Return what the live monitor shows now."""
        self._live.expire(self.now_s)
        self._monitor.refresh()
        return self._monitor.entries()


def assert_same(rewound: dict[str, Any], shown: dict[str, Any]) -> None:
    """Both have the same entries; else say which differ."""
    differ = [key for key in {*shown, *rewound} if shown.get(key) != rewound.get(key)]
    assert not differ, [(key, shown.get(key), rewound.get(key)) for key in sorted(differ)]

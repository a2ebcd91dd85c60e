"""What is folded from the event log is what the live views showed."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import msgpack

from sanic_dispatch.core import commands as c
from sanic_dispatch.core.events import Event
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.live.finished import RECENT_S
from sanic_dispatch.live.past_projection import STATE_VERSION, PastProjection
from sanic_dispatch.live.views import MONITOR_LOG, Monitor
from sanic_dispatch.storage.event_log import EventWithPayload
from sanic_dispatch.storage.event_record import decode_events, recorded
from tests.core.test_state_machine_properties import STEPS, many, worker
from tests.support.watched_machine import Step, WatchedMachine, assert_same

POLICIES = st.builds(
    Policy,
    max_attempts=st.sampled_from((1, 3)),
    lease_s=st.sampled_from((None, 10.0)),
    resend_doubt=st.sampled_from((None, True, False)),
    probe_after_s=st.sampled_from((0.0, 60.0)),
    keep_finished=st.just(100),
    priorities=st.booleans(),
    fair_by=st.sampled_from((None, "/name")),
)


def tell(past: PastProjection, events: Sequence[Event]) -> None:
    """Fold what the log keeps of events."""
    for event in events:
        kept = recorded(event)
        (logged,) = decode_events(b"[%b]" % kept.line)
        past.tell(EventWithPayload(logged, kept.payload))


class Both:
    """A live monitor, and one that is folded from what the log keeps of the events."""

    def __init__(self, policy: Policy) -> None:
        self._ordering, self._keep_s = policy.ordering, policy.keep_done_s
        self._past = PastProjection(self._keep_s, self._ordering)
        self._rewound = Monitor(self._past, "past", lambda: 0.0)
        self._machine = WatchedMachine(policy, self._tell)

    def _tell(self, events: Sequence[Event]) -> None:
        tell(self._past, events)

    def play(self, steps: Sequence[Step]) -> None:
        """Apply commands, and compare the monitors after each."""
        for step in steps:
            self._machine.step(step)
            self.compare()

    def compare(self) -> None:
        """Both monitors show the same."""
        self._past.catch_up(self._machine.now_s)
        self._rewound.refresh()
        assert_same(self._rewound.entries(), self._machine.shown())

    def start_over(self) -> None:
        """Go on from the state of the fold."""
        encoded = self._past.encode(lambda: None)
        self._past = PastProjection(self._keep_s, self._ordering)
        self._past.restore(encoded, lambda: None)
        self._rewound = Monitor(self._past, "past", lambda: 0.0)


@many(400)
@given(POLICIES, STEPS)
def test_the_past_is_what_was_shown(policy: Policy, steps: Any) -> None:
    """After each command the view of the past equals the live one."""
    Both(policy).play(steps)


@many(150)
@given(POLICIES, STEPS, STEPS)
def test_a_snapshot_goes_on(policy: Policy, first: Any, second: Any) -> None:
    """A fold that goes on from a snapshot shows what one from the start would."""
    both = Both(policy)
    both.play(first)
    both.start_over()
    both.compare()
    both.play(second)


@pytest.mark.parametrize("seed", range(24))
def test_a_long_evening_with_snapshots(seed: int) -> None:
    """So it is over many commands, with leases that end, and customers who take turns."""
    random = Random(seed)
    policy = Policy(keep_finished=100, lease_s=3.0, fair_by="/name", priorities=seed % 2 == 0)
    both = Both(policy)
    for _ in range(12):
        both.play(
            [(random.randrange(10**6), random.randrange(8), random.randrange(8)) for _ in range(25)]
        )
        both.start_over()
        both.compare()


def test_a_snapshot_names_the_jobs_whose_data_it_has() -> None:
    """So it is removed when one of them is forgotten; customers were served by some of them."""
    policy = Policy(fair_by="/name")
    past = PastProjection(policy.keep_done_s, policy.ordering)
    machine = WatchedMachine(policy, lambda events: tell(past, events))
    for number, name in enumerate((b"Ada", b"Ada", b"Bob")):
        job_id = f"order {number}"
        machine.apply(c.Submit(job_id, b'{"name":"%b"}' % name))
        machine.apply(c.Register(worker(6, number)))
        machine.apply(c.AnswerWritten(job_id, 1))
        machine.wait(RECENT_S + 1.0)
    for at in range(MONITOR_LOG):  # what the monitor lists names jobs, too
        machine.apply(c.Pause(paused=at % 2 == 0))
    past.catch_up(machine.now_s)
    for _ in range(2):
        encoded = past.encode(lambda: None)
        assert past.orders == 0
        assert b"Ada" in encoded
        assert b"order 1" in encoded
        past = PastProjection(policy.keep_done_s, policy.ordering)
        past.restore(encoded, lambda: None)


def test_a_state_of_before() -> None:
    """One of an earlier version is refused: its jobs have other members."""
    encoded = PastProjection().encode(lambda: None)
    older = msgpack.encode(msgpack.decode(encoded) | {"version": STATE_VERSION - 1})
    PastProjection().restore(encoded, lambda: None)
    with pytest.raises(ValueError, match="version"):
        PastProjection().restore(older, lambda: None)


@pytest.mark.parametrize("bad", [b"", b"\x80", b"nonsense", b"\x93\x01\x02\x03"])
def test_a_state_that_is_none(bad: bytes) -> None:
    """What is not a state of this version is refused."""
    with pytest.raises(ValueError, match=r".+"):
        PastProjection().restore(bad, lambda: None)

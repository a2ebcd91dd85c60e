"""The harness reads hand-overs that no worker has seen, and compares the event log."""

from __future__ import annotations

import random
import time
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from sanic_dispatch.config.settings import Mode
from sanic_dispatch.core.timestamps import to_rfc3339
from tests.crash.harness import Harness
from tests.crash.records import Mark, Outcome, Submission

JOB = "0123456789abcdef"


@pytest.mark.parametrize(("attempts", "unsaid"), [([2], True), ([1, 2], False), ([1], False)])
def test_a_hand_over_that_was_killed_before_it_was_logged(
    attempts: list[int], unsaid: bool, tmp_path: Path
) -> None:
    """A second attempt without a first one implies one that was killed before it was logged."""
    harness = Harness(tmp_path / "bar", Mode.REDIS, random.Random(1), count=2)
    harness.history.submissions.append(Submission(b"1", 0.0, 1.0, Outcome.OK, JOB))
    harness.history.restarts_s = [1.0, killed_s := monotonic() - 5.0, monotonic() + 60.0]
    line = '{"timestamp":"%s","event":"job.assigned","job":"%s","attempt":%d}\n'
    lines = [line % (to_rfc3339(time.time()), JOB[:8], attempt) for attempt in attempts]
    harness.servers[0].log.touch()
    harness.servers[1].log.write_text("".join(lines))
    harness._read_log()
    assert (Mark(b"1", killed_s) in harness.history.cut_off) is unsaid
    assert len(harness.history.cut_off) == len(attempts) + unsaid


SUBMITTED = {"n": 1, "event": "job.submitted", "job": JOB[:8]}
OTHER = {"n": 2, "event": "worker.registered"}


@pytest.mark.parametrize(
    ("events", "gaps", "faults"),
    [
        ([SUBMITTED, OTHER], {}, 0),
        ([{**OTHER, "n": 1}], {}, 1),
        ([SUBMITTED, {**SUBMITTED, "n": 2}], {}, 1),
        ([SUBMITTED, {**OTHER, "n": 3}], {}, 1),
        ([SUBMITTED, OTHER], {"holes": [{"first": 3, "last": 4}]}, 1),
    ],
)
async def test_an_event_log_that_lacks_something(
    events: list[dict[str, Any]],
    gaps: dict[str, Any],
    faults: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each order that was acknowledged is there once, and numbers have no gaps."""
    harness = Harness(tmp_path / "bar", Mode.REDIS, random.Random(1))
    harness.history.submissions.append(Submission(b"1", 0.0, 1.0, Outcome.OK, JOB))

    async def ask(path: str) -> Any:
        at = 0 if path.endswith("after=0") else 1
        return {
            "events": events[at : at + 1],
            "next": None if events[at + 1 :] == [] else 1,
            **gaps,
        }

    monkeypatch.setattr(harness, "ask", ask)
    assert len(await harness._missing_events()) == faults

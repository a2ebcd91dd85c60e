"""The harness reads hand-overs from the log that no worker has seen."""

from __future__ import annotations

import random
import time
from pathlib import Path
from time import monotonic

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

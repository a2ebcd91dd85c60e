"""The committed records of which checkpoints are written, and which files are older than they."""

from __future__ import annotations

import pytest

from sanic_dispatch.core.tables import Record
from sanic_dispatch.storage.checkpoint import Records
from tests.storage.samples import Topic, job, worker


@pytest.mark.parametrize(
    ("mark", "record"),
    [("jobs_changed", job(1)), ("workers_changed", worker(1))],
    ids=["a job", "a worker"],
)
def test_a_batch_while_a_checkpoint_fails(mark: str, record: Record) -> None:
    """Its file is marked as outdated, however the thread of the checkpoint is interrupted."""
    records, topic = Records(), Topic()

    class Unwritten:
        def __getattr__(self, name: str) -> bool:
            if name == mark:
                records.apply(topic.put(record).changes)
            return False

    records.note_unwritten(Unwritten())  # type: ignore[arg-type]
    assert getattr(records, mark)

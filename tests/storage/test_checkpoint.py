"""A checkpoint writes the files that are older than the committed records."""

from __future__ import annotations

from pathlib import Path

import pytest

from sanic_dispatch.core.tables import Record
from sanic_dispatch.storage.checkpoint import CheckpointFiles, Pace, Records
from tests.storage.samples import Topic, job, worker


@pytest.mark.parametrize(
    ("name", "record", "later"),
    [("jobs.json", job(1), job(2)), ("workers.json", worker(1), worker(2))],
    ids=["a job", "a worker"],
)
def test_what_has_changed_is_written(
    name: str, record: Record, later: Record, tmp_path: Path
) -> None:
    """Of two batches of which one comes while files are written, the next checkpoint has both."""
    records, files, topic = Records(), CheckpointFiles(tmp_path, fsync=False), Topic()
    records.apply(topic.put(record).changes)
    snapshot = records.snapshot()
    records.apply(topic.put(later).changes)
    files.write(snapshot, 1, Pace())
    first = (tmp_path / name).read_bytes()
    files.write(records.snapshot(), 2, Pace())
    assert len((tmp_path / name).read_bytes()) > len(first)
    (tmp_path / name).unlink()
    files.write(records.snapshot(), 3, Pace())
    assert [path.name for path in tmp_path.iterdir()] == ["dispatch.json"]

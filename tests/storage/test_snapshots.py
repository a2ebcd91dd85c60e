"""Snapshots of what is folded from the event log."""

from __future__ import annotations

from pathlib import Path
from threading import Thread

import pytest

from sanic_dispatch.core.job import JobRef
from sanic_dispatch.storage.event_log import Retention
from sanic_dispatch.storage.segment_format import FOLDER
from sanic_dispatch.storage.segment_log import SegmentLog
from sanic_dispatch.storage.segment_writer import SEGMENT_EVENTS
from sanic_dispatch.storage.snapshots import (
    MemorySnapshots,
    SnapshotFiles,
    SnapshotRef,
    Snapshots,
)
from tests.storage.events import records
from tests.support.disk_faults import Disk, Killed

A, B, C = SnapshotRef(5, 1_000_000), SnapshotRef(10, 2_000_000), SnapshotRef(15, 3_000_000)


@pytest.fixture(params=["memory", "files"])
def snapshots(request: pytest.FixtureRequest, tmp_path: Path) -> Snapshots:
    return MemorySnapshots() if request.param == "memory" else SnapshotFiles(tmp_path)


def put_three(snapshots: Snapshots) -> None:
    for ref in (C, A, B):
        snapshots.put(ref, b"content of %d" % ref.n)


def test_kept_and_read(snapshots: Snapshots) -> None:
    """They are listed in order, and have what was put."""
    put_three(snapshots)
    assert snapshots.refs() == [A, B, C]
    assert snapshots.get(B) == b"content of 10"
    assert snapshots.get(SnapshotRef(7, 7)) is None


def test_of_events_that_are_gone(snapshots: Snapshots) -> None:
    """Later ones go with lost events; of older ones the last stays, as what the log began with."""
    put_three(snapshots)
    snapshots.remove_after(12)
    assert snapshots.refs() == [A, B]
    snapshots.put(C, b"3")
    snapshots.remove_before(14)
    assert snapshots.refs() == [B, C]
    snapshots.remove_before(4)
    assert snapshots.refs() == [B, C]


def test_one_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A passing fault of the disk removes none: the first may be of events that are gone.

    What is forgotten may be in it: then it is removed.
    """
    snapshots = SnapshotFiles(tmp_path)
    put_three(snapshots)
    with monkeypatch.context() as faulty:
        faulty.setattr(Path, "read_bytes", unreadable)
        with pytest.raises(OSError, match="Input/output error"):
            snapshots.get(A)
    assert snapshots.get(A) == b"content of 5"
    with monkeypatch.context() as faulty:
        faulty.setattr(Path, "read_bytes", unreadable)
        snapshots.erase([JobRef(1, "4711")])
    assert snapshots.refs() == []
    assert list(tmp_path.iterdir()) == []


def unreadable(_: Path) -> bytes:
    raise OSError(5, "Input/output error")


def test_erasing(snapshots: Snapshots) -> None:
    """One with an erased job is removed, and none is kept whose making had begun before."""
    put_three(snapshots)
    snapshots.put(B, b"with the job 4711 in it")
    snapshots.erase([JobRef(1, "4711")])
    assert snapshots.refs() == [A, C]
    assert snapshots.erased == 1
    snapshots.put(B, b"the job 4711 again")
    assert snapshots.refs() == [A, C]
    snapshots.put(B, b"the job 4711 without its data", erased=snapshots.erased)
    assert snapshots.refs() == [A, B, C]


def test_made_while_data_is_erased(tmp_path: Path) -> None:
    """A snapshot is removed that was made before the segments were cleared of the data."""
    log = SegmentLog(tmp_path, fsync=False)
    log.load()
    log.add(records(1, 3))
    log.flush()
    job = JobRef(1, "4711")

    def rest() -> None:
        log.snapshots.put(A, b"with the job 4711 in it", log.snapshots.erased)

    rest()
    log.erase([job], rest)
    assert log.snapshots.refs() == []


def test_a_fold_that_begins_while_data_is_erased(
    snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have gone on from a snapshot that is removed a moment later, and is not kept."""
    put_three(snapshots)
    snapshots.put(B, b"with the job 4711 in it")
    begun: list[tuple[bytes, int]] = []
    real = snapshots.get

    def get(ref: SnapshotRef) -> bytes | None:
        if ref == A and not begun:
            begun.append((real(B) or b"", snapshots.erased))
        return real(ref)

    monkeypatch.setattr(snapshots, "get", get)
    snapshots.erase([JobRef(1, "4711")])
    (fold,) = begun
    snapshots.put(SnapshotRef(20, 4_000_000), *fold)
    assert snapshots.refs() == [A, C]


def test_a_fold_that_ends_while_data_is_erased(
    snapshots: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits until that is over, and is not kept."""
    put_three(snapshots)
    ends = Thread(target=snapshots.put, args=(B, b"with the job 4711 in it", snapshots.erased))
    real = snapshots.get

    def get(ref: SnapshotRef) -> bytes | None:
        if ref == C:  # the last one is looked at
            ends.start()
        return real(ref)

    monkeypatch.setattr(snapshots, "get", get)
    snapshots.erase([JobRef(1, "4711")])
    ends.join()
    assert snapshots.get(B) == b"content of 10"


def test_one_that_a_kill_has_broken_off(tmp_path: Path) -> None:
    """What is left of it goes when data is erased: it may have that, and nobody reads it."""
    snapshots = SnapshotFiles(tmp_path)
    put_three(snapshots)
    with pytest.MonkeyPatch.context() as patch:
        Disk(patch, tmp_path).kill_at(3)  # it is written, and not renamed
        with pytest.raises(Killed):
            snapshots.put(SnapshotRef(20, 4_000_000), b"with the job 4711 in it")
    assert list(tmp_path.glob(".past-*")) != []
    SnapshotFiles(tmp_path).erase([JobRef(1, "4711")])
    assert list(tmp_path.glob(".past-*")) == []


def test_found_in_the_folder(tmp_path: Path) -> None:
    """Another run finds them; damaged ones are removed, and other files are left alone."""
    put_three(SnapshotFiles(tmp_path))
    (tmp_path / "past-x.snapshot").write_bytes(b"")
    again = SnapshotFiles(tmp_path)
    assert again.refs() == []
    again.find()
    assert again.refs() == [A, B, C]
    (path,) = tmp_path.glob("past-*10-*.snapshot")
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert again.get(B) is None
    assert again.refs() == [A, C]
    assert not path.exists()
    (path,) = tmp_path.glob(f"past-*{A.at_us}.snapshot")
    path.write_bytes(bytes(4))  # nothing, whose checksum is right
    assert again.get(A) is None
    assert again.refs() == [C]
    SnapshotFiles(tmp_path / "missing").find()


def test_a_folder_without_room(tmp_path: Path) -> None:
    """What cannot be written is not there; that is not an error."""
    snapshots = SnapshotFiles(tmp_path / "missing")
    snapshots.put(A, b"1")
    assert snapshots.refs() == []


def test_dropped_with_their_segments(tmp_path: Path) -> None:
    """When a segment is dropped, one snapshot says what the rest of the log begins with."""
    log = SegmentLog(tmp_path, fsync=False, retention=Retention(keep_bytes=1))
    log.load()
    log.add(records(1, SEGMENT_EVENTS + 10))
    for n in (100, 200, SEGMENT_EVENTS, SEGMENT_EVENTS + 5):
        (tmp_path / FOLDER).mkdir(exist_ok=True)
        log.snapshots.put(SnapshotRef(n, n), b"1")
    log.flush()
    assert SEGMENT_EVENTS in log.cuts()
    assert [ref.n for ref in log.snapshots.refs()] == [SEGMENT_EVENTS, SEGMENT_EVENTS + 5]
    log.remove_after(SEGMENT_EVENTS + 2)
    assert [ref.n for ref in log.snapshots.refs()] == [SEGMENT_EVENTS]

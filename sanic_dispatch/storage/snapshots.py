"""Snapshots of what is folded from the event log, in the folder of its segments or in memory.

They are derived: a fold that finds none begins with the first event, and one that is missing or
damaged is made again; but if the oldest events were dropped, the first one alone says what there
was before the others. Only the one who makes a snapshot knows what is in it. It has data of jobs,
so it is removed when the data of one of them is erased.
"""

from __future__ import annotations

import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from threading import RLock
from typing import NamedTuple

from sanic_dispatch.core.job import JobRef
from sanic_dispatch.storage.atomic_file import replace_file
from sanic_dispatch.storage.segment_format import files_in

SNAPSHOT_SUFFIX = ".snapshot"

_NAME = re.compile(r"past-(\d{15})-(\d{1,18})\.snapshot")


class SnapshotRef(NamedTuple):
    """Names a snapshot: the number of the last event in it, and its time, Unix microseconds."""

    n: int
    at_us: int

    @classmethod
    def of(cls, n: int, at_s: float) -> SnapshotRef:
        """Return the name of the snapshot with an event at ``at_s`` (Unix seconds) as its last."""
        return cls(n, round(at_s * 1e6))


class Snapshots(ABC):
    """Snapshots by their last event. Threads may share them."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._refs: set[SnapshotRef] = set()
        self._erased: list[JobRef] = []
        """The jobs that were erased in this run, in order."""

    def refs(self) -> list[SnapshotRef]:
        """Return the names of all snapshots, in order."""
        with self._lock:
            return sorted(self._refs)

    def put(self, ref: SnapshotRef, content: bytes, erased: int = 0) -> None:
        """Keep a snapshot, if there is room for it, and no job in it was erased meanwhile.

        ``erased`` is what the property was when the fold began.
        """
        packed = zlib.compress(content)
        with self._lock, suppress(OSError):
            if not has_any(content, self._erased[erased:]):
                self._write(ref, packed)
                self._refs.add(ref)

    def get(self, ref: SnapshotRef) -> bytes | None:
        """Return a snapshot; None if it is gone or damaged. Raises OSError if it cannot be read."""
        with suppress(FileNotFoundError, KeyError, zlib.error):
            packed = self._read(ref)
            if packed is not None:
                return zlib.decompress(packed)
        self.remove(ref)
        return None

    def remove(self, ref: SnapshotRef) -> None:
        """Remove a snapshot; no-op if it is gone. Raises OSError."""
        self._delete(ref)
        with self._lock:
            self._refs.discard(ref)

    def remove_after(self, n: int) -> None:
        """Remove snapshots with events after a number, which are gone. Raises OSError."""
        for ref in self.refs():
            if ref.n > n:
                self.remove(ref)

    def remove_before(self, n: int) -> None:
        """Remove what is only needed for events before a number, which are gone. Raises OSError.

        The last snapshot up to there says what the log began with.
        """
        for ref in [ref for ref in self.refs() if ref.n <= n][:-1]:
            self.remove(ref)

    def erase(self, jobs: Collection[JobRef]) -> None:
        """Remove the snapshots that have one of these jobs, or cannot be read. Raises OSError.

        The log has to be without their data by then: folds that began before the last of these
        snapshots was gone, and may have gone on from one, are not kept.
        """
        with self._lock:
            for ref in self.refs():
                if self._may_have_any(ref, jobs):
                    self.remove(ref)
            self._erased += jobs

    def _may_have_any(self, ref: SnapshotRef, jobs: Collection[JobRef]) -> bool:
        try:
            content = self.get(ref)
        except OSError:
            return True
        return content is not None and has_any(content, jobs)

    @property
    def erased(self) -> int:
        """How many jobs were erased in this run; one counts each time."""
        return len(self._erased)

    def find(self) -> None:
        """Look for the snapshots that are there now."""
        return

    def forget(self) -> None:
        """Treat all snapshots as gone."""
        with self._lock:
            self._refs = set()

    @abstractmethod
    def _write(self, ref: SnapshotRef, packed: bytes) -> None: ...

    @abstractmethod
    def _read(self, ref: SnapshotRef) -> bytes | None: ...

    @abstractmethod
    def _delete(self, ref: SnapshotRef) -> None: ...


def has_any(content: bytes, jobs: Collection[JobRef]) -> bool:
    """Return whether a snapshot has one of these jobs."""
    return any(job.id.encode() in content for job in jobs)


class MemorySnapshots(Snapshots):
    """Snapshots of this run."""

    def __init__(self) -> None:
        super().__init__()
        self._contents: dict[SnapshotRef, bytes] = {}

    def _write(self, ref: SnapshotRef, packed: bytes) -> None:
        self._contents[ref] = packed

    def _read(self, ref: SnapshotRef) -> bytes | None:
        return self._contents[ref]

    def _delete(self, ref: SnapshotRef) -> None:
        self._contents.pop(ref, None)


class SnapshotFiles(Snapshots):
    """Snapshots in a folder, each in a file of its own, compressed and with a checksum."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def find(self) -> None:
        names = (_NAME.fullmatch(path.name) for path in files_in(self._folder))
        found = {SnapshotRef(int(name[1]), int(name[2])) for name in names if name}
        with self._lock:
            self._refs = found

    def erase(self, jobs: Collection[JobRef]) -> None:
        with self._lock:  # nobody writes one
            for path in files_in(self._folder):
                if path.match(".past-*.new"):  # a kill has broken it off
                    path.unlink(missing_ok=True)
            super().erase(jobs)

    def _path(self, ref: SnapshotRef) -> Path:
        return self._folder / f"past-{ref.n:015}-{ref.at_us}{SNAPSHOT_SUFFIX}"

    def _write(self, ref: SnapshotRef, packed: bytes) -> None:
        check = zlib.crc32(packed).to_bytes(4, "little")
        replace_file(self._path(ref), [packed, check], fsync=False)

    def _read(self, ref: SnapshotRef) -> bytes | None:
        stored = self._path(ref).read_bytes()
        if zlib.crc32(stored[:-4]).to_bytes(4, "little") != stored[-4:]:
            return None
        return stored[:-4]

    def _delete(self, ref: SnapshotRef) -> None:
        self._path(ref).unlink(missing_ok=True)

"""Read the JSON files and journals of a data folder, without changing them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from sanic_dispatch.errors import NotAQueue
from sanic_dispatch.storage.checkpoint import Records
from sanic_dispatch.storage.entries import QUEUED, WORKERS, Kind, R, read_array
from sanic_dispatch.storage.journal import (
    BatchRead,
    JournalRead,
    journal_path,
    journals_in,
    read_journals,
)
from sanic_dispatch.storage.json_file_journal import Leftover, placed, read_leftover
from sanic_dispatch.storage.json_format import (
    DISPATCH_NAME,
    JOBS_NAME,
    JOURNALED,
    STANDALONE,
    WORKERS_NAME,
    LedgerRead,
    read_ledger,
    read_synced,
)
from sanic_dispatch.storage.record_json import in_queue_order, order_of
from sanic_dispatch.storage.segment_log import SegmentLog
from sanic_dispatch.storage.store import Stored


class FolderRead(NamedTuple):
    """The records of a folder after replaying its journals.

    ``version`` is that of ``dispatch.json``, ``last_journal`` the highest journal number in use so
    far, ``has_places`` whether ``workers.json`` has places; ``replayed`` are the journals that were
    not yet part of the files, and ``left`` those of JsonFile.
    """

    records: Records
    version: int
    last_journal: int
    has_places: bool
    replayed: Sequence[JournalRead]
    left: Leftover

    @property
    def has_batches(self) -> bool:
        """Whether the journals have batches that are not in the files."""
        return any(journal.batches for journal in self.replayed) or bool(self.left.unfinished)

    def stored(self) -> Stored:
        """Return all records: in the order of the files, or sorted if journals were replayed."""
        jobs, workers = list(self.records.jobs.values()), list(self.records.workers.values())
        if self.has_batches:
            jobs = in_queue_order(jobs)
            workers.sort(key=order_of)
        return Stored(jobs, workers, list(self.records.facts.values()))


def read_folder(
    folder: Path, *, jobs: bool = True, workers: bool = True, fsync: bool = False
) -> FolderRead:
    """Read the files and replay the journals. Raises NotAQueue.

    With ``fsync`` each file is synced before it is read, so that nothing depends on data that a
    crash could still lose. Without ``jobs``, or ``workers``, that file is not read.
    """
    ledger = read_ledger(folder / DISPATCH_NAME, fsync=fsync)
    journals = journals_in(folder)
    replayed = _read_journals(folder, ledger, journals, fsync=fsync)
    records = Records()
    records.facts = {fact.id: fact for fact in ledger.facts}
    records.last_event = ledger.event
    queued = _read_records(folder / JOBS_NAME, QUEUED, fsync=fsync)[0] if jobs else []
    records.jobs = {job.id: job for job in queued}
    for found in ledger.finished:  # a job that is in both files is in the queue
        records.jobs.setdefault(found.record.id, found.record)
    has_places = False
    if workers:
        present, has_places = _read_records(folder / WORKERS_NAME, WORKERS, fsync=fsync)
        records.workers = {worker.id: worker for worker in present}
    left = read_leftover(folder, fsync=fsync)
    if left.unfinished is not None:
        records.apply(placed(left.unfinished.changes, records.workers.values()))
    for journal in replayed:
        for batch in journal.batches:
            records.apply(batch.changes)
    last = max([ledger.journal or 0, *journals])
    return FolderRead(records, ledger.version, last, has_places, replayed, left)


def _read_journals(
    folder: Path, ledger: LedgerRead, journals: dict[int, Path], *, fsync: bool
) -> list[JournalRead]:
    """Read the journals after the one that ``dispatch.json`` names; others are in the files."""
    number = ledger.journal or 0
    following = {each: path for each, path in journals.items() if each > number}
    if ledger.version == JOURNALED:
        for expected in range(number + 1, max([number + 1, *following]) + 1):
            if expected not in following:
                path = journal_path(folder, expected)
                raise NotAQueue(path, f"is missing, and {DISPATCH_NAME} counts on it")
    read = read_journals(following, fsync=fsync)
    if ledger.version == STANDALONE:
        for journal in read:
            if journal.batches:
                raise NotAQueue(journal.path, f"has batches that {DISPATCH_NAME} does not refer to")
        return []
    return read


def _read_records(path: Path, kind: Kind[R], *, fsync: bool) -> tuple[list[R], bool]:
    """Return the records of an array, and whether they have places."""
    content = read_synced(path, fsync=fsync)
    if content is None:
        return [], False
    records = [found.record for found in read_array(path.resolve(), kind, content)]
    return records, b'"place":' in content


def load_history(log: SegmentLog, found: FolderRead) -> None:
    """Load the segments of a folder that was read, and add the events of its journals.

    Raises NotAQueue if the segments cannot be listed.
    """
    journals = (batch for journal in found.replayed for batch in journal.batches)
    load_log(log, found.records.last_event, chain(found.left.batches, journals))


def load_log(log: SegmentLog, last_event: int, batches: Iterable[BatchRead]) -> None:
    """Load the segments of a folder, and add the events of batches. Raises NotAQueue."""
    try:
        log.load(last_event)
    except OSError as error:
        raise NotAQueue(log.files.folder, f"cannot be read: {error.strerror}") from error
    log.add_later(batches)

"""What a data folder holds in JSON files and journals, read without changing anything."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from sanic_dispatch.errors import NotAQueue
from sanic_dispatch.storage.atomic_file import fsync_found
from sanic_dispatch.storage.checkpoint import Records
from sanic_dispatch.storage.entries import QUEUED, WORKERS, Kind, R, read_array
from sanic_dispatch.storage.journal import (
    JournalRead,
    journal_path,
    journals_in,
    read_journal,
)
from sanic_dispatch.storage.records import order_of
from sanic_dispatch.storage.store import Stored
from sanic_dispatch.storage.whole_files import (
    DISPATCH_NAME,
    JOBS_NAME,
    JOURNALED,
    SETTLED,
    WORKERS_NAME,
    LedgerRead,
    read_found,
    read_ledger,
)


class FolderRead(NamedTuple):
    """What was read: records as of the end of the last journal, and where the journals are.

    ``last_journal`` is the highest number that there is or was; ``has_places`` says whether
    ``workers.json`` has places; ``replayed`` are the journals that count.
    """

    records: Records
    version: int
    last_journal: int
    has_places: bool
    replayed: Sequence[JournalRead]

    @property
    def has_batches(self) -> bool:
        """Whether the journals say more than the files."""
        return any(journal.batches for journal in self.replayed)

    def stored(self) -> Stored:
        """Return everything: in the order of the files, unless the journals say more."""
        jobs, workers = list(self.records.jobs.values()), list(self.records.workers.values())
        if self.has_batches:
            queued = [job for job in jobs if not job.state.is_final]
            queued.sort(key=attrgetter("place", "ticket"))
            finished = [job for job in jobs if job.state.is_final]
            jobs = queued + sorted(finished, key=order_of)
            workers.sort(key=order_of)
        return Stored(jobs, workers, list(self.records.facts.values()))


def read_folder(
    folder: Path, *, jobs: bool = True, workers: bool = True, fsync: bool = False
) -> FolderRead:
    """Read files and journals. With ``fsync`` all of it is synced first. Raises NotAQueue.

    Without ``jobs``, or ``workers``, their file is not read.
    """
    ledger = read_ledger(folder / DISPATCH_NAME, fsync=fsync)
    journals = journals_in(folder)
    replayed = _read_journals(folder, ledger, journals, fsync=fsync)
    records = Records()
    records.facts = {fact.id: fact for fact in ledger.facts}
    queued = _read_records(folder / JOBS_NAME, QUEUED, fsync=fsync)[0] if jobs else []
    kept = {found.record.id: found.record for found in ledger.finished}
    for job in queued:
        kept.pop(job.id, None)  # a job that is in both files is in the queue
    records.jobs = {job.id: job for job in queued} | kept
    has_places = False
    if workers:
        found, has_places = _read_records(folder / WORKERS_NAME, WORKERS, fsync=fsync)
        records.workers = {worker.id: worker for worker in found}
    for journal in replayed:
        for batch in journal.batches:
            records.apply(batch)
    last = max([ledger.journal or 0, *journals])
    return FolderRead(records, ledger.version, last, has_places, replayed)


def needs_settling(folder: Path) -> bool:
    """Whether there are journals, or a ``dispatch.json`` that counts only together with some."""
    if journals_in(folder):
        return True
    path = folder / DISPATCH_NAME
    if not path.is_file():
        return False
    try:
        with open(path, "rb") as file:
            return file.read(64).startswith(b'{"version":%d,' % JOURNALED)
    except OSError:
        return False  # whoever reads it says what is wrong


def _read_journals(
    folder: Path, ledger: LedgerRead, journals: dict[int, Path], *, fsync: bool
) -> list[JournalRead]:
    """Read the journals after the one that ``dispatch.json`` names; the others are in the files."""
    number = ledger.journal or 0
    following = {each: path for each, path in journals.items() if each > number}
    if ledger.version == JOURNALED:
        for expected in range(number + 1, max([number + 1, *following]) + 1):
            if expected not in following:
                path = journal_path(folder, expected)
                raise NotAQueue(path, f"is missing, and {DISPATCH_NAME} counts on it")
    read = [_read_synced(path, each, fsync=fsync) for each, path in following.items()]
    _check_ends(read)
    if ledger.version == SETTLED:
        for journal in read:
            if journal.batches:
                raise NotAQueue(journal.path, f"is there, and {DISPATCH_NAME} does not know of it")
        return []
    return read


def _read_synced(path: Path, number: int, *, fsync: bool) -> JournalRead:
    if not path.is_file():
        raise NotAQueue(path, "is no regular file")
    if fsync:
        try:
            fsync_found(path)
        except OSError as error:
            raise NotAQueue(path, f"cannot be synced: {error.strerror}") from error
    return read_journal(path, number)


def _check_ends(journals: Sequence[JournalRead]) -> None:
    """Refuse a torn line that others follow: it cannot be the last that was written."""
    for at, journal in enumerate(journals):
        if journal.torn and any(later.batches for later in journals[at + 1 :]):
            where = f"at byte {journal.size - journal.torn}"
            raise NotAQueue(journal.path, f"{where}: its last line has no end, and others follow")


def _read_records(path: Path, kind: Kind[R], *, fsync: bool) -> tuple[list[R], bool]:
    """Read the records of an array, and whether they have places."""
    content = read_found(path, fsync=fsync)
    if content is None:
        return [], False
    records = [found.record for found in read_array(path.resolve(), kind, content)]
    return records, b'"place":' in content

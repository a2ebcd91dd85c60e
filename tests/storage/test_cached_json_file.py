"""CachedJsonFile: journals and checkpoints, and what a start makes of them.

CRASH_SEED repeats the random numbers of an earlier run.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event as ThreadEvent
from threading import Thread
from typing import Any

import pytest
import ujson
from hypothesis import given
from hypothesis import strategies as st

from sanic_dispatch.core.tables import Fact
from sanic_dispatch.errors import NotAQueue, OutcomeUnknown, StorageFailed
from sanic_dispatch.storage.cached_json_file import CachedJsonFileStore, JournaledFiles
from sanic_dispatch.storage.checkpoint import CHUNK, RUN, CheckpointFiles, Pace, Snapshot
from sanic_dispatch.storage.checkpoint import in_order as in_order_of
from sanic_dispatch.storage.journal import Journal, journals_in
from sanic_dispatch.storage.record_json import encode_worker, order_of
from sanic_dispatch.storage.store import Stored
from tests.storage.samples import (
    Topic,
    done,
    free,
    held,
    in_order,
    job,
    one_of_each,
    worker,
)
from tests.support.disk_faults import Disk, Killed
from tests.support.seeds import IS_TORTURE, seed_of

SEED = seed_of("CRASH_SEED")


def opened(folder: Path, *, fsync: bool = True) -> JournaledFiles:
    """Return the blocking store, loaded."""
    files = JournaledFiles(folder, fsync=fsync)
    files.load()
    return files


def loaded(folder: Path) -> Stored:
    """Return what a start on this folder would load."""
    return in_order(JournaledFiles(folder, fsync=False).load())


def checkpoint(files: JournaledFiles) -> None:
    """Write a checkpoint, as after a second of quiet."""
    files.create_spare()
    turned = files.rotate()
    files.write_checkpoint(*turned)


def some(places: Sequence[int]) -> Sequence[int]:
    """Return the places in a file to try: all in the torture, else a hundred."""
    if IS_TORTURE:
        return places
    print(f"CRASH_SEED={SEED}")  # noqa: T201 - pytest shows it where the test fails
    return random.Random(SEED).sample(places, min(100, len(places)))


def names(folder: Path) -> list[str]:
    """Return the files in a folder, except the lock."""
    return sorted(path.name for path in folder.iterdir() if path.name != ".dispatch.lock")


def version(folder: Path) -> tuple[int, int]:
    """Return the version in dispatch.json."""
    entry = ujson.loads((folder / "dispatch.json").read_bytes())
    return entry["version"], entry["journal"]


def test_a_batch_is_one_line(tmp_path: Path) -> None:
    """A batch appends a line to the journal, and touches no other file."""
    files, topic = opened(tmp_path), Topic()
    files.commit(topic.apply(one_of_each(topic)))
    before = {path: path.stat() for path in tmp_path.iterdir()}
    files.commit(topic.apply(topic.put(job(10))))
    changed = [path.name for path, stat in before.items() if path.stat() != stat]
    assert changed == ["dispatch.journal-1"]
    lines = (tmp_path / "dispatch.journal-1").read_bytes().splitlines()
    assert len(lines) == 3
    assert b'[{"batch":2},{"job":{"id":"%b"' % job(10).id.encode() in lines[2]


def test_data_of_several_lines(tmp_path: Path) -> None:
    """A batch is one line also where a job's data has line breaks, and each byte is there again."""
    files, topic = opened(tmp_path), Topic()
    files.commit(topic.apply(topic.put(job(1, b'{\r\n  "drink": "mojito"\n}'))))
    files.commit(topic.apply(topic.put(done(job(2), result=b"[\n]"))))
    assert (tmp_path / "dispatch.journal-1").read_bytes().count(b"\n") == 3
    assert loaded(tmp_path) == topic.stored()


def test_older_programs_refuse_a_running_folder(tmp_path: Path) -> None:
    """From the first batch to a clean stop dispatch.json has a version that they refuse."""
    files, topic = opened(tmp_path), Topic()
    assert names(tmp_path) == []
    files.commit(topic.apply(one_of_each(topic)))
    assert version(tmp_path) == (2, 0)
    checkpoint(files)
    assert version(tmp_path) == (2, 1)
    files.close()
    assert version(tmp_path)[0] == 1


def test_a_clean_stop_leaves_the_files_of_version_1(tmp_path: Path) -> None:
    """Three files, no journal, and no places in workers.json."""
    files, topic = opened(tmp_path), Topic()
    files.commit(topic.apply(one_of_each(topic)))
    checkpoint(files)
    files.commit(topic.apply(topic.remove(worker(1))))
    checkpoint(files)
    assert b'"place"' in (tmp_path / "workers.json").read_bytes()
    files.close()
    assert names(tmp_path) == ["dispatch.json", "jobs.json", "workers.json"]
    assert b'"place"' not in (tmp_path / "workers.json").read_bytes()
    assert loaded(tmp_path) == topic.stored()


def test_a_start_and_a_stop_change_nothing(tmp_path: Path) -> None:
    """Without a batch no file is written or created."""
    (tmp_path / "jobs.json").write_bytes(
        b'[ {"id":"a","data":1,"submitted_at":"2024-11-24T01:39:00Z"}]'
    )
    opened(tmp_path).close()
    assert names(tmp_path) == ["jobs.json"]
    assert (tmp_path / "jobs.json").read_bytes().startswith(b"[ {")


def test_the_order_after_a_checkpoint_and_a_kill(tmp_path: Path) -> None:
    """Workers keep their order, though those in front of them are gone from workers.json."""
    files, topic = opened(tmp_path), Topic()
    files.commit(topic.apply(topic.put(*[worker(n) for n in range(1, 7)])))
    files.commit(topic.apply(topic.remove(worker(1), worker(2), worker(3))))
    checkpoint(files)
    files.commit(topic.apply(topic.put(worker(4).set_aside_by_operator(5.0, ""))))
    files.commit(topic.apply(topic.put(worker(7))))
    assert loaded(tmp_path) == topic.stored()


def test_batches_during_a_checkpoint(tmp_path: Path) -> None:
    """Batches committed meanwhile are in the next journal, and are loaded."""
    files, topic = opened(tmp_path), Topic()
    files.commit(topic.apply(one_of_each(topic)))
    files.create_spare()
    files.commit(topic.apply(topic.put(job(10))))
    turned = files.rotate()
    files.commit(topic.apply(topic.put(held(job(10), worker(4)), Fact("paused", False))))
    assert list(journals_in(tmp_path)) == [1, 2]
    assert loaded(tmp_path) == topic.stored()
    files.write_checkpoint(*turned)
    assert list(journals_in(tmp_path)) == [2]
    assert loaded(tmp_path) == topic.stored()
    files.commit(topic.apply(topic.remove(job(1))))
    assert loaded(tmp_path) == topic.stored()


def test_the_first_batch_between_the_steps_of_a_checkpoint(tmp_path: Path) -> None:
    """It takes the new journal as its own; then the checkpoint begins another one."""
    topic = used(tmp_path)
    files = opened(tmp_path)
    topic.restarted()
    files.create_spare()
    files.commit(topic.apply(topic.put(job(20))))
    files.write_checkpoint(*files.rotate())
    assert version(tmp_path) == (2, 4)
    assert list(journals_in(tmp_path)) == [5]
    assert loaded(tmp_path) == topic.stored()


def test_a_checkpoint_before_the_first_batch(tmp_path: Path) -> None:
    """After a clean stop dispatch.json refers to a journal before that has batches."""
    files, topic = opened(tmp_path), Topic()
    files.commit(topic.apply(one_of_each(topic)))
    files.close()
    files = opened(tmp_path)
    topic.restarted()
    files.create_spare()
    turned = files.rotate()
    files.commit(topic.apply(topic.put(job(20))))
    assert loaded(tmp_path) == topic.stored()
    files.write_checkpoint(*turned)
    assert loaded(tmp_path) == topic.stored()


def test_journals_that_are_in_the_files_are_ignored(tmp_path: Path) -> None:
    """A journal that a kill left, and that dispatch.json includes, is not replayed."""
    files, topic = opened(tmp_path), Topic()
    files.commit(topic.apply(one_of_each(topic)))
    old = (tmp_path / "dispatch.journal-1").read_bytes()
    checkpoint(files)
    files.commit(topic.apply(topic.remove(job(1))))
    (tmp_path / "dispatch.journal-1").write_bytes(old)
    assert loaded(tmp_path) == topic.stored()
    (tmp_path / "dispatch.journal-1").write_bytes(b"what was unlinked is not looked at")
    assert loaded(tmp_path) == topic.stored()


def test_numbers_go_on(tmp_path: Path) -> None:
    """Numbers of journals are never reused, whether the journals were closed or left."""
    seen: set[int] = set()
    topic = Topic()
    for run in range(4):
        files = opened(tmp_path)
        topic.restarted()
        files.commit(topic.apply(topic.put(job(run + 1))))
        new = set(journals_in(tmp_path)) - seen
        assert new
        assert min(new) > max(seen, default=0)
        seen |= new
        if run % 2:
            files.close()
    assert loaded(tmp_path) == topic.stored()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda folder: (folder / "dispatch.journal-2").unlink(), "is missing, and dispatch.json"),
        (lambda folder: (folder / "dispatch.journal-3").unlink(), "is missing, and dispatch.json"),
        (lambda folder: (folder / "dispatch.json").unlink(), "does not refer to"),
    ],
)
def test_a_missing_file(spoil: Callable[[Path], None], reason: str, tmp_path: Path) -> None:
    """A missing journal that counts is refused, and so is a missing dispatch.json."""
    files, topic = opened(tmp_path), Topic()
    files.commit(topic.apply(one_of_each(topic)))
    checkpoint(files)
    files.commit(topic.apply(topic.put(job(10))))
    files.create_spare()
    files.rotate()
    files.commit(topic.apply(topic.put(job(11))))
    files.create_spare()
    files.rotate()
    assert list(journals_in(tmp_path)) == [2, 3, 4]
    spoil(tmp_path)
    with pytest.raises(NotAQueue, match=reason):
        loaded(tmp_path)


def test_a_settled_file_with_journals(tmp_path: Path) -> None:
    """A dispatch.json from elsewhere does not make a journal's batches disappear silently."""
    files, topic = opened(tmp_path), Topic()
    files.commit(topic.apply(one_of_each(topic)))
    (tmp_path / "dispatch.json").write_bytes(b'{"version":1,"facts":{},"finished":[]}')
    with pytest.raises(NotAQueue, match=r"journal-1: has batches that dispatch\.json"):
        loaded(tmp_path)


# ---- damage


def used(folder: Path) -> Topic:
    """Fill a folder as a kill leaves it: a checkpoint, and two journals with batches."""
    folder.mkdir(exist_ok=True)
    files, topic = opened(folder, fsync=False), Topic()
    files.commit(topic.apply(one_of_each(topic)))
    checkpoint(files)
    files.commit(topic.apply(topic.put(job(10), worker(10))))
    files.create_spare()
    files.rotate()
    files.commit(topic.apply(topic.put(held(job(10), worker(10)))))
    files.commit(topic.apply(topic.together([done(held(job(10), worker(10)))], [worker(10)])))
    return topic


def states(folder: Path) -> list[Stored]:
    """Return what a start finds after each of the batches of the last journal."""
    path = folder / "dispatch.journal-3"
    lines = path.read_bytes().splitlines(keepends=True)
    found = []
    for count in range(1, len(lines) + 1):
        path.write_bytes(b"".join(lines[:count]))
        found.append(loaded(folder))
    return found


def test_a_torn_journal(tmp_path: Path) -> None:
    """Truncated anywhere, the last journal has its first batches."""
    used(tmp_path)
    possible = states(tmp_path)
    path = tmp_path / "dispatch.journal-3"
    content = path.read_bytes()
    reached = set()
    for length in range(len(content) + 1):
        path.write_bytes(content[:length])
        reached.add(possible.index(loaded(tmp_path)))
    assert reached == {0, 1, 2}


def test_a_torn_line_is_cut_off_before_others_follow(tmp_path: Path) -> None:
    """The rest of a line that a kill left is removed before the next journal begins."""
    topic = used(tmp_path)
    path = tmp_path / "dispatch.journal-3"
    whole = path.read_bytes()
    path.write_bytes(whole + b"0badc0de [{")
    files = opened(tmp_path)
    topic.restarted()
    files.commit(topic.apply(topic.put(job(20))))
    assert path.read_bytes() == whole
    assert loaded(tmp_path) == topic.stored()


def test_a_journal_in_between_is_whole(tmp_path: Path) -> None:
    """A truncated journal that others follow is refused."""
    used(tmp_path)
    path = tmp_path / "dispatch.journal-2"
    content = path.read_bytes()
    ends = {at + 1 for at, byte in enumerate(content) if byte == 10}
    for length in range(len(content)):
        path.write_bytes(content[:length])
        if length not in ends and length:
            with pytest.raises(NotAQueue, match="its last line is incomplete, but later journals"):
                loaded(tmp_path)


@pytest.mark.parametrize("name", ["dispatch.journal-2", "dispatch.journal-3"])
def test_flipped_bits_in_a_journal(name: str, tmp_path: Path) -> None:
    """It is refused, with file and byte."""
    used(tmp_path)
    path = tmp_path / name
    content = path.read_bytes()
    for at in some(range(len(content))):
        for bit in (0, 3, 7):
            path.write_bytes(content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :])
            with pytest.raises(NotAQueue, match=rf"{name}: .*at byte [0-9]+"):
                loaded(tmp_path)


@pytest.mark.parametrize("name", ["jobs.json", "workers.json", "dispatch.json"])
def test_torn_checkpoint_files(name: str, tmp_path: Path) -> None:
    """A truncated file of a checkpoint is refused, wherever it was cut."""
    used(tmp_path)
    path = tmp_path / name
    content = path.read_bytes()
    for length in some(range(len(content.rstrip()))):
        path.write_bytes(content[:length])
        with pytest.raises(NotAQueue, match=name):
            loaded(tmp_path)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"00000000 []", "its checksum is wrong"),
        (b"x", "its checksum is wrong"),
        (b"", "its checksum is wrong"),
    ],
)
def test_malformed_lines(line: bytes, reason: str, tmp_path: Path) -> None:
    """A complete line without its checksum is refused, also as the last one."""
    used(tmp_path)
    path = tmp_path / "dispatch.journal-3"
    content = path.read_bytes()
    path.write_bytes(content + line + b"\n")
    with pytest.raises(NotAQueue, match=rf"line 4, at byte {len(content)}: {reason}"):
        loaded(tmp_path)


def test_a_missing_line(tmp_path: Path) -> None:
    """A checksum includes the line before, so none can be removed."""
    used(tmp_path)
    path = tmp_path / "dispatch.journal-3"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[2])
    with pytest.raises(NotAQueue, match="line 2, at byte"):
        loaded(tmp_path)


def test_another_journals_name(tmp_path: Path) -> None:
    """A journal has its number inside: under another one it is refused."""
    used(tmp_path)
    shutil.copy(tmp_path / "dispatch.journal-2", tmp_path / "dispatch.journal-3")
    with pytest.raises(NotAQueue, match="it is not the head of journal 3"):
        loaded(tmp_path)


# ---- kills


class Life:
    """What has been committed in a folder, and the states that may be loaded."""

    def __init__(self, folder: Path) -> None:
        self.topic = Topic()
        self.possible = [self.topic.stored()]
        self.start(folder)

    def start(self, folder: Path) -> None:
        """Start on the folder as it is."""
        self.files = JournaledFiles(folder)
        self.files.load()
        self.topic.restarted()

    def commit(self, *put: object, gone: tuple[object, ...] = ()) -> None:
        """Commit a batch, and record the states before and after it."""
        topic = self.topic
        batch = topic.together(put, gone)  # type: ignore[arg-type]
        before = dict(topic.records)
        topic.apply(batch)
        self.possible.append(topic.stored())
        after, topic.records = topic.records, before
        self.files.commit(batch)
        topic.records = after
        self.possible.append(topic.stored())


def killed_at_every_call(
    folder: Path,
    live: Callable[[Life], None],
    prepare: Callable[[Life, Path], None] = lambda life, data: None,
) -> Iterator[int]:
    """Kill a life at each of its calls; yield those after which a start loads something wrong.

    It is prepared without a kill.
    """
    number, is_over = 0, False
    while not is_over:
        data = folder / str(number)
        data.mkdir()
        life = Life(data)
        prepare(life, data)
        with pytest.MonkeyPatch.context() as patch:
            Disk(patch, data).kill_at(number)
            try:
                live(life)
                is_over = True
            except Killed:
                pass
        if not goes_on(data, life.possible[-2:]):
            yield number
        number += 1
    assert number > 20


def goes_on(folder: Path, possible: list[Stored]) -> bool:
    """Return whether a start loads one of these states, and the same again after a clean stop."""
    try:
        found = loaded(folder)
        opened(folder, fsync=False).close()
        return found in possible and loaded(folder) == found
    except NotAQueue:
        return False


def test_killed_at_every_call(tmp_path: Path) -> None:
    """Whichever call is the last, a start loads each acknowledged batch, and no half."""
    assert list(killed_at_every_call(tmp_path, live)) == []


@pytest.mark.parametrize("before", [0, 1, 2, 3])
@pytest.mark.parametrize("start", ["after a kill", "after a clean stop"])
def test_killed_while_erasing_at_a_start(start: str, before: int, tmp_path: Path) -> None:
    """The same for a start that erases data at once, and gets its first batch in the meantime."""
    assert list(killed_while_erasing(tmp_path, start, before)) == []


def killed_while_erasing(folder: Path, start: str, before: int) -> Iterator[int]:
    """Kill a start that erases, whose first batch comes before one of its steps, at each call."""

    def prepare(life: Life, data: Path) -> None:
        life.commit(*(change.after for change in one_of_each(life.topic).changes))
        if start == "after a clean stop":
            life.files.close()
        life.start(data)

    def erase(life: Life) -> None:
        def step(number: int) -> None:
            if number >= before:
                life.commit(job(20 + number), worker(20 + number))

        files = life.files
        step(0)
        files.create_spare()
        step(1)
        snapshot, journal = files.rotate()
        step(2)
        files.write_checkpoint(snapshot, journal)
        step(3)
        files.erase([job(1).ref], journal)
        life.commit(job(30))

    return killed_at_every_call(folder, erase, prepare)


def unlinks_first(patch: pytest.MonkeyPatch) -> None:
    real = JournaledFiles.write_checkpoint

    def write(self: JournaledFiles, snapshot: Any, journal: int, pace: Any = None) -> None:
        self._remove_journals(journal)
        real(self, snapshot, journal, pace)

    patch.setattr(JournaledFiles, "write_checkpoint", write)


def says_it_first(patch: pytest.MonkeyPatch) -> None:
    real = CheckpointFiles.write

    def write(self: CheckpointFiles, snapshot: Any, journal: int, pace: Any) -> None:
        self.write_ledger(snapshot, 2, journal, pace)
        real(self, snapshot, journal, pace)

    patch.setattr(CheckpointFiles, "write", write)


def forgets_places(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("sanic_dispatch.storage.checkpoint.encode_placed_worker", encode_worker)


def keeps_torn_lines(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("sanic_dispatch.storage.cached_json_file.truncate_torn", lambda *_, **__: None)


@pytest.mark.parametrize(
    "mutant", [unlinks_first, says_it_first], ids=lambda mutant: mutant.__name__
)
def test_a_kill_finds_mutants(
    mutant: Callable[[pytest.MonkeyPatch], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint in a wrong order loses something at one of the kills."""
    mutant(monkeypatch)
    assert next(killed_at_every_call(tmp_path, live), None) is not None


def erases_newer_journals(patch: pytest.MonkeyPatch) -> None:
    real = JournaledFiles.erase
    patch.setattr(JournaledFiles, "erase", lambda self, jobs, n: real(self, jobs, n + 1))


def does_not_refer_to_it(patch: pytest.MonkeyPatch) -> None:
    def take(self: JournaledFiles) -> Journal:
        self._is_standalone = False
        return real(self)

    real = JournaledFiles._take_spare
    patch.setattr(JournaledFiles, "_take_spare", take)


@pytest.mark.parametrize("before", [0, 1, 2])
@pytest.mark.parametrize(
    ("mutant", "start"),
    [(erases_newer_journals, "after a kill"), (does_not_refer_to_it, "after a clean stop")],
)
def test_a_kill_while_erasing_finds_mutants(
    mutant: Callable[[pytest.MonkeyPatch], None],
    start: str,
    before: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same for too many journals that are removed, and for one that nothing refers to."""
    mutant(monkeypatch)
    assert next(killed_while_erasing(tmp_path, start, before), None) is not None


@pytest.mark.parametrize(
    ("mutant", "check"),
    [
        (forgets_places, lambda folder: test_the_order_after_a_checkpoint_and_a_kill(folder)),
        (keeps_torn_lines, lambda f: test_a_torn_line_is_cut_off_before_others_follow(f)),
    ],
    ids=["forgets_places", "keeps_torn_lines"],
)
def test_others_find_mutants(
    mutant: Callable[[pytest.MonkeyPatch], None],
    check: Callable[[Path], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same for a missing place, and for a torn line that stays."""
    mutant(monkeypatch)
    with pytest.raises((AssertionError, NotAQueue)):
        check(tmp_path)


def live(life: Life) -> None:
    """Run the service: batches, checkpoints, a clean stop."""
    files, commit = life.files, life.commit
    commit(*(change.after for change in one_of_each(life.topic).changes))
    files.create_spare()
    commit(job(10), worker(10))
    turned = files.rotate()
    commit(held(job(10), worker(10)))
    files.write_checkpoint(*turned)
    commit(done(held(job(10), worker(10))), gone=(worker(10), job(5)))
    checkpoint(files)
    commit(free(job(10)))
    files.close()


# ---- what fails


def test_a_write_that_fails_is_cut_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk a batch is refused without a trace; with room the next one succeeds."""
    files, topic = opened(tmp_path), Topic()
    files.commit(topic.apply(one_of_each(topic)))
    before = (tmp_path / "dispatch.journal-1").read_bytes()
    with monkeypatch.context() as patch:
        Disk(patch, tmp_path).fill()
        with pytest.raises(StorageFailed, match="No space left"):
            files.commit(topic.put(job(10)))
        with pytest.raises(StorageFailed):
            files.try_writing()
    assert (tmp_path / "dispatch.journal-1").read_bytes() == before
    files.commit(topic.apply(topic.put(job(11))))
    assert loaded(tmp_path) == topic.stored()


@pytest.mark.parametrize(
    "fault",
    [lambda disk: disk.fail("write", after=1), lambda disk: disk.exhaust("write")],
    ids=["the disk fails", "no memory"],
)
def test_a_short_write(
    fault: Callable[[Disk], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If only a part of a line is written, that part is removed."""
    files, topic = opened(tmp_path), Topic()
    files.commit(topic.apply(one_of_each(topic)))
    with monkeypatch.context() as patch:
        fault(Disk(patch, tmp_path))
        seam = os.write
        patch.setattr(os, "write", lambda fd, data: seam(fd, data[:7]))
        with pytest.raises(StorageFailed):
            files.commit(topic.put(job(10)))
    files.commit(topic.apply(topic.put(job(11))))
    assert loaded(tmp_path) == topic.stored()


@pytest.mark.parametrize("call", ["ftruncate", "fsync"])
def test_a_write_that_cannot_be_taken_back(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outcome is unknown until a checkpoint without the batch has replaced the journal."""
    files, topic = opened(tmp_path), Topic()
    files.commit(topic.apply(one_of_each(topic)))
    batch = topic.put(job(10))
    with monkeypatch.context() as patch:
        disk = Disk(patch, tmp_path)
        fail_both(disk, "write", call)
        for _ in range(3):
            with pytest.raises(OutcomeUnknown):
                files.commit(batch)
            with pytest.raises(StorageFailed):
                files.try_writing()
    files.commit(topic.apply(batch))
    assert version(tmp_path) == (2, 1)
    assert loaded(tmp_path) == topic.stored()


def fail_both(disk: Disk, *wanted: str) -> None:
    def before(_: int, name: str, path: Path | None) -> None:
        if name in wanted:
            raise OSError(5, "Input/output error")

    disk.before = before


def test_a_failed_sync_is_never_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After it come a new journal, and a checkpoint that replaces the old one."""
    files, topic = opened(tmp_path), Topic()
    files.commit(topic.apply(one_of_each(topic)))
    batch = topic.put(job(10))
    with monkeypatch.context() as patch:
        disk = Disk(patch, tmp_path)
        disk.fail("fdatasync")
        with pytest.raises(OutcomeUnknown, match="could not be synced"):
            files.commit(batch)
        disk.heal()
        synced: list[str] = []

        def before(_: int, name: str, path: Path | None) -> None:
            if "sync" in name and path is not None:
                synced.append(path.name)

        disk.before = before
        files.commit(topic.apply(batch))
    assert "dispatch.journal-1" not in synced
    assert list(journals_in(tmp_path)) == [2]
    assert loaded(tmp_path) == topic.stored()


def test_a_kill_while_the_outcome_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failed sync a start loads the batch or not, never a half, and all before it."""
    files, topic = opened(tmp_path), Topic()
    files.commit(topic.apply(one_of_each(topic)))
    without = topic.stored()
    batch = topic.put(job(10), worker(10))
    with monkeypatch.context() as patch:
        disk = Disk(patch, tmp_path)
        fail_both(disk, "fdatasync", "fsync")
        for _ in range(2):
            with pytest.raises(OutcomeUnknown):
                files.commit(batch)
    topic.apply(batch)
    assert loaded(tmp_path) in (without, topic.stored())


def test_a_failed_sync_during_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next checkpoint includes both journals."""
    files, topic = opened(tmp_path), Topic()
    files.commit(topic.apply(one_of_each(topic)))
    files.create_spare()
    turned = files.rotate()
    files.commit(topic.apply(topic.put(job(10))))
    batch = topic.put(job(11))
    with monkeypatch.context() as patch:
        Disk(patch, tmp_path).fail("fdatasync")
        with pytest.raises(OutcomeUnknown):
            files.commit(batch)
    files.write_checkpoint(*turned)
    files.commit(topic.apply(batch))
    assert list(journals_in(tmp_path)) == [3]
    assert loaded(tmp_path) == topic.stored()
    files.close()
    assert loaded(tmp_path) == topic.stored()


@pytest.mark.parametrize("call", ["open", "write", "writev", "fsync", "fdatasync", "rename"])
@pytest.mark.parametrize("write", [checkpoint, JournaledFiles.close], ids=["while", "at the end"])
def test_a_checkpoint_that_fails(
    write: Callable[[JournaledFiles], None],
    call: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With any failing call in any file nothing is lost; batches go on, or the next start does."""
    for after in range(12):
        folder = tmp_path / f"{after}"
        folder.mkdir()
        files, topic = opened(folder), Topic()
        files.commit(topic.apply(one_of_each(topic)))
        if write is not checkpoint:
            checkpoint(files)
            files.commit(topic.apply(topic.remove(worker(1))))
        with monkeypatch.context() as patch:
            Disk(patch, folder).fail(call, after=after)
            with suppress(OSError, StorageFailed):
                write(files)
        assert loaded(folder) == topic.stored()
        if write is not checkpoint:
            files = opened(folder)
            topic.restarted()
        files.commit(topic.apply(topic.put(job(10))))
        assert loaded(folder) == topic.stored()
        checkpoint(files)
        assert loaded(folder) == topic.stored()
        files.commit(topic.apply(topic.put(job(11), worker(11))))
        files.close()
        assert names(folder) == ["dispatch.json", "jobs.json", "workers.json"]
        assert loaded(folder) == topic.stored()


def test_a_start_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the first journal cannot be created the batch is refused, and the next one succeeds."""
    for after in range(12):
        folder = tmp_path / f"{after}"
        folder.mkdir()
        files, topic = opened(folder), Topic()
        with monkeypatch.context() as patch:
            disk = Disk(patch, folder)
            fail_at(disk, after)
            with suppress(StorageFailed, OutcomeUnknown):
                files.commit(one_of_each(Topic()))
        files.commit(topic.apply(one_of_each(topic)))
        assert loaded(folder) == topic.stored()
        files.close()
        assert loaded(folder) == topic.stored()


def fail_at(disk: Disk, number: int) -> None:
    def before(now: int, name: str, path: Path | None) -> None:
        if now == number:
            raise OSError(5, "Input/output error")

    disk.before = before


# ---- how a checkpoint shares the interpreter


class CountingPace(Pace):
    """Counts pauses instead of taking them."""

    def __init__(self) -> None:
        super().__init__(rest_s=0)
        self.rests = 0

    def rest(self) -> None:
        self.rests += 1


def test_slices(tmp_path: Path) -> None:
    """Between two pauses at most some records are encoded, or a thousand are sorted."""
    records = [job(number) for number in range(20_000)]
    snapshot = Snapshot(records, [], [], jobs_version=1)
    pace = CountingPace()
    CheckpointFiles(tmp_path, fsync=False).write(snapshot, 1, pace)
    assert pace.rests >= 20_000 / CHUNK + 2 * 20_000 / RUN


@given(places=st.lists(st.integers(0, 50), max_size=40))
def test_sorted_in_runs(places: list[int]) -> None:
    """Sorting in runs gives the same order as sorting at once."""
    records = [job(n)._replace(place=place) for n, place in enumerate(places)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sanic_dispatch.storage.checkpoint.RUN", 4)
        assert list(in_order_of(records, Pace(0))) == sorted(records, key=order_of)


# ---- when a checkpoint is due


def ends_of(store: CachedJsonFileStore) -> asyncio.Queue[None]:
    """Return a queue that gets an item at the end of each checkpoint, successful or not."""
    ends: asyncio.Queue[None] = asyncio.Queue()
    real = store.checkpoint

    async def checkpoint() -> None:
        try:
            await real()
        finally:
            ends.put_nowait(None)

    store.checkpoint = checkpoint  # type: ignore[method-assign]
    return ends


async def test_after_some_quiet(tmp_path: Path) -> None:
    """A checkpoint is written once nothing has been committed for a while."""
    store, topic = CachedJsonFileStore(tmp_path, fsync=False, quiet_s=0.01), Topic()
    ends = ends_of(store)
    await store.load()
    for number in (1, 2):
        await store.commit(topic.apply(topic.put(job(number))))
        await ends.get()
        assert job(number).id in (tmp_path / "jobs.json").read_text()
    await store.close()
    assert loaded(tmp_path) == topic.stored()


async def test_a_long_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint is written without quiet when the journal has outgrown the files."""
    monkeypatch.setattr("sanic_dispatch.storage.cached_json_file.MIN_CHECKPOINT_BYTES", 1000)
    store, topic = CachedJsonFileStore(tmp_path, fsync=False, quiet_s=1000.0), Topic()
    await store.load()
    while not (tmp_path / "jobs.json").exists():
        await store.commit(topic.apply(topic.put(job(topic.number + 1))))
    assert topic.number > 3
    await store.close()
    assert loaded(tmp_path) == topic.stored()


async def test_a_start_after_a_kill_tidies_up(tmp_path: Path) -> None:
    """Replayed batches are soon in the files, without further batches."""
    topic = used(tmp_path)
    store = CachedJsonFileStore(tmp_path, fsync=False, quiet_s=0.01)
    ends = ends_of(store)
    await store.load()
    await ends.get()
    assert list(journals_in(tmp_path)) == [4]
    await store.close()
    assert loaded(tmp_path) == topic.stored()


async def test_a_checkpoint_that_fails_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches go on meanwhile, and the files are up to date once they can be written."""
    monkeypatch.setattr("sanic_dispatch.storage.cached_json_file.RETRY_S", 0.01)
    store, topic = CachedJsonFileStore(tmp_path, fsync=True, quiet_s=0.01), Topic()
    ends = ends_of(store)
    await store.load()
    await store.commit(topic.apply(one_of_each(topic)))
    with monkeypatch.context() as patch:
        Disk(patch, tmp_path).fail("rename", times=10**6)
        for _ in range(3):
            await ends.get()
        await store.commit(topic.apply(topic.put(job(10))))
        assert loaded(tmp_path) == topic.stored()
    while not (tmp_path / "jobs.json").exists():
        await ends.get()
    await store.close()
    assert loaded(tmp_path) == topic.stored()


async def test_a_checkpoint_that_fails_by_mistake_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as without memory: nothing has to be committed for that."""
    monkeypatch.setattr("sanic_dispatch.storage.cached_json_file.RETRY_S", 0.01)
    store, topic = CachedJsonFileStore(tmp_path, fsync=False, quiet_s=0.01), Topic()
    ends, real, times = ends_of(store), store._files.write_checkpoint, 0

    def write_checkpoint(*args: Any) -> None:
        nonlocal times
        times += 1
        if times < 3:
            raise MemoryError
        real(*args)

    monkeypatch.setattr(store._files, "write_checkpoint", write_checkpoint)
    await store.load()
    await store.commit(topic.apply(one_of_each(topic)))
    async with asyncio.timeout(5.0):
        for _ in range(3):
            await ends.get()
    assert (tmp_path / "jobs.json").exists()
    await store.close()
    assert loaded(tmp_path) == topic.stored()


async def test_events_that_cannot_be_moved_by_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are tried again after a while, and not by each batch."""
    monkeypatch.setattr("sanic_dispatch.storage.segment_log.FLUSH_EVENTS", 1)
    store, topic, times = CachedJsonFileStore(tmp_path, fsync=False, quiet_s=1000.0), Topic(), 0

    def try_flush(*_: object) -> bool:
        nonlocal times
        times += 1
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(store.history, "try_flush", try_flush)
        await store.load()
        for number in range(5):
            batch = topic.with_events(topic.put(job(number + 1)))
            await store.commit(topic.apply(batch))
            await store._flushes.finish()
        assert times == 1
    await store.close()
    assert loaded(tmp_path) == topic.stored()


async def test_a_checkpoint_without_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it should have written is in the next one, which has a thread again."""
    store, topic = CachedJsonFileStore(tmp_path, fsync=False, quiet_s=1000.0), Topic()
    await store.load()
    await store.commit(topic.apply(topic.put(job(1))))
    with monkeypatch.context() as patch:
        patch.setattr(Thread, "start", no_thread)
        with pytest.raises(StorageFailed, match="no thread"):
            await store.checkpoint()
    await store.commit(topic.apply(topic.put(worker(1))))
    async with asyncio.timeout(5.0):
        await store.checkpoint()
    assert loaded(tmp_path) == topic.stored()
    await store.close()
    assert loaded(tmp_path) == topic.stored()


def no_thread(_: Thread) -> None:
    raise RuntimeError("can't start new thread")


@pytest.mark.parametrize("begins_late", [False, True])
async def test_a_load_during_a_checkpoint(
    begins_late: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that is loaded again, as after a take-over, waits until the files are written.

    Also if that begins while it waits until events are moved to a segment.
    """
    store, topic = CachedJsonFileStore(tmp_path, workers=False, fsync=False), Topic()
    ends = ends_of(store)
    began, may_go_on, real = ThreadEvent(), ThreadEvent(), CheckpointFiles.write
    is_moved = ThreadEvent()

    def write(self: CheckpointFiles, snapshot: Snapshot, journal: int, pace: Pace) -> None:
        began.set()
        may_go_on.wait()
        real(self, snapshot, journal, pace)

    await store.load()
    await store.commit(topic.apply(topic.put(job(1))))
    if begins_late:
        moving = store._flushes._thread.run(is_moved.wait)
        loading = asyncio.create_task(store.load())
        await asyncio.sleep(0)
    with monkeypatch.context() as patch:
        patch.setattr(CheckpointFiles, "write", write)
        store._begin_checkpoint()
        await asyncio.to_thread(began.wait)
    if begins_late:
        is_moved.set()
        await moving
    else:
        loading = asyncio.create_task(store.load())
    await asyncio.wait([loading], timeout=0.1)
    may_go_on.set()
    await loading
    await ends.get()
    topic.restarted()
    await store.commit(topic.apply(topic.put(job(2))))
    shutil.copytree(tmp_path, tmp_path / "killed")
    assert loaded(tmp_path / "killed") == topic.stored()
    await store.close()

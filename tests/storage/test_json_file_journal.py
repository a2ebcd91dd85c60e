"""JsonFile's journal: it makes a batch atomic, and is the newest part of the event log."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sanic_dispatch.config.settings import Mode
from sanic_dispatch.errors import NotAQueue, OutcomeUnknown, StorageFailed
from sanic_dispatch.storage import json_file, json_file_journal
from sanic_dispatch.storage.check import TOGETHER, inspect
from sanic_dispatch.storage.event_log import Question
from sanic_dispatch.storage.event_record import LoggedEvent, logged
from sanic_dispatch.storage.journal import JournalName, journals_in
from sanic_dispatch.storage.json_file import JsonFiles
from sanic_dispatch.storage.json_file_contents import WholeFile
from sanic_dispatch.storage.json_file_journal import JsonFileJournal, Leftover
from sanic_dispatch.storage.read_history import history_of
from sanic_dispatch.storage.read_json_folder import read_folder
from sanic_dispatch.storage.segment_format import FOLDER, segments_in
from sanic_dispatch.storage.store import Batch, Stored
from tests.storage.samples import (
    Topic,
    both,
    done,
    free,
    held,
    in_order,
    job,
    names_in,
    one_of_each,
    opened,
    worker,
)
from tests.support.disk_faults import Disk, Killed


def started(folder: Path, *, fsync: bool = False) -> tuple[JsonFiles, Stored]:
    """The blocking store, and what it has loaded."""
    files = JsonFiles(folder, jobs=True, workers=True, rereads=True, fsync=fsync)
    return files, in_order(files.load())


def kept(files: JsonFiles) -> list[LoggedEvent]:
    """All events, of which none is missing."""
    page = files.history.find(Question(limit=1000))
    assert (list(page.damage), list(page.holes), page.next) == ([], [], None)
    return list(page.events)


def happened(topic: Topic) -> list[LoggedEvent]:
    return [logged(event) for event in topic.events]


def journals(folder: Path) -> list[Path]:
    return list(journals_in(folder, JournalName.HISTORY).values())


def lived(folder: Path) -> tuple[JsonFiles, Topic]:
    """A store with records of every kind, whose files are synced."""
    folder.mkdir(exist_ok=True)
    files, topic = started(folder, fsync=True)[0], Topic()
    files.commit(topic.apply(topic.with_events(one_of_each(topic))))
    return files, topic


def every_change(topic: Topic) -> dict[str, Callable[[], Batch]]:
    """Return changes of one file, of two, and of all three."""
    given = held(job(1), worker(1, None))
    return {
        "register": lambda: topic.put(worker(9)),
        "hand over": lambda: topic.together([given, job(9)], [worker(1), worker(2)]),
        "finish": lambda: topic.put(done(held(job(2), worker(8)), 11.0), worker(10)),
        "put back": lambda: topic.put(free(job(6)), worker(3)),
        "remove": lambda: topic.remove(job(7), job(4), worker(2)),
        "register again": lambda: topic.put(worker(1)._replace(place=50.0), worker(51)),
    }


ACTS = list(every_change(Topic()))


def killed_at_every_call(folder: Path, act: str) -> int:
    """Kill a batch at one call after the other; return how many there are.

    After each it is there as a whole, with its events, or nothing of it is.
    """
    for number in range(100):
        files, topic = lived(folder / f"{number}")
        before = topic.stored(), happened(topic)
        batch = topic.apply(topic.with_events(every_change(topic)[act]()))
        after = topic.stored(), happened(topic)
        with pytest.MonkeyPatch.context() as patch:
            Disk(patch, folder).kill_at(number)
            try:
                files.commit(batch)
            except Killed:
                is_over = False
            else:
                is_over = True
        read = read_folder(folder / f"{number}").stored()
        files, stored = started(folder / f"{number}")
        assert in_order(read) == stored
        assert (stored, kept(files)) in ([after] if is_over else [before, after])
        files.close()
        assert journals(folder / f"{number}") == []
        files, again = started(folder / f"{number}")
        assert (again, kept(files)) == (stored, kept(files))
        if is_over:
            return number
    raise AssertionError


@pytest.mark.parametrize("act", ACTS)
def test_a_kill_at_every_call(act: str, tmp_path: Path) -> None:
    """A batch is there as a whole, with its events, or not at all."""
    assert killed_at_every_call(tmp_path, act) > 6


def test_a_worker_keeps_its_place_in_what_a_kill_has_left(tmp_path: Path) -> None:
    """The places in the journal and those in the file count from different numbers."""
    files, topic = started(tmp_path)[0], Topic()
    files.commit(topic.apply(topic.put(*map(worker, (5, 6, 7)))))
    batch = topic.put(worker(5).refused("503", 5.0, ""), worker(8))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WholeFile, "save", killed)
        with pytest.raises(Killed):
            files.commit(batch)
    topic.apply(batch)
    read = in_order(read_folder(tmp_path).stored())
    assert read == started(tmp_path)[1] == topic.stored()


def killed(*_: object) -> None:
    raise Killed


def writes_nothing_again(patch: pytest.MonkeyPatch) -> None:
    """The mutant: the last batch is not carried out by the next start."""
    patch.setattr(Leftover, "unfinished", None)


def journals_late(patch: pytest.MonkeyPatch) -> None:
    """The mutant: the line is written after the files."""
    real, late = JsonFileJournal.append, []  # type: ignore[var-annotated]
    patch.setattr(JsonFileJournal, "append", lambda *args: late.append(args))

    def mark(journal: JsonFileJournal) -> None:
        real(*late.pop())

    patch.setattr(JsonFileJournal, "mark", mark)


@pytest.mark.parametrize(
    "mutant", [writes_nothing_again, journals_late], ids=lambda each: each.__name__
)
def test_kills_find_mutants(
    mutant: Callable[[pytest.MonkeyPatch], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches that are not redone, or have their events too late, are found."""
    mutant(monkeypatch)
    with pytest.raises(AssertionError):
        killed_at_every_call(tmp_path, "hand over")


@pytest.mark.parametrize("act", ["hand over", "register"])
@pytest.mark.parametrize("call", ["open", "write", "writev", "fsync", "fdatasync", "rename"])
@pytest.mark.parametrize("fault", [Disk.fail, Disk.exhaust], ids=["fails", "no memory"])
def test_a_batch_that_fails(
    fault: Callable[..., None], call: str, act: str, tmp_path: Path
) -> None:
    """A refused batch has no events, and one of unknown fate has them once it was repeated.

    Neither looks like an edit from outside.
    """
    for after in range(8):
        folder = tmp_path / f"{after}"
        files, topic = lived(folder)
        before = topic.stored(), happened(topic)
        batch = topic.with_events(every_change(topic)[act]())
        with pytest.MonkeyPatch.context() as patch:
            fault(Disk(patch, tmp_path), call, after=after)
            try:
                files.commit(batch)
            except StorageFailed:
                assert (started(folder)[1], kept(files)) == before
                assert kept(started(folder)[0]) == before[1]
            except (OutcomeUnknown, MemoryError):
                assert kept(files) == before[1]
            else:
                assert kept(files) == happened(topic)
                continue
        assert files.refresh() is None
        files.commit(topic.apply(batch))
        assert kept(files) == happened(topic)
        files, stored = started(folder)
        assert (stored, kept(files)) == (topic.stored(), happened(topic))


def reformatted(folder: Path, files: JsonFiles) -> None:
    """Have the batch fail that follows an edit in which nothing has changed."""
    path = folder / "jobs.json"
    path.write_bytes(path.read_bytes() + b"\n")
    assert files.refresh()
    with pytest.MonkeyPatch.context() as patch:
        Disk(patch, folder).fail("writev")
        with pytest.raises(StorageFailed):
            files.commit(Batch(99, (), ()))


def test_a_batch_without_a_line_that_fails(tmp_path: Path) -> None:
    """The batch before it keeps its line, and its mark: with that an edit of it stands."""
    files, topic = lived(tmp_path / "data")
    (path,) = journals(tmp_path / "data")
    before = path.read_bytes()
    reformatted(tmp_path / "data", files)
    assert path.read_bytes() == before
    with pytest.MonkeyPatch.context() as patch:
        Disk(patch, tmp_path).fail("write", after=1)  # the mark
        files.commit(topic.apply(topic.with_events(topic.put(job(9)))))
    reformatted(tmp_path / "data", files)
    assert kept(started(tmp_path / "data")[0]) == happened(topic)


@pytest.mark.parametrize("call", ["unlink", "fsync"])
def test_a_journal_that_could_not_be_synced(call: str, tmp_path: Path) -> None:
    """No other one gets a batch until it is removed for good: its end may turn out to be torn.

    A start would refuse a torn line before later batches.
    """
    files, topic = lived(tmp_path / "data")
    batch = topic.with_events(topic.put(job(9)))
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(patch, tmp_path)
        for calls in (("fdatasync", call), ("fdatasync", call), (call,)):
            fail_in_journals(disk, *calls)
            with pytest.raises(OutcomeUnknown):
                files.commit(batch)
        disk.heal()
        disk.calls.clear()
        files.commit(topic.apply(batch))
        removed = disk.calls[: disk.calls.index("fdatasync")]
    assert [path.name for path in journals(tmp_path / "data")] == ["history.journal-2"]
    assert "fsync" in removed
    assert kept(started(tmp_path / "data")[0]) == happened(topic)


def test_a_load_while_the_outcome_is_unknown(tmp_path: Path) -> None:
    """It carries the batch out, as a start does; edits after that are seen."""
    files, topic = lived(tmp_path / "data")
    batch = topic.with_events(topic.put(job(9)))
    with pytest.MonkeyPatch.context() as patch:
        Disk(patch, tmp_path).fail("fdatasync")
        with pytest.raises(OutcomeUnknown):
            files.commit(batch)
        topic.apply(batch)
        assert in_order(files.load()) == topic.stored()
    files.try_writing()
    path = tmp_path / "data" / "jobs.json"
    path.write_bytes(path.read_bytes() + b"\n")
    assert files.refresh()


def fail_in_journals(disk: Disk, *calls: str) -> None:
    """Fail these calls for journals, and a sync of their folder."""

    def before(_: int, name: str, path: Path | None) -> None:
        if name in calls and path is not None and (path.is_dir() or "journal" in path.name):
            raise OSError(5, "Input/output error")

    disk.before = before


def test_erasing_goes_on_until_the_journals_are_gone_for_good(tmp_path: Path) -> None:
    """A power cut may bring a removed one back, with what is forgotten, until that is synced."""
    files, _ = lived(tmp_path / "data")
    with pytest.MonkeyPatch.context() as patch:
        disk = Disk(patch, tmp_path)

        def before(_: int, name: str, path: Path | None) -> None:
            if name == "fsync" and "unlink" in disk.calls:
                raise OSError(5, "Input/output error")

        disk.before = before
        with pytest.raises(StorageFailed):
            files.erase()
        assert journals(tmp_path / "data") == []
        disk.heal()
        disk.calls.clear()
        files.erase()
    assert disk.calls == ["fsync"]


def test_a_journal_without_lines(tmp_path: Path) -> None:
    """It keeps its head, without which the next start would refuse all lines that follow."""
    files, topic = started(tmp_path)[0], Topic()
    batch = topic.with_events(one_of_each(topic))
    with pytest.MonkeyPatch.context() as patch:
        Disk(patch, tmp_path).fail("write", after=1)  # the head can be written
        with pytest.raises(StorageFailed):
            files.commit(batch)
    (tmp_path / "jobs.json").write_bytes(b"[ ]")
    reformatted(tmp_path, files)
    files.commit(topic.apply(batch))
    assert kept(started(tmp_path)[0]) == happened(topic)


def test_edits_stand_after_a_kill(tmp_path: Path) -> None:
    """What was edited between a kill and the next start is not overwritten by the last batch."""
    files, topic = lived(tmp_path / "data")
    path = tmp_path / "data" / "jobs.json"
    before = path.read_bytes()
    files.commit(topic.with_events(topic.put(job(9))))
    assert path.read_bytes() != before
    path.write_bytes(before)  # a person removes that job, and nothing else
    files, stored = started(tmp_path / "data")
    assert stored == topic.stored()
    assert kept(files) == happened(topic)


def test_an_unfinished_batch_is_written_once(tmp_path: Path) -> None:
    """After the start that has finished it, edits of its records stand."""
    files, topic = lived(tmp_path / "data")
    path = tmp_path / "data" / "jobs.json"
    before = path.read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JsonFileJournal, "mark", lambda journal: None)
        files.commit(topic.with_events(topic.put(job(9))))
    path.write_bytes(before)
    assert job(9) in started(tmp_path / "data")[1].jobs
    path.write_bytes(before)
    assert job(9) not in started(tmp_path / "data")[1].jobs


def test_workers_keep_their_order(tmp_path: Path) -> None:
    """Workers of an unfinished batch stay where they are, and new ones are the last."""
    files, topic = started(tmp_path)[0], Topic()
    files.commit(topic.put(*(worker(n)._replace(place=100.0 + n) for n in (1, 2, 3))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JsonFileJournal, "mark", lambda journal: None)
        changed = worker(2)._replace(label="Ada", place=102.0)
        files.commit(topic.put(changed, worker(4)._replace(place=104.0)))
    _, stored = started(tmp_path)
    assert [each.callback_url[-2] for each in stored.workers] == ["1", "2", "3", "4"]
    assert stored.workers[1].label == "Ada"


async def test_many_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Journals whose events are in segments are removed while the service runs."""
    monkeypatch.setattr(json_file_journal, "FLUSH_EVENTS", 4)
    monkeypatch.setattr("sanic_dispatch.storage.segment_log.FLUSH_EVENTS", 4)
    topic = Topic()
    async with opened(both(Mode.JSON_FILE), tmp_path) as store:
        await store.load()
        for number in range(1, 12):
            await store.commit(topic.apply(topic.with_events(topic.put(job(number)))))
            await store._flushes.finish()  # type: ignore[attr-defined]
        assert segments_in(tmp_path / FOLDER)
        assert [path.name for path in journals(tmp_path)] == ["history.journal-3"]
    assert names_in(tmp_path) == {".dispatch.lock", "jobs.json", "dispatch.json", FOLDER}
    assert kept(started(tmp_path)[0]) == happened(topic)


def test_no_room_for_a_segment(tmp_path: Path) -> None:
    """Then the journal stays, and nothing is lost."""
    files, topic = lived(tmp_path / "data")
    with pytest.MonkeyPatch.context() as patch:
        Disk(patch, tmp_path).fill()
        files.close()
    assert len(journals(tmp_path / "data")) == 1
    files, stored = started(tmp_path / "data")
    assert (stored, kept(files)) == (topic.stored(), happened(topic))


def left_unfinished(folder: Path) -> Topic:
    """Leave a batch that only the journal has, and return what is there with it."""
    files, topic = lived(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_file.ArrayFile, "save", lambda file, draft: None)
        patch.setattr(JsonFileJournal, "mark", lambda journal: None)
        files.commit(topic.apply(topic.with_events(topic.put(job(9), worker(9)))))
    return topic


def test_tools_know_the_journal(tmp_path: Path) -> None:
    """They count its batches, and have what a start would find; nothing is changed."""
    topic = left_unfinished(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.j*")}
    reports = {report.file: report.counts for report in inspect(tmp_path).files}
    assert reports["history.journal-1"] == {"batches": 2, "events": len(topic.events)}
    assert reports["jobs.json"]["waiting"] + 1 == reports[TOGETHER]["waiting"]
    assert reports["workers.json"]["workers"] + 1 == reports[TOGETHER]["workers"]
    with history_of(tmp_path) as log:
        assert list(log.scan()) == happened(topic)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.j*")} == before


@pytest.mark.parametrize("mode", [Mode.CACHED_JSON_FILE, Mode.SQLITE])
async def test_another_mode_goes_on(mode: Mode, tmp_path: Path) -> None:
    """What a kill has left is finished by whatever mode starts next, which has its events."""
    topic = left_unfinished(tmp_path / "data")
    async with opened(both(mode), tmp_path / "data") as store:
        stored = await store.load()
        if mode is Mode.CACHED_JSON_FILE:
            assert in_order(stored) == topic.stored()
        assert list(store.history.scan()) == happened(topic)
    assert journals(tmp_path / "data") == []
    assert started(tmp_path / "data")[1] == topic.stored()


def test_damage_is_refused(tmp_path: Path) -> None:
    """A damaged line is not taken for a torn one."""
    _, _ = lived(tmp_path / "data")
    (path,) = journals(tmp_path / "data")
    content = path.read_bytes()
    path.write_bytes(content.replace(b"job.submitted", b"job.submittex", 1))
    with pytest.raises(NotAQueue, match="line 2, at byte .* checksum"):
        started(tmp_path / "data")
    path.write_bytes(content[:-5])
    started(tmp_path / "data")

"""The files of JsonFile and CachedJsonFile when calls fail, and what a start finds."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sanic_dispatch.config.settings import Mode
from sanic_dispatch.core.tables import Fact
from sanic_dispatch.errors import OutcomeUnknown, StorageFailed
from sanic_dispatch.storage.cached_json_file import JournaledFiles
from sanic_dispatch.storage.json_file import JsonFiles
from sanic_dispatch.storage.store import Batch, Stored
from tests.storage.samples import (
    Topic,
    both,
    done,
    filled,
    free,
    held,
    in_order,
    job,
    one_of_each,
    opened,
    worker,
)
from tests.support.disk_faults import Disk, Killed

MODES = [Mode.JSON_FILE, Mode.CACHED_JSON_FILE]


@pytest.mark.parametrize("mode", MODES, ids=str)
async def test_a_link_is_followed(mode: Mode, tmp_path: Path) -> None:
    """A file that is a link stays one; its target is replaced."""
    data, real = tmp_path / "data", tmp_path / "real.json"
    data.mkdir()
    real.write_text("[]")
    (data / "jobs.json").symlink_to(real)
    topic = Topic()
    async with opened(both(mode), data) as store:
        await store.load()
        await store.commit(topic.put(job(1)))
    assert os.readlink(data / "jobs.json") == str(real)
    assert job(1).id.encode() in real.read_bytes()


@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize("fsync", [True, False])
async def test_existing_files_are_synced(
    fsync: bool, mode: Mode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed process may have renamed a file without syncing it; from the start on its jobs are
    seen by others, so a power cut must not lose them."""
    await filled(both(mode), tmp_path)
    synced, real = [], os.fsync

    def noted(descriptor: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    async with opened(both(mode), tmp_path, fsync=fsync) as store:
        await store.load()
    files = {"jobs.json", "workers.json", "dispatch.json", tmp_path.name} if fsync else set()
    assert set(synced) == files
    assert synced[-1:] == [tmp_path.name] * fsync


@pytest.mark.parametrize("fsync", [True, False])
def test_existing_journals_are_synced(
    fsync: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for what a killed process appended."""
    files, topic = JournaledFiles(tmp_path, fsync=False), Topic()
    files.load()
    files.commit(topic.put(job(1)))
    disk = Disk(monkeypatch, tmp_path)
    JournaledFiles(tmp_path, fsync=fsync).load()
    assert bool(disk.calls) is fsync


# ---- JsonFile


def every_change(topic: Topic) -> dict[str, Callable[[], Batch]]:
    """Yield changes of a waiting job, a held one, a finished one, and a fact."""
    return {
        "enqueue": lambda: topic.put(job(9), worker(9)),
        "finish": lambda: topic.put(done(held(job(2), worker(8)), 11.0)),
        "put back": lambda: topic.put(free(job(6))),
        "pause": lambda: topic.put(Fact("paused", False)),
        "remove": lambda: topic.remove(job(7), worker(2)),
    }


ACTS = list(every_change(Topic()))


def prepared(folder: Path) -> tuple[JsonFiles, Topic]:
    """Return the blocking store of both tables, with records of every kind."""
    folder.mkdir()
    files = JsonFiles(folder, jobs=True, workers=True, rereads=True, fsync=True)
    files.load()
    topic = Topic()
    files.commit(topic.apply(one_of_each(topic)))
    return files, topic


def loaded(folder: Path) -> Stored:
    files = JsonFiles(folder, jobs=True, workers=True, rereads=True, fsync=False)
    return in_order(files.load())


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("call", ["open", "fchmod", "writev", "fsync", "rename"])
def test_a_batch_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, act: str
) -> None:
    """With any failing call in any file, a refused batch has changed nothing, and one of unknown
    fate is stored once it was repeated."""
    for after in range(7):
        files, topic = prepared(tmp_path / str(after))
        before, batch = topic.stored(), every_change(topic)[act]()
        with monkeypatch.context() as patch:
            Disk(patch, tmp_path).fail(call, after=after)
            try:
                files.commit(batch)
            except StorageFailed:
                assert loaded(tmp_path / str(after)) == before
            except OutcomeUnknown:
                with pytest.raises(StorageFailed):
                    files.try_writing()
            else:
                topic.apply(batch)
                assert loaded(tmp_path / str(after)) == topic.stored()
                continue
        files.commit(topic.apply(batch))
        assert loaded(tmp_path / str(after)) == topic.stored()
        files.commit(topic.apply(topic.put(job(30))))
        assert loaded(tmp_path / str(after)) == topic.stored()


@pytest.mark.parametrize("act", ACTS)
def test_a_disk_that_fails_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    """While nothing can be written nothing changes; the next batch then repairs the files."""
    for after in range(6):
        files, topic = prepared(tmp_path / str(after))
        batch = every_change(topic)[act]()
        with monkeypatch.context() as patch:
            Disk(patch, tmp_path).fail("fsync", after=after, times=1000)
            for _ in range(3):
                try:
                    files.commit(batch)
                except (StorageFailed, OutcomeUnknown):
                    continue
                break
        files.commit(topic.apply(batch))
        assert loaded(tmp_path / str(after)) == topic.stored()


@pytest.mark.parametrize("act", ACTS)
def test_a_kill_at_any_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: str) -> None:
    """Between two writes a job may be in both files, but never in neither."""
    for number in range(60):
        files, topic = prepared(tmp_path / str(number))
        batch = every_change(topic)[act]()
        jobs_before = {job.id for job in topic.stored().jobs}
        with monkeypatch.context() as patch:
            Disk(patch, tmp_path).kill_at(number)
            try:
                files.commit(batch)
            except Killed:
                is_over = False
            else:
                is_over = True
        found = {job.id for job in loaded(tmp_path / str(number)).jobs}
        topic.apply(batch)
        jobs_after = {job.id for job in topic.stored().jobs}
        assert jobs_before & jobs_after <= found <= jobs_before | jobs_after
        if is_over:
            assert loaded(tmp_path / str(number)) == topic.stored()
            return
    raise AssertionError("the batch never ended")


def test_a_job_that_is_in_both_files(tmp_path: Path) -> None:
    """Its end was not acknowledged: it is in the queue, once, and can be finished again."""
    files, topic = prepared(tmp_path / "data")
    old = (tmp_path / "data" / "jobs.json").read_bytes()
    before = topic.stored()
    files.commit(topic.put(done(held(job(2), worker(8)), 11.0)))
    (tmp_path / "data" / "jobs.json").write_bytes(old)
    assert loaded(tmp_path / "data") == before
    files = JsonFiles(tmp_path / "data", jobs=True, workers=True, rereads=True, fsync=False)
    files.load()
    topic.restarted()
    files.commit(topic.apply(topic.put(done(held(job(2), worker(8)), 12.0))))
    assert loaded(tmp_path / "data") == topic.stored()

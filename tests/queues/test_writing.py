"""Files replaced as a whole: what is there after a failure at any system call."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sanic_dispatch.errors import StorageFailed
from sanic_dispatch.queues.atomic_file import replace_file
from sanic_dispatch.settings import Mode
from tests.queues.kit import Backend, Bench, both, done, free, held, ids, job, worker

CALLS = ["open", "fchmod", "writev", "fsync", "close", "rename"]


def break_call(monkeypatch: pytest.MonkeyPatch, name: str, after: int, times: int) -> None:
    """The n-th of these system calls from now on fails, and some after it."""
    module: Any = Path if name == "rename" else os
    name = "replace" if name == "rename" else name
    real: Callable[..., Any] = getattr(module, name)
    count = 0

    def breaking(*args: Any, **named: Any) -> Any:
        nonlocal count
        count += 1
        if after < count <= after + times:
            if name == "close":
                real(*args, **named)
            raise OSError(5, "Input/output error")
        return real(*args, **named)

    monkeypatch.setattr(module, name, breaking)


def test_a_file_is_replaced(tmp_path: Path) -> None:
    """The new content is there, and nothing else is left."""
    path = tmp_path / "x.json"
    for pieces in ([b"one"], [b"t", b"", b"wo"], [b"%d," % n for n in range(5000)]):
        replace_file(path, pieces)
        assert path.read_bytes() == b"".join(pieces)
    assert os.listdir(tmp_path) == ["x.json"]


def test_a_short_write_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system takes only a part, the rest is written too."""
    monkeypatch.setattr(os, "writev", lambda fd, pieces: os.write(fd, b"".join(pieces)[:3]))
    replace_file(tmp_path / "x", [b"12", b"3456", b"7"])
    assert (tmp_path / "x").read_bytes() == b"1234567"


def test_modes(tmp_path: Path) -> None:
    """A new file is its owner's only; one that is replaced keeps its mode."""
    path = tmp_path / "x"
    replace_file(path, [b"1"])
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    replace_file(path, [b"2"])
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("call", CALLS)
def test_the_old_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """Whatever fails before the rename, the old file is whole, and the new one is gone."""
    path = tmp_path / "x"
    replace_file(path, [b"old"])
    break_call(monkeypatch, call, after=0, times=1)
    with pytest.raises(OSError, match="Input/output error"):
        replace_file(path, [b"new"])
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("fsync", [True, False], ids=["fsync", "no fsync"])
def test_synced_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fsync: bool) -> None:
    """The file is synced before the rename and the folder after it, or neither where not wanted."""
    steps: list[str] = []
    real = Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: steps.append("fsync"))
    monkeypatch.setattr(
        Path, "replace", lambda self, to: (steps.append("rename"), real(self, to))[1]
    )
    replace_file(tmp_path / "x", [b"1"], fsync=fsync)
    assert steps == (["fsync", "rename", "fsync"] if fsync else ["rename"])


async def test_a_link_is_followed(tmp_path: Path) -> None:
    """A file that is a link stays one; what it points to is replaced."""
    data, real = tmp_path / "data", tmp_path / "real.json"
    data.mkdir()
    real.write_text("[]")
    (data / "jobs.json").symlink_to(real)
    bench = Bench(both(Mode.CACHED_JSON_FILE), data)
    await bench.open()
    await bench.pairs.jobs.enqueue(job(1))
    await bench.close()
    assert os.readlink(data / "jobs.json") == str(real)
    assert job(1).id.encode() in real.read_bytes()


@pytest.mark.parametrize("fsync", [True, False])
async def test_what_is_found_is_synced(
    fsync: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed process may have renamed a file and not synced it; from the start on others are
    told of its jobs, so a power cut must not take them any more."""
    bench = Bench(both(Mode.CACHED_JSON_FILE), tmp_path, fsync=fsync)
    await bench.open()
    await bench.pairs.jobs.enqueue(job(1))
    await bench.pairs.workers.enqueue(worker(1))
    await bench.close()
    synced, real = [], os.fsync

    def noted(descriptor: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    await bench.open()
    await bench.close()
    files = {"jobs.json", "workers.json", "dispatch.json", tmp_path.name} if fsync else set()
    assert set(synced) == files
    assert synced[-1:] == [tmp_path.name] * fsync


MODES = [Mode.JSON_FILE, Mode.CACHED_JSON_FILE]


@pytest.fixture(params=MODES, ids=str)
def backend(request: pytest.FixtureRequest) -> Backend:
    return both(request.param)


async def prepared(backend: Backend, folder: Path) -> Bench:
    """A waiting job, one that is held, and one that has finished."""
    bench = Bench(backend, folder, fsync=True)
    await bench.open()
    jobs = bench.pairs.jobs
    first, second, third = [await jobs.enqueue(job(number)) for number in (1, 2, 3)]
    await jobs.finish(done(held(first, worker(1))))
    await jobs.replace(held(second, worker(2)))
    assert third.ticket == 3
    return bench


async def enqueue(bench: Bench) -> Any:
    return await bench.pairs.jobs.enqueue(job(9))


async def finish(bench: Bench) -> Any:
    return await bench.pairs.jobs.finish(done((await bench.pairs.jobs.items())[0]))


async def put_back(bench: Bench) -> Any:
    return await bench.pairs.jobs.put_back(free((await bench.pairs.jobs.all_finished())[0]))


async def pause(bench: Bench) -> Any:
    return await bench.pairs.jobs.pause(True)


async def seen(bench: Bench) -> tuple[list[str], list[str], bool]:
    jobs = bench.pairs.jobs
    finished = [record.id for record in await jobs.all_finished()]
    return await ids(jobs), finished, (await jobs.facts()).paused


@pytest.mark.parametrize("act", [enqueue, finish, put_back, pause], ids=lambda act: act.__name__)
@pytest.mark.parametrize("call", CALLS)
async def test_memory_is_what_the_disk_has(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    act: Callable[[Bench], Any],
) -> None:
    """Whichever system call fails, in either file, an act that was refused has changed nothing,
    neither in memory nor on the disk; and the next one works."""
    for after in range(8):
        folder = tmp_path / str(after)
        folder.mkdir()
        bench = await prepared(both(Mode.CACHED_JSON_FILE), folder)
        before = await seen(bench)
        with monkeypatch.context() as patch:
            break_call(patch, call, after, times=1)
            try:
                await act(bench)
            except StorageFailed:
                assert await seen(bench) == before
            else:
                assert await seen(bench) != before
        now = await seen(bench)
        await bench.reopen()
        assert await seen(bench) == now
        await bench.pairs.jobs.enqueue(job(10))
        await bench.close()


async def until_it_fails(bench: Bench, act: Callable[[Bench], Any]) -> None:
    number = 20
    try:
        await act(bench)
        while True:
            await bench.pairs.jobs.enqueue(job(number := number + 1))
    except StorageFailed:
        return


@pytest.mark.parametrize("act", [enqueue, finish, put_back, pause], ids=lambda act: act.__name__)
async def test_a_disk_that_fails_for_long(
    backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: Callable[[Bench], Any]
) -> None:
    """When nothing can be written for a while, everything is refused; then the files are set right
    by the next write, whatever was left half done."""
    for after in range(6):
        folder = tmp_path / str(after)
        folder.mkdir()
        bench = await prepared(backend, folder)
        with monkeypatch.context() as patch:
            break_call(patch, "fsync", after, times=1000)
            await until_it_fails(bench, act)
            before = await seen(bench)
            with pytest.raises(StorageFailed):
                await bench.pairs.jobs.enqueue(job(11))
        await bench.pairs.jobs.enqueue(job(10))
        assert (await seen(bench))[0] == [*before[0], job(10).id]
        now = await seen(bench)
        await bench.reopen()
        assert await seen(bench) == now
        await bench.close()


@pytest.mark.parametrize("act", [finish, put_back], ids=lambda act: act.__name__)
async def test_a_crash_at_any_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: Callable[[Bench], Any]
) -> None:
    """Between the two files of one act a job may be in both, but never in none of them; and a
    put-back is over when its last file is written."""
    data, copies = tmp_path / "data", tmp_path / "copies"
    data.mkdir()
    bench = await prepared(both(Mode.CACHED_JSON_FILE), data)
    real = Path.replace

    def renaming(self: Path, to: Path) -> None:
        real(self, to)
        shutil.copytree(data, copies / str(len(steps)))
        steps.append(to.name)

    steps: list[str] = []
    monkeypatch.setattr(Path, "replace", renaming)
    await act(bench)
    after = await seen(bench)
    await bench.close()
    monkeypatch.undo()
    assert "jobs.json" in steps
    for step, _ in enumerate(steps):
        crashed = Bench(both(Mode.CACHED_JSON_FILE), copies / str(step))
        await crashed.open()
        waiting, finished, _ = now = await seen(crashed)
        await crashed.close()
        assert sorted(waiting + finished) == [job(1).id, job(2).id, job(3).id]
    assert now == after


async def test_a_crash_between_the_two_files(tmp_path: Path) -> None:
    """A job that is in both files was not said to be finished: it is in the queue, once, and can
    be finished again."""
    bench = await prepared(both(Mode.CACHED_JSON_FILE), tmp_path)
    old = (tmp_path / "jobs.json").read_bytes()
    await finish(bench)
    await bench.close()
    (tmp_path / "jobs.json").write_bytes(old)
    await bench.open()
    assert await ids(bench.pairs.jobs) == [job(2).id, job(3).id]
    assert [record.id for record in await bench.pairs.jobs.all_finished()] == [job(1).id]
    await finish(bench)
    await bench.reopen()
    assert await ids(bench.pairs.jobs) == [job(3).id]
    assert [record.id for record in await bench.pairs.jobs.all_finished()] == [job(1).id, job(2).id]
    await bench.close()

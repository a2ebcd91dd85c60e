"""Moving data to another folder or mode: everything, in order, or nothing."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest

from sanic_dispatch.config.declaration import HOUR_S
from sanic_dispatch.config.settings import Mode
from sanic_dispatch.core.tables import Fact
from sanic_dispatch.errors import (
    BrokenTransfer,
    DataFolderInUse,
    FolderNotEmpty,
    NothingStored,
    RedisInUse,
    RedisUnusable,
)
from sanic_dispatch.storage import segment_writer
from sanic_dispatch.storage.cached_json_file import JournaledFiles
from sanic_dispatch.storage.check import inspect
from sanic_dispatch.storage.data_folder import DataFolder
from sanic_dispatch.storage.event_log import Question
from sanic_dispatch.storage.export_format import Content, Reader, lines_of
from sanic_dispatch.storage.export_import import read_contents, write_contents
from sanic_dispatch.storage.journal import journals_in
from sanic_dispatch.storage.open_store import open_store
from sanic_dispatch.storage.read_history import history_left_alone
from sanic_dispatch.storage.sqlite import DATABASE_NAME, SqliteFile
from tests.storage.samples import (
    Topic,
    both,
    contents,
    job,
    names_in,
    one_of_each,
    opened,
    settings_of,
    used,
    worker,
)
from tests.support.disk_faults import cannot_be_looked_at
from tests.support.redis import shared_server

DURABLE = [Mode.JSON_FILE, Mode.CACHED_JSON_FILE, Mode.SQLITE]
JOBS = [
    {"id": f"0c3f{n:028x}", "data": {"n": n}, "submitted_at": f"2025-03-0{n}T10:00:00.123456789Z"}
    for n in (1, 2, 3)
]


@pytest.mark.parametrize(("old", "new"), list(permutations([*DURABLE, Mode.REDIS], 2)))
async def test_everything_moves_from_any_mode_to_any_other(
    old: Mode, new: Mode, tmp_path: Path
) -> None:
    """Order, places, holds, tickets, finished jobs and facts are the same afterwards."""
    content = await read_contents(await used(tmp_path / "old", old))
    assert {job.hold.stage.value if job.hold else "free" for job in content.jobs} == {
        "free",
        "confirmed",
        "under way",
        "in doubt",
    }
    assert Fact("paused", True) in content.facts
    assert "push.example" not in b"".join(lines_of(content)).decode()
    assert [bool(each.aside) for each in content.workers].count(True) == 3
    assert content.jobs[0].place != content.jobs[0].ticket
    target = settings_of(new, tmp_path)
    await write_contents(target, content_of(b"".join(lines_of(content))))
    assert await read_contents(target) == content


def content_of(text: bytes) -> Content:
    """Return the content of an export."""
    reader = Reader()
    for line in text.splitlines(keepends=True):
        reader.take(line)
    return reader.content()


@pytest.mark.parametrize("mode", DURABLE)
async def test_data_of_several_lines_is_exported_exactly(mode: Mode, tmp_path: Path) -> None:
    """Every byte of data and result is there again, and every line is JSON for other programs."""
    content = await read_contents(await used(tmp_path / "old", mode))
    printed = content.jobs[0]._replace(data=b'{\r\n  "drink": "mojito"\n}')
    ended = content.finished[0]._replace(result=b"[\n]")
    content = replace(
        content, jobs=[printed, *content.jobs[1:]], finished=[ended, *content.finished[1:]]
    )
    lines = list(lines_of(content))
    jobs = [json.loads(line)["job"] for line in lines if line.startswith(b'{"job"')]
    assert jobs[0]["data"] == {"drink": "mojito"}
    target = settings_of(mode, tmp_path / "new")
    await write_contents(target, content_of(b"".join(lines)))
    assert await read_contents(target) == content


async def test_a_folder_that_a_kill_left(tmp_path: Path) -> None:
    """An export replays its journals, and leaves them as they are."""
    files, topic = JournaledFiles(tmp_path, fsync=False), Topic()
    files.load()
    files.commit(topic.apply(one_of_each(topic)))
    files.commit(topic.apply(topic.put(job(20), worker(20))))
    before = contents(tmp_path)
    for mode in (Mode.CACHED_JSON_FILE, Mode.JSON_FILE):
        content = await read_contents(settings_of(mode, tmp_path))
        assert [job.ticket for job in content.jobs][-1] == 20
        assert content.workers[-1].id == worker(20).id
    (tmp_path / ".dispatch.lock").unlink()
    assert contents(tmp_path) == before
    with pytest.raises(FolderNotEmpty):
        await write_contents(settings_of(Mode.JSON_FILE, tmp_path), content)


async def test_a_database_on_another_disk_that_a_kill_left(tmp_path: Path) -> None:
    """A link leads to it; its log, which has the last changes, is beside the database itself."""
    data, disk, topic = tmp_path / "bar" / "data", tmp_path / "bar" / "disk", Topic()
    for folder in (data, disk):
        folder.mkdir(parents=True)
    (data / DATABASE_NAME).symlink_to("../disk/bar.sqlite3")
    file = SqliteFile(disk / "bar.sqlite3", fsync=False)
    file.load()
    file.commit(topic.with_events(topic.apply(topic.put(job(1)))))
    shutil.copytree(tmp_path / "bar", tmp_path / "killed", symlinks=True)
    file.close()
    killed = tmp_path / "killed" / "data"
    content = await read_contents(settings_of(Mode.SQLITE, killed))
    assert content.jobs == [job(1)]
    assert [each.counts.get("waiting") for each in inspect(killed).files] == [1]
    with history_left_alone(killed) as log:
        assert [each.ticket for each in log.find(Question()).events] == [1]


@pytest.mark.parametrize("mode", [Mode.JSON_FILE, Mode.SQLITE], ids=str)
async def test_another_mode_replays_journals(mode: Mode, tmp_path: Path) -> None:
    """After another mode has started on it, a killed CachedJsonFile's folder has complete files."""
    files, topic = JournaledFiles(tmp_path, fsync=False), Topic()
    files.load()
    files.commit(topic.apply(one_of_each(topic)))
    async with opened(both(mode), tmp_path) as store:
        await store.load()
        assert journals_in(tmp_path) == {}
        stored = json.loads((tmp_path / "jobs.json").read_bytes())
        assert {entry["ticket"] for entry in stored} == {1, 2, 3, 4, 5, 8}
        assert json.loads((tmp_path / "dispatch.json").read_bytes())["version"] == 1


async def test_an_import_drops_nothing_of_the_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How long it is kept is a setting of the service; a killed one has left newer events."""
    monkeypatch.setattr(segment_writer, "SEGMENT_EVENTS", 12)
    files, topic = JournaledFiles(tmp_path, fsync=False), Topic()
    files.load()
    files.commit(topic.batch_of_events(30))
    files.history.flush()
    files.commit(topic.with_events(topic.apply(topic.put(job(1)))))
    content = await read_contents(settings_of(Mode.CACHED_JSON_FILE, tmp_path))
    service = replace(settings_of(Mode.SQLITE, tmp_path), keep_history_s=87600 * HOUR_S)
    await write_contents(replace(service, keep_history_s=0.0), content)
    with history_left_alone(tmp_path) as log:
        assert [event.n for event in log.scan()] == list(range(1, 32))
    async with open_store(service) as store:
        await store.load()
        assert [event.n for event in store.history.scan()] == list(range(1, 32))


@pytest.mark.parametrize("mode", [Mode.JSON_FILE, Mode.CACHED_JSON_FILE], ids=str)
async def test_an_import_keeps_the_segments(
    mode: Mode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the mode before, however old they are, although the JSON modes flush at the end."""
    monkeypatch.setattr(segment_writer, "SEGMENT_EVENTS", 12)
    file, topic = SqliteFile(tmp_path / DATABASE_NAME, fsync=False), Topic()
    file.load()
    file.commit(topic.batch_of_events(30))
    file.close()
    content = await read_contents(settings_of(Mode.SQLITE, tmp_path))
    await write_contents(replace(settings_of(mode, tmp_path), keep_history_s=0.0), content)
    with history_left_alone(tmp_path) as log:
        assert [event.n for event in log.scan()] == list(range(1, 31))


@pytest.mark.parametrize("mode", [Mode.JSON_FILE, Mode.CACHED_JSON_FILE], ids=str)
async def test_another_mode_has_the_events_of_a_killed_database(mode: Mode, tmp_path: Path) -> None:
    """The newest ones are in its table only; they move once, and new ones are numbered after."""
    old, killed, topic = tmp_path / "old", tmp_path / "killed", Topic()
    old.mkdir()
    file = SqliteFile(old / DATABASE_NAME, fsync=False)
    file.load()
    for n in (1, 2, 3):
        file.commit(topic.with_events(topic.apply(topic.put(job(n)))))
    file.history.begin_epoch("of a start after which nothing happened", 0.0)
    shutil.copytree(old, killed)
    file.close()
    content = await read_contents(settings_of(Mode.SQLITE, killed))
    await write_contents(settings_of(mode, killed), content)
    for last_n in (3, 4):
        async with opened(both(mode), killed) as store:
            await store.load()
            assert [event.n for event in store.history.scan()] == list(range(1, last_n + 1))
            assert store.history.last_number == last_n
            topic.restarted()
            await store.commit(topic.with_events(topic.apply(topic.put(job(last_n + 1)))))
    with history_left_alone(killed) as log:
        assert [event.ticket for event in log.scan()] == [1, 2, 3, 4, 5]
        assert len(list(log.payloads())) == 5


async def test_reading_changes_nothing(tmp_path: Path) -> None:
    """Also in the original's files, which have no tickets."""
    (tmp_path / "jobs.json").write_text(text := json.dumps(JOBS, indent=2))
    content = await read_contents(settings_of(Mode.CACHED_JSON_FILE, tmp_path))
    assert [(job.ticket, job.id) for job in content.jobs] == [
        (n, job["id"]) for n, job in enumerate(JOBS, 1)
    ]
    assert (tmp_path / "jobs.json").read_text() == text
    assert names_in(tmp_path) == {"jobs.json", ".dispatch.lock"}


@pytest.mark.parametrize("mode", [Mode.IN_MEMORY, *DURABLE], ids=str)
async def test_there_must_be_something_to_export(mode: Mode, tmp_path: Path) -> None:
    """A folder without files of that mode is most likely the wrong one."""
    with pytest.raises(NothingStored, match=str(mode)):
        await read_contents(settings_of(mode, tmp_path))
    assert names_in(tmp_path) <= {".dispatch.lock"}


async def test_redis_without_anything(tmp_path: Path) -> None:
    """A prefix without keys is most likely the wrong one, too: none are made for it."""
    settings = settings_of(Mode.REDIS, tmp_path)
    reason = f"no queues of the prefix {settings.redis_prefix} are there"
    with pytest.raises(RedisUnusable, match=reason):
        await read_contents(settings)
    assert shared_server().ask("KEYS", f"*{settings.redis_prefix}*") == b"*0\r\n"


@pytest.mark.parametrize("mode", [Mode.JSON_FILE, Mode.CACHED_JSON_FILE], ids=str)
async def test_jobs_in_redis_beside_a_folder_without_workers(mode: Mode, tmp_path: Path) -> None:
    """They are exported, although that mode has no file yet."""
    content = replace(await read_contents(await used(tmp_path / "old", mode)), workers=[])
    settings = replace(settings_of(Mode.REDIS, tmp_path), worker_queue_mode=mode)
    await write_contents(settings, content)
    assert await read_contents(settings) == content


async def test_redis_that_is_used_is_left_alone(tmp_path: Path) -> None:
    """Queues are neither overwritten nor, while a dispatcher owns them, read."""
    settings = await used(tmp_path, Mode.REDIS)
    content = await read_contents(settings)
    with pytest.raises(RedisUnusable, match=f"queues of the prefix {settings.redis_prefix} are"):
        await write_contents(settings, replace(content, jobs=[]))
    assert await read_contents(settings) == content
    async with opened(both(Mode.REDIS), tmp_path) as store:
        await store.load()
        with pytest.raises(RedisInUse):
            await read_contents(settings)


async def test_a_folder_that_is_used_is_left_alone(tmp_path: Path) -> None:
    """A folder in use is neither read nor written."""
    content = await read_contents(await used(tmp_path / "old", Mode.SQLITE))
    running = DataFolder(tmp_path)
    running.claim()
    with pytest.raises(DataFolderInUse):
        await write_contents(settings_of(Mode.SQLITE, tmp_path), content)
    with pytest.raises(DataFolderInUse):
        await read_contents(settings_of(Mode.SQLITE, tmp_path))
    running.release()


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        (Mode.CACHED_JSON_FILE, "jobs.json"),
        (Mode.JSON_FILE, "workers.json"),
        (Mode.CACHED_JSON_FILE, "dispatch.json"),
        (Mode.SQLITE, "dispatch.sqlite3"),
    ],
)
@pytest.mark.parametrize("is_seen", [True, False], ids=["seen", "cannot be looked at"])
async def test_nothing_is_overwritten(
    mode: Mode, name: str, is_seen: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An import into a folder that is not empty is refused."""
    content = await read_contents(await used(tmp_path / "old", Mode.SQLITE))
    (tmp_path / name).write_text("mine")
    settings = settings_of(mode, tmp_path)
    with monkeypatch.context() as faulty:
        if not is_seen:
            cannot_be_looked_at(faulty, name)
        with pytest.raises(FolderNotEmpty, match=name):
            await write_contents(settings, content)
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        (Mode.JSON_FILE, "jobs.json"),
        (Mode.CACHED_JSON_FILE, "dispatch.json"),
        (Mode.SQLITE, DATABASE_NAME),
    ],
)
async def test_a_link_to_nothing_is_left_alone(mode: Mode, name: str, tmp_path: Path) -> None:
    """Its disk may not be mounted; without the link a start would find an empty queue."""
    content = await read_contents(await used(tmp_path / "old", Mode.SQLITE))
    (tmp_path / name).symlink_to("elsewhere")
    with pytest.raises(FolderNotEmpty, match=name):
        await write_contents(settings_of(mode, tmp_path), content)
    assert (tmp_path / name).is_symlink()


@pytest.mark.parametrize("mode", DURABLE, ids=str)
async def test_an_import_is_all_or_nothing(mode: Mode, tmp_path: Path) -> None:
    """Two jobs with the same id cannot be stored, so nothing is."""
    content = await read_contents(await used(tmp_path / "old", Mode.SQLITE))
    twice = replace(content, jobs=[*content.jobs, content.jobs[-1]._replace(place=99.0)])
    with pytest.raises(BrokenTransfer):
        await write_contents(settings_of(mode, tmp_path), twice)
    assert names_in(tmp_path) == {"old", ".dispatch.lock"}


async def test_a_truncated_export_is_refused(tmp_path: Path) -> None:
    """After every line, and within one."""
    content = await read_contents(await used(tmp_path / "old", Mode.SQLITE))
    text = b"".join(lines_of(content))
    lines = text.splitlines(keepends=True)
    cut = [b"".join(lines[:n]) for n in range(len(lines))]
    for part in (*cut, *(part[:-10] for part in cut[1:])):
        with pytest.raises(BrokenTransfer):
            content_of(part)
    assert content_of(text) == content


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b'"drink"', b'"drunk"', "an earlier line was changed"),
        (b'"jobs":6', b'"jobs":7', "an earlier line was changed"),
        (b'"sanic-dispatch":1', b'"sanic-dispatch":2', "line 1: this is no export of version 1"),
        (b'{"job":', b'{"task":', "'task' is missing"),
        (b'"state":"assigned"', b'"state":"lost"', "'lost' is not a valid State"),
        (b'{"sha256"', b'{"x":1,"sha256"', ""),
        (b'"}\n', b'"}\n{"fact":"paused","value":true}\n', "follows"),
    ],
)
async def test_a_changed_export_is_refused(
    old: bytes, new: bytes, reason: str, tmp_path: Path
) -> None:
    """A changed byte is found by the checksum."""
    content = await read_contents(await used(tmp_path / "old", Mode.SQLITE))
    text = b"".join(lines_of(content))
    head, found, tail = text.rpartition(old)
    assert found
    if reason:
        with pytest.raises(BrokenTransfer, match=reason):
            content_of(head + new + tail)
    else:
        assert content_of(head + new + tail) == content

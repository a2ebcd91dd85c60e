"""The commands for data folders: check, export, import, and serve --repair."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from sanic_dispatch.cli import data_commands
from sanic_dispatch.config.settings import Mode
from sanic_dispatch.errors import DataFolderUnusable, FolderNotEmpty
from sanic_dispatch.storage.data_folder import LOCK, DataFolder
from sanic_dispatch.storage.export_format import lines_of
from sanic_dispatch.storage.export_import import read_contents, write_contents
from sanic_dispatch.storage.original_export import Kept, write_original
from sanic_dispatch.storage.segment_format import segments_in
from sanic_dispatch.storage.segment_log import SegmentLog
from tests.storage.events import records
from tests.storage.samples import contents, names_in, settings_of, used
from tests.storage.test_cached_json_file import used as killed
from tests.support.commands import run, run_here, start
from tests.support.redis import redis_values

ENTRY = b'{"id":"a","data":1,"submitted_at":"2024-11-24T01:39:00Z"}'


@pytest.mark.parametrize("mode", [Mode.SQLITE, Mode.REDIS])
async def test_one_mode_is_piped_into_another_in_the_same_folder(
    mode: Mode, tmp_path: Path
) -> None:
    """``export | import`` moves the data to another mode; the old records stay."""
    settings = await used(tmp_path / "data", mode)
    command = (
        f"python -m sanic_dispatch export -m {mode} --data-dir {settings.data_dir} |"
        f"python -m sanic_dispatch import -m CachedJsonFile --data-dir {settings.data_dir}"
    )
    redis = redis_values(mode, settings.data_dir)
    environment = {f"SANIC_DISPATCH_{name.upper()}": value for name, value in redis.items()}
    environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    process = await asyncio.create_subprocess_shell(
        command, stderr=asyncio.subprocess.PIPE, env={**os.environ, **environment}
    )
    _, said = await process.communicate()
    assert said.decode() == "stored: workers: 8, jobs: 6, finished: 2\n"
    moved = settings_of(Mode.CACHED_JSON_FILE, settings.data_dir)
    assert await read_contents(moved) == await read_contents(settings)


async def test_export_for_the_original(tmp_path: Path) -> None:
    """Its two files with its keys, in order; what it cannot use is left out, and counted."""
    settings = await used(tmp_path / "data", Mode.SQLITE)
    content = await read_contents(settings)
    exported = await run_here("export", "-m", "Sqlite", "--data-dir", str(settings.data_dir))
    target = ("import", "--original", "--data-dir", str(tmp_path))
    done = await run_here(*target, stdin=exported.out.encode())
    assert done.err == "stored: jobs: 4, workers: 1; left out: workers: 7, jobs: 2, finished: 2\n"
    jobs = json.loads((tmp_path / "jobs.json").read_bytes())
    assert {tuple(job) for job in jobs} == {("id", "data", "submitted_at")}
    kept = [job for job in content.jobs if not job.hold or job.hold.stage != "confirmed"]
    assert [job["id"] for job in jobs] == [job.id for job in kept]
    workers = json.loads((tmp_path / "workers.json").read_bytes())
    assert [each["callback_url"] for each in workers] == ["http://engine/callbacks/7/"]
    again = await run_here(*target, stdin=exported.out.encode())
    assert (again.code, "workers.json is there already" in again.err) == (1, True)


async def test_export_for_the_original_is_all_or_nothing(tmp_path: Path) -> None:
    """If one of its files exists or cannot be written, the other one is not left behind."""
    settings = await used(tmp_path / "data", Mode.SQLITE)
    kept = Kept.of(await read_contents(settings))
    target = tmp_path / "original"
    target.mkdir()
    (target / "jobs.json").write_text("[]")
    with pytest.raises(FolderNotEmpty, match=r"jobs\.json is there already"):
        write_original(target, kept)
    assert names_in(target) - {LOCK} == {"jobs.json"}
    (target / "jobs.json").unlink()
    (target / ".jobs.json.new").mkdir()
    with pytest.raises(DataFolderUnusable, match="cannot be written"):
        write_original(target, kept)
    assert names_in(target) - {LOCK} == {".jobs.json.new"}


async def test_a_long_import_shows_progress(tmp_path: Path) -> None:
    """Progress is shown on a terminal only."""
    old = settings_of(Mode.CACHED_JSON_FILE, tmp_path / "old")
    entries = (ENTRY.replace(b'"a"', b'"%032x"' % n) for n in range(3000))
    (old.data_dir / "jobs.json").write_bytes(b"[" + b",".join(entries) + b"]")
    content = await read_contents(old)
    ours, theirs = pty.openpty()
    process = await start("import", "--data-dir", str(tmp_path), stderr=theirs)
    os.close(theirs)
    await process.communicate(b"".join(lines_of(content)))
    said = os.read(ours, 65536)
    os.close(ours)
    assert b"importing" in said
    assert b"stored: workers: 0, jobs: 3000, finished: 0" in said


async def test_errors_are_one_line(tmp_path: Path) -> None:
    """Errors are one line with exit code 1, and nothing is stored."""
    done = await run_here("import", "--data-dir", str(tmp_path), stdin=b'{"sanic-dispatch":1}\n')
    assert (done.code, done.out) == (1, "")
    reason = "nothing was stored, the export is not whole: line 1: 'workers' is missing"
    assert done.err == f"sanic-dispatch: {reason}\n"
    assert names_in(tmp_path) == set()


@pytest.mark.parametrize("command", ["check", "export", "export-log", "serve"])
async def test_a_folder_that_cannot_be_looked_at(command: str, tmp_path: Path) -> None:
    """One line, as of a folder that another user owns: root, who runs tests, may look at these."""
    done = await run(command, "--data-dir", str(tmp_path / ("x" * 300)))
    assert (done.code, done.out) == (1, "")
    assert re.fullmatch(r"sanic-dispatch: \[Errno \d+\] File name too long: '.*'\n", done.err)


@pytest.mark.parametrize("command", [["check"], ["export", "-m", "Sqlite"], ["export-log"]])
async def test_no_room_for_a_copy(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database is read from a copy; why there cannot be one is one line."""
    settings = await used(tmp_path / "data", Mode.SQLITE)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    done = await run_here(*command, "--data-dir", str(settings.data_dir))
    assert (done.code, done.out) == (1, "")
    assert re.fullmatch(r"sanic-dispatch: \[Errno 2\] No such file .*/gone/.*\n", done.err)


async def test_ctrl_c(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends a long import, without a word, with the exit code of all commands."""

    def press_ctrl_c(_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(data_commands, "_read", press_ctrl_c)
    done = await run_here("import", "--data-dir", str(tmp_path))
    assert (done.code, done.out, done.err) == (130, "", "")


async def test_check_counts(tmp_path: Path) -> None:
    """check prints the number of records in any mode, and changes nothing."""
    settings = await used(tmp_path / "data", Mode.SQLITE)
    content = await read_contents(settings)
    await write_contents(settings_of(Mode.CACHED_JSON_FILE, settings.data_dir), content)
    before = contents(settings.data_dir)
    done = await run_here("check", "--json", "--data-dir", str(settings.data_dir))
    assert done.code == 0
    jobs = {"waiting": 2, "assigned": 4, "in_doubt": 2}
    workers = {"workers": 8, "set_aside": 3}
    rest = {"last_ticket": 8, "paused": True, "finished": 2, "done": 1, "failed": 1}
    assert done.lines == [
        {
            "folder": str(settings.data_dir),
            "in_use": False,
            "whole": True,
            "files": [
                {"file": "jobs.json", **jobs, "damage": None},
                {"file": "workers.json", **workers, "damage": None},
                {"file": "dispatch.json", **rest, "damage": None},
                {"file": "dispatch.sqlite3", **jobs, **workers, **rest, "damage": None},
            ],
            "set_aside": [],
        }
    ]
    assert contents(settings.data_dir) == before


async def test_check_replays_journals(tmp_path: Path) -> None:
    """After a kill it counts the batches in the journals, and the jobs that wait with them."""
    killed(tmp_path)
    before = contents(tmp_path)
    done = await run_here("check", "--data-dir", str(tmp_path))
    assert done.code == 0
    assert done.out.splitlines() == [
        "jobs.json: waiting: 2, assigned: 4, in doubt: 2",
        "workers.json: workers: 8, set aside: 3",
        "dispatch.json: last ticket: 8, paused: True, finished: 2, done: 1, failed: 1",
        "dispatch.journal-2: batches: 1",
        "dispatch.journal-3: batches: 2",
        "files and journals together: waiting: 2, assigned: 4, in doubt: 2, workers: 8, "
        "set aside: 3, last ticket: 10, paused: True, finished: 3, done: 2, failed: 1",
    ]
    assert contents(tmp_path) == before


async def test_check_reads_the_history(tmp_path: Path) -> None:
    """It counts events, in journals and in segments, and says where a segment is damaged."""
    history = SegmentLog(tmp_path)
    history.load()
    history.add(records(1, 5000))
    history.flush()
    history.add(records(5001, 12_000))
    history.flush()
    done = await run_here("check", "--data-dir", str(tmp_path))
    assert (done.code, done.out.splitlines()) == (0, ["history: segments: 2, events: 12000"])
    first, *_ = segments_in(tmp_path / "history").values()
    content = first.read_bytes()
    first.write_bytes(content[:70_000] + b"?" + content[70_001:])
    before = contents(first.parent)
    done = await run_here("check", "--data-dir", str(tmp_path))
    assert contents(first.parent) == before
    assert done.code == 1
    assert done.out.splitlines()[0].startswith("history: segments: 2, events: 11")
    assert re.match(
        r"history/segment-0{14}1\.gz: DAMAGED, at byte 6[0-9]{4}: ", done.out.splitlines()[1]
    )


async def test_check_reads_the_epochs(tmp_path: Path) -> None:
    """It says that they are damaged."""
    history = SegmentLog(tmp_path)
    history.begin_epoch("a", 1.0)
    history.add(records(1, 10))
    history.flush()
    path = tmp_path / "history/epochs.json"
    path.write_bytes(path.read_bytes().replace(b"1", b"2"))
    done = await run_here("check", "--data-dir", str(tmp_path))
    assert (done.code, done.out.splitlines()) == (
        1,
        [
            "history: segments: 1, events: 10",
            "history/epochs.json: DAMAGED, at byte 0: its checksum is wrong",
        ],
    )


async def test_check_rebuilds_indexes(tmp_path: Path) -> None:
    """With --rebuild-index those that were wrong are as they were."""
    history = SegmentLog(tmp_path)
    history.load()
    history.add(records(1, 700))
    history.flush()
    index = tmp_path / "history" / f"segment-{1:015}.index"
    right = index.read_bytes()
    index.write_bytes(b"?")
    assert (await run_here("check", "--data-dir", str(tmp_path))).code == 0
    assert index.read_bytes() == b"?"
    assert (await run_here("check", "--rebuild-index", "--data-dir", str(tmp_path))).code == 0
    assert index.read_bytes() == right


async def test_check_finds_a_damaged_journal(tmp_path: Path) -> None:
    """It names the damaged line and byte, or the missing journal."""
    killed(tmp_path)
    journal = tmp_path / "dispatch.journal-3"
    content = journal.read_bytes()
    journal.write_bytes(content.replace(b"drink", b"drunk"))
    done = await run_here("check", "--data-dir", str(tmp_path))
    assert done.code == 1
    at = content.index(b"\n") + 1
    assert f"dispatch.journal-3: DAMAGED, line 2, at byte {at}: its checksum is wrong" in done.out
    journal.unlink()
    (tmp_path / "dispatch.journal-2").unlink()
    done = await run_here("check", "--data-dir", str(tmp_path))
    assert done.code == 1
    missing = "dispatch.journal-2 is missing, and dispatch.json counts on it"
    assert f"files and journals together: DAMAGED, {missing}" in done.out


async def test_check_says_where_the_damage_is(tmp_path: Path) -> None:
    """It names entry and byte with exit code 1, and checks the other files too."""
    (tmp_path / "jobs.json").write_bytes(b"[" + ENTRY + b',{"id":"b"}]')
    (tmp_path / "workers.json").write_bytes(b"[]")
    (tmp_path / "dispatch.sqlite3").mkdir()
    (tmp_path / "jobs.json.damaged-20241124T013900Z").touch()
    done = await run_here("check", "--data-dir", str(tmp_path))
    assert done.code == 1
    assert done.out.splitlines() == [
        "jobs.json: DAMAGED, entry 1, at byte 59: 'data' is missing",
        "workers.json: workers: 0, set aside: 0",
        "dispatch.sqlite3: DAMAGED, is no regular file",
        "jobs.json.damaged-20241124T013900Z: damaged entries that were set aside",
    ]


async def test_check_looks_at_a_folder_in_use(tmp_path: Path) -> None:
    """Files are replaced as a whole, so they can be checked; a database in use cannot."""
    settings = await used(tmp_path / "data", Mode.SQLITE)
    (settings.data_dir / "jobs.json").write_bytes(b"[" + ENTRY + b"]")
    running = DataFolder(settings.data_dir)
    running.claim()
    done = await run_here("check", "--data-dir", str(settings.data_dir))
    running.release()
    assert done.code == 0
    assert done.out.splitlines() == [
        "a dispatcher runs on this folder: the counts can be of different moments",
        "jobs.json: waiting: 1, assigned: 0, in doubt: 0",
        "dispatch.sqlite3: in use",
    ]


@pytest.mark.parametrize(("name", "code"), [("empty", 0), ("missing", 1)])
async def test_check_of_an_empty_or_missing_folder(name: str, code: int, tmp_path: Path) -> None:
    """An empty folder is whole; a missing one is an error."""
    (tmp_path / "empty").mkdir()
    done = await run_here("check", "--data-dir", str(tmp_path / name))
    assert done.code == code
    assert ("nothing is stored here" in done.out) is (code == 0)


async def test_serve_repairs_when_it_is_told_to(tmp_path: Path) -> None:
    """With --repair damaged entries are set aside; without it the server does not start."""
    from tests.support.server import free_port, server_process

    damaged = b'[\n{"id":"b"},\n' + ENTRY + b"\n]\n"
    (tmp_path / "jobs.json").write_bytes(damaged)
    port, folder = free_port(), ("--data-dir", str(tmp_path))
    done = await run("serve", *folder, "--port", str(port))
    assert (done.code, "entry 0, at byte 2: 'data' is missing" in done.err) == (1, True)
    assert (tmp_path / "jobs.json").read_bytes() == damaged
    roof = tmp_path / "topics" / "roof"
    roof.mkdir(parents=True)
    (roof / "jobs.json").write_bytes(damaged)
    topics = ("--topic", "roof", "--topic", "not-used-yet")
    with server_process(*folder, *topics, "--repair", port=port, cwd=tmp_path):
        pass
    for each in (tmp_path, roof):
        check_repaired(each)


def check_repaired(folder: Path) -> None:
    """Check that the good entry stayed, and the damaged one was set aside."""
    assert [job["id"] for job in json.loads((folder / "jobs.json").read_bytes())] == ["a"]
    (aside,) = (name for name in names_in(folder) if name.startswith("jobs.json.damaged-"))
    assert b'{"id":"b"}' in (folder / aside).read_bytes()

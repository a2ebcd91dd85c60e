"""Repairing: good entries stay, damaged ones are set aside unchanged, both are counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from sanic_dispatch.config.settings import Settings
from sanic_dispatch.errors import DataFolderInUse, NotAQueue
from sanic_dispatch.storage.cached_json_file import JournaledFiles
from sanic_dispatch.storage.data_folder import DataFolder
from sanic_dispatch.storage.entries import QUEUED, Kind, read_array
from sanic_dispatch.storage.entries import WORKERS as WORKER_KIND
from sanic_dispatch.storage.repair import repair, repair_all
from tests.storage.samples import Topic, job
from tests.storage.test_original_files import JOBS, WORKERS

NOW_S = 1_732_412_340.0
ASIDE = "jobs.json.damaged-20241124T013900Z"
A, B, C = (
    b'{"id":"%b","data":1,"submitted_at":"2024-11-24T01:39:00Z"}' % n for n in b"a b c".split()
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.json"


def ids(path: Path, kind: Kind[Any] = QUEUED) -> list[str]:
    return [found.record.id for found in read_array(path, kind, path.read_bytes())]


@pytest.mark.parametrize("content", [JOBS, b"[]", b"[\n" + A + b",\n" + B + b"\n]\n"])
def test_nothing_to_repair(path: Path, content: bytes) -> None:
    """A readable file is left alone."""
    path.write_bytes(content)
    repaired = repair(path, NOW_S)
    assert repaired[1:] == (0, None, False)
    assert path.read_bytes() == content
    assert not (path.parent / ASIDE).exists()


@pytest.mark.parametrize(
    ("content", "kept", "aside"),
    [
        (b"[\n" + A + b",\n" + B[:-9] + b",\n" + C + b"\n]\n", ["a", "c"], [B[:-9] + b",\n"]),
        (b"[\n" + A + b",\n" + B[:30], ["a"], [B[:30]]),
        (b"[\n" + A + b",\n", ["a"], []),
        (b"[\n" + A + b"\n" + B, ["a", "b"], []),
        (b"[\n" + B[9:] + b",\n" + A + b"]", ["a"], [B[9:] + b",\n"]),
        (b"[\n" + A + b",\n" + A + b",\n" + B + b"]", ["a", "b"], [A + b",\n"]),
        (b"[\n{},\n" + A + b"]", ["a"], [b"{},\n"]),
        (b"[\n\xff\xfe\x00,\n" + A + b"]", ["a"], [b"\xff\xfe\x00,\n"]),
        (b"\xef\xbb\xbf[" + A + b"]", ["a"], []),
        (b"null", [], [b"null"]),
        (b"", [], []),
        (b"[", [], []),
    ],
)
def test_damage(path: Path, content: bytes, kept: list[str], aside: list[bytes]) -> None:
    """Readable entries stay in order; the rest is in a file beside it, unchanged."""
    path.write_bytes(content)
    repaired = repair(path, NOW_S)
    assert (repaired.kept, repaired.damaged) == (len(kept), len(aside))
    assert repaired.is_rewritten
    assert ids(path) == kept
    assert repaired.aside == (path.parent / ASIDE if aside else None)
    if aside:
        assert (path.parent / ASIDE).read_bytes() == b"".join(piece + b"\n" for piece in aside)


def test_entries_stay_as_they_are(path: Path) -> None:
    """A good entry keeps its bytes, also one of the original's."""
    entry = JOBS[JOBS.index(b"{") : JOBS.index(b",\n  {")]
    path.write_bytes(JOBS[:-20])
    assert repair(path, NOW_S).kept == 1
    assert entry in path.read_bytes()


def test_nested_jobs_are_no_entries(path: Path) -> None:
    """Text inside damaged data that looks like a job is data."""
    inner = b'    {"id":"x","data":1,"submitted_at":"2024-11-24T01:39:00Z"}'
    path.write_bytes(b'[\n  {"id":"a","data":[\n' + inner + b"\n  ]}\n]")
    assert repair(path, NOW_S)[:2] == (0, 1)


def test_workers_too(tmp_path: Path) -> None:
    """workers.json is repaired too."""
    path = tmp_path / "workers.json"
    path.write_bytes(WORKERS[:-10])
    assert repair(path, NOW_S)[:2] == (1, 1)
    assert ids(path, WORKER_KIND) == ["https://cpee.org/flow/engine/1/callbacks/a/"]


def test_nothing_is_overwritten(path: Path) -> None:
    """A second repair in the same second does not overwrite the first one's file."""
    path.write_bytes(b"null")
    repair(path, NOW_S)
    path.write_bytes(b"nothing")
    with pytest.raises(FileExistsError):
        repair(path, NOW_S)
    assert path.read_bytes() == b"nothing"


def test_not_while_a_dispatcher_runs(path: Path) -> None:
    """A folder in use is left alone."""
    path.write_bytes(b"null")
    folder = DataFolder(path.parent)
    folder.claim()
    with pytest.raises(DataFolderInUse):
        repair(path, NOW_S)
    folder.release()


def test_only_arrays_and_journals(tmp_path: Path) -> None:
    """Other files, and what is not a file, are refused."""
    with pytest.raises(NotAQueue, match="only jobs.json, workers.json and journals"):
        repair(tmp_path / "dispatch.json", NOW_S)
    with pytest.raises(NotAQueue, match="no regular file"):
        repair(tmp_path / "jobs.json", NOW_S)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(cut=st.integers(0, 200), length=st.integers(1, 40), junk=st.binary(max_size=8))
def test_any_damage(path: Path, cut: int, length: int, junk: bytes) -> None:
    """After any damage the file can be read, and each entry is whole in it, or in pieces in the
    file beside it."""
    whole = b"[\n" + A + b",\n" + B + b",\n" + C + b"\n]\n"
    path.write_bytes(whole[:cut] + junk + whole[cut + length :])
    for old in path.parent.glob("*.damaged-*"):
        old.unlink()
    repaired = repair(path, NOW_S)
    assert len(ids(path)) == repaired.kept
    beside = repaired.aside.read_bytes() if repaired.aside else b""
    for entry in (A, B, C):
        at = whole.index(entry)
        if at + len(entry) <= cut or at >= cut + length:
            assert entry in path.read_bytes() + beside


def journal_of(folder: Path) -> Path:
    """Write a journal with four batches of one job each, as a kill leaves it."""
    files, topic = JournaledFiles(folder, fsync=False), Topic()
    files.load()
    for number in (1, 2, 3, 4):
        files.commit(topic.apply(topic.put(job(number))))
    return folder / "dispatch.journal-1"


def tickets(folder: Path) -> list[int]:
    return [job.ticket for job in JournaledFiles(folder, fsync=False).load().jobs]


@pytest.mark.parametrize("damaged", range(5))
def test_a_damaged_line_of_a_journal(damaged: int, tmp_path: Path) -> None:
    """Batches with right checksums stay; the damaged line is set aside unchanged."""
    journal = journal_of(tmp_path)
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[damaged] = lines[damaged][:30] + b"?" + lines[damaged][31:]
    journal.write_bytes(b"".join(lines))
    with pytest.raises(NotAQueue):
        tickets(tmp_path)
    repaired = repair(journal, NOW_S)
    kept = [number for number in (1, 2, 3, 4) if number != damaged]
    assert (repaired.kept, repaired.damaged) == (len(kept), 1)
    assert repaired.aside is not None
    assert repaired.aside.read_bytes() == lines[damaged]
    assert tickets(tmp_path) == kept


@pytest.mark.parametrize("digit", [b"0", b"5", b"f", b"?"])
@pytest.mark.parametrize("damaged", range(5))
def test_a_damaged_checksum_in_a_journal(damaged: int, digit: bytes, tmp_path: Path) -> None:
    """Only its own line is set aside: those after it continue with what it should be."""
    journal = journal_of(tmp_path)
    lines = journal.read_bytes().splitlines(keepends=True)
    if lines[damaged][:1] == digit:
        return
    lines[damaged] = digit + lines[damaged][1:]
    journal.write_bytes(b"".join(lines))
    repaired = repair(journal, NOW_S)
    assert repaired.aside is not None
    assert repaired.aside.read_bytes() == lines[damaged]
    assert tickets(tmp_path) == [number for number in (1, 2, 3, 4) if number != damaged]


@pytest.mark.parametrize("damaged", range(4))
def test_a_damaged_newline_in_a_journal(damaged: int, tmp_path: Path) -> None:
    """The line after it is one of its own, and the one after that continues with it."""
    journal = journal_of(tmp_path)
    lines = journal.read_bytes().splitlines()
    lines[damaged : damaged + 2] = [lines[damaged] + b"?" + lines[damaged + 1]]
    journal.write_bytes(b"\n".join(lines) + b"\n")
    assert repair(journal, NOW_S).damaged == 1
    assert tickets(tmp_path) == [number for number in (1, 2, 3, 4) if number != damaged]


def test_every_byte_of_a_journal(tmp_path: Path) -> None:
    """At most one batch is set aside, whichever byte of a journal has another bit."""
    journal = journal_of(tmp_path)
    content = journal.read_bytes()
    for at in range(len(content)):
        journal.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        repaired = repair(journal, float(at))
        assert repaired.kept >= 3, at
        assert len(tickets(tmp_path)) == repaired.kept


def test_a_journal_that_was_cut_off(tmp_path: Path) -> None:
    """If later ones have batches, what is left of its last line is set aside."""
    journal = journal_of(tmp_path)
    files = JournaledFiles(tmp_path, fsync=False)
    files.load()
    files.create_spare()
    cut_off = journal.read_bytes()[:-10]
    journal.write_bytes(cut_off)
    assert repair(journal, NOW_S) == (3, 0, None, False)  # a kill leaves that
    files.commit(Topic().put(job(5)))
    with pytest.raises(NotAQueue, match="its last line is incomplete, but later journals"):
        tickets(tmp_path)
    repaired = repair(journal, NOW_S)
    assert (repaired.kept, repaired.damaged) == (3, 1)
    assert repaired.aside is not None
    assert repaired.aside.read_bytes() == cut_off.splitlines()[-1] + b"\n"
    assert tickets(tmp_path) == [1, 2, 3, 5]


def test_a_good_journal_is_left_alone(tmp_path: Path) -> None:
    """Nothing is written, not even for an incomplete last line."""
    journal = journal_of(tmp_path)
    journal.write_bytes(content := journal.read_bytes() + b"0badc0de [{")
    assert repair(journal, NOW_S) == (4, 0, None, False)
    assert journal.read_bytes() == content


def test_everything_that_a_mode_uses(tmp_path: Path) -> None:
    """``--repair`` checks the arrays of the modes, and every journal."""
    journal = journal_of(tmp_path)
    journal.write_bytes(journal.read_bytes() + b"damaged\n")
    (tmp_path / "jobs.json").write_bytes(b"[{]")
    repair_all(Settings(data_dir=tmp_path), NOW_S)
    assert tickets(tmp_path) == [1, 2, 3, 4]
    aside = {path.name.partition("-2024")[0] for path in tmp_path.glob("*.damaged-*")}
    assert aside == {"jobs.json.damaged", "dispatch.journal-1.damaged"}


@pytest.mark.parametrize(
    ("content", "logged"),
    [(b"[\n" + A + b",\n", [1]), (b"", [0]), (b"[]", []), (b"[\n" + A + b"\n]\n", [])],
)
def test_what_was_rewritten_is_logged(path: Path, content: bytes, logged: list[int]) -> None:
    """Also a file that was cut off between two entries; an empty queue is nothing to repair."""
    path.write_bytes(content)
    with capture_logs() as logs:
        repair_all(Settings(data_dir=path.parent), NOW_S)
    assert [(line["event"], line["file"], line["kept"]) for line in logs] == [
        ("queue.repaired", "jobs.json", kept) for kept in logged
    ]

"""Repairing: good entries stay, damaged ones are set aside to the byte, both are counted."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sanic_dispatch.errors import DataFolderInUse, NotAQueue
from sanic_dispatch.queues.array_file import rows_of
from sanic_dispatch.queues.folder import DataFolder
from sanic_dispatch.queues.repair import repair
from sanic_dispatch.queues.store import Shelf
from tests.queues.test_original_files import JOBS, WORKERS

NOW_S = 1_732_412_340.0
ASIDE = "jobs.json.damaged-20241124T013900Z"
A, B, C = (
    b'{"id":"%b","data":1,"submitted_at":"2024-11-24T01:39:00Z"}' % n for n in b"a b c".split()
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.json"


def ids(path: Path, shelf: Shelf = Shelf.JOBS) -> list[str]:
    return [row.record.id for row in rows_of(path, shelf, path.read_bytes())]


@pytest.mark.parametrize("content", [JOBS, b"[]", b"[\n" + A + b",\n" + B + b"\n]\n"])
def test_nothing_to_repair(path: Path, content: bytes) -> None:
    """A file that can be read is left alone."""
    path.write_bytes(content)
    repaired = repair(path, NOW_S)
    assert (repaired.damaged, repaired.aside) == (0, None)
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
    """What can be read stays in order; the rest is in the file beside it, as it was."""
    path.write_bytes(content)
    repaired = repair(path, NOW_S)
    assert (repaired.kept, repaired.damaged) == (len(kept), len(aside))
    assert ids(path) == kept
    assert repaired.aside == (path.parent / ASIDE if aside else None)
    if aside:
        assert (path.parent / ASIDE).read_bytes() == b"".join(piece + b"\n" for piece in aside)


def test_entries_stay_as_they_are(path: Path) -> None:
    """A good entry is kept to the byte, also one of the original's."""
    entry = JOBS[JOBS.index(b"{") : JOBS.index(b",\n  {")]
    path.write_bytes(JOBS[:-20])
    assert repair(path, NOW_S).kept == 1
    assert entry in path.read_bytes()


def test_nested_jobs_are_no_entries(path: Path) -> None:
    """What looks like a job inside of damaged data is data."""
    inner = b'    {"id":"x","data":1,"submitted_at":"2024-11-24T01:39:00Z"}'
    path.write_bytes(b'[\n  {"id":"a","data":[\n' + inner + b"\n  ]}\n]")
    assert repair(path, NOW_S)[:2] == (0, 1)


def test_workers_too(tmp_path: Path) -> None:
    """The other file is repaired as well."""
    path = tmp_path / "workers.json"
    path.write_bytes(WORKERS[:-10])
    assert repair(path, NOW_S)[:2] == (1, 1)
    assert ids(path, Shelf.WORKERS) == ["https://cpee.org/flow/engine/1/callbacks/a/"]


def test_nothing_is_overwritten(path: Path) -> None:
    """A second repair in the same second does not replace what the first one set aside."""
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


def test_only_the_two_arrays(tmp_path: Path) -> None:
    """Other files, and what is no file, are refused."""
    with pytest.raises(NotAQueue, match="only jobs.json and workers.json"):
        repair(tmp_path / "dispatch.json", NOW_S)
    with pytest.raises(NotAQueue, match="no regular file"):
        repair(tmp_path / "jobs.json", NOW_S)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None
)
@given(cut=st.integers(0, 200), length=st.integers(1, 40), junk=st.binary(max_size=8))
def test_any_damage(path: Path, cut: int, length: int, junk: bytes) -> None:
    """Whatever happens to the bytes, the file can be read afterwards and no byte that mattered is
    lost: each entry is whole in the file, or in pieces beside it."""
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

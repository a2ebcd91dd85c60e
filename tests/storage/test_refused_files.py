"""A damaged file is refused with a clear reason and left alone, never taken for an empty one."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from shutil import copytree

import pytest

from sanic_dispatch.config.settings import Mode
from sanic_dispatch.errors import NotAQueue
from sanic_dispatch.storage import segment_files
from sanic_dispatch.storage.event_log import Question
from sanic_dispatch.storage.event_record import logged
from tests.storage.samples import (
    FILES,
    Backend,
    Topic,
    both,
    filled,
    in_order,
    load_once,
    one_of_each,
    opened,
    worker,
)

MODES = [Mode.JSON_FILE, Mode.CACHED_JSON_FILE]
JOB = b'{"id":"a","data":1,"submitted_at":"2024-11-24T01:39:00Z"}'
WORKER = b'{"callback_url":"http://w/","registered_at":"2024-11-24T01:39:00Z"}'

NO_ARRAYS = {
    "empty": (b"", "is empty"),
    "blank": (b" \n", "is empty"),
    "null": (b"null", "expected [ after 0 entries, at byte 0"),
    "open": (b"[", "expected { after 0 entries, at byte 1"),
    "object": (b"{}", "expected [ after 0 entries, at byte 0"),
    "number": (b"0", "expected [ after 0 entries, at byte 0"),
    "mark": (b"\xef\xbb\xbf[]", "expected [ after 0 entries, at byte 0"),
    "utf-16": ("[]".encode("utf-16"), "not UTF-8 at byte 0"),
    "zeros": (b"\x00" * 64, "expected [ after 0 entries, at byte 0"),
    "bad byte": (b"[" + JOB[:-1] + b',"x":"\xff"}]', "not UTF-8 at byte 63"),
    "of numbers": (b"[1]", "expected { after 0 entries, at byte 1"),
    "of arrays": (b"[[]]", "expected { after 0 entries, at byte 1"),
    "one comma more": (b"[" + JOB + b",]", "expected { after 1 entries, at byte 59"),
    "no comma": (b"[" + JOB + JOB + b"]", "expected , after 1 entries, at byte 58"),
    "something behind": (b"[" + JOB + b"] x", "something follows after 1 entries"),
    "two arrays": (b"[][]", "something follows after 0 entries, at byte 2"),
    "not a number": (b'[{"id":"a","data":NaN}]', "NaN is not JSON after 0 entries, at byte 1"),
    "too large": (b'[{"id":"a","data":1e999}]', "a number is out of range after 0 entries"),
    "very deep": (b'[{"id":"a","data":' + b"[" * 100_000, "after 0 entries, at byte 1"),
}

BAD_JOBS = {
    "no id": (JOB.replace(b'"id":"a",', b""), "'id' is missing"),
    "no data": (JOB.replace(b'"data":1,', b""), "'data' is missing"),
    "no time": (b'{"id":"a","data":1}', "'submitted_at' is missing"),
    "another time": (JOB.replace(b"2024", b"tomorrow"), "Invalid isoformat"),
    "time without zone": (JOB.replace(b'Z"', b'"'), "has no time zone"),
    "time with a quote": (JOB.replace(b"T01", b'\\"01'), "cannot be spliced"),
    "id is a number": (JOB.replace(b'"a"', b"1"), "expected a plain string"),
    "id is empty": (JOB.replace(b'"a"', b'""'), "cannot be spliced"),
    "id with a quote": (JOB.replace(b'"a"', b'"\\""'), "cannot be spliced"),
    "unknown state": (JOB[:-1] + b',"state":"lost"}', "'lost' is not a valid State"),
    "final state": (
        JOB[:-1] + b',"state":"done","finished_s":1.0}',
        "a job that is done does not wait",
    ),
    "held by nobody": (JOB[:-1] + b',"state":"assigned"}', "an assigned job has a hold"),
    "ticket is a string": (JOB[:-1] + b',"ticket":"1"}', "expected a whole number"),
    "place is a string": (JOB[:-1] + b',"place":"nan"}', "expected a number"),
    "ticket of 400 digits": (JOB[:-1] + b',"ticket":1%b}' % (b"0" * 400), "out of range"),
    "place without a next one": (JOB[:-1] + b',"ticket":1,"place":1e308}', "out of range"),
    "attempts without end": (JOB[:-1] + b',"attempt":%d}' % 2**64, "out of range"),
    "held since no time": (
        b'%b,"state":"assigned","hold":{"worker":%b,"way":"put","stage":"in doubt","since":1%b}}'
        % (JOB[:-1], WORKER, b"0" * 400),
        "out of range",
    ),
    "half a hold": (JOB[:-1] + b',"state":"assigned","hold":{}}', "'worker' is missing"),
    "half a character": (JOB[:-1] + b',"reason":"\\ud800"}', "surrogates not allowed"),
}


@pytest.fixture(params=MODES, ids=str)
def mode(request: pytest.FixtureRequest) -> Mode:
    """Each mode that uses files."""
    param: Mode = request.param
    return param


async def refused(mode: Mode, folder: Path, name: str, content: bytes) -> str:
    """Check that loading is refused and the file is unchanged; return the reason."""
    path = folder / name
    path.write_bytes(content)
    with pytest.raises(NotAQueue) as caught:
        await load_once(both(mode), folder)
    assert caught.value.path == path
    assert path.read_bytes() == content
    assert [name for name in os.listdir(folder) if "new" in name] == []
    return str(caught.value)


@pytest.mark.parametrize("case", NO_ARRAYS.values(), ids=NO_ARRAYS)
@pytest.mark.parametrize("name", ["jobs.json", "workers.json"])
async def test_no_array(mode: Mode, tmp_path: Path, name: str, case: tuple[bytes, str]) -> None:
    """A file that is not an array of objects is refused, with the byte of the error."""
    content, reason = case
    if name == "workers.json":
        content = content.replace(JOB, WORKER)
        reason = reason.partition(", at byte")[0] if JOB in case[0] else reason
    assert reason in await refused(mode, tmp_path, name, content) or JOB[:-1] in case[0]


async def test_the_refusal_says_what_to_do(mode: Mode, tmp_path: Path) -> None:
    """It names the two commands of the runbook, in the same line."""
    text = await refused(mode, tmp_path, "jobs.json", b"{}")
    assert text.endswith(
        "; the file was left as it is (sanic-dispatch check says more, and serve --repair sets "
        "damaged entries of queues and journals aside)"
    )
    assert "\n" not in text


@pytest.mark.parametrize("case", BAD_JOBS.values(), ids=BAD_JOBS)
async def test_no_job(mode: Mode, tmp_path: Path, case: tuple[bytes, str]) -> None:
    """An entry that is not a job is refused, with its number and first byte."""
    entry, reason = case
    text = await refused(
        mode, tmp_path, "jobs.json", b"[\n" + JOB.replace(b'"a"', b'"b"') + b", " + entry + b"]"
    )
    assert "entry 1, at byte 61: " in text
    assert reason in text


async def test_a_number_that_is_no_double(mode: Mode, tmp_path: Path) -> None:
    """A number that is not a double makes the entry damaged."""
    entry = WORKER[:-1] + b',"aside":["refused",1%b,"",""]}' % (b"0" * 400)
    assert "entry 0, at byte 1: " in await refused(
        mode, tmp_path, "workers.json", b"[" + entry + b"]"
    )


@pytest.mark.parametrize(
    ("name", "entry"), [("jobs.json", JOB), ("workers.json", WORKER)], ids=["jobs", "workers"]
)
async def test_an_id_twice(mode: Mode, tmp_path: Path, name: str, entry: bytes) -> None:
    """Two entries with the same id are refused: it is unknown which one counts."""
    text = await refused(mode, tmp_path, name, b"[" + entry + b"," + entry + b"]")
    assert f"entry 1, at byte {len(entry) + 2}" in text
    assert "is there twice" in text


async def test_positions_are_bytes(mode: Mode, tmp_path: Path) -> None:
    """The position of an error is in bytes, not in characters."""
    content = '[{"id":"a","data":"äöü","submitted_at":"2024-11-24T01:39:00Z"} x]'.encode()
    assert f"at byte {content.index(b'x]')}" in await refused(mode, tmp_path, "jobs.json", content)


def positions(mode: Mode, content: bytes) -> range:
    """Return every other position of a content that ends in blanks; two modes have all of them."""
    return range(MODES.index(mode), len(content.rstrip()), len(MODES))


@pytest.mark.parametrize("name", ["jobs.json", "workers.json", "dispatch.json"])
async def test_truncated_anywhere(mode: Mode, tmp_path: Path, name: str) -> None:
    """A truncated file is refused, wherever it was cut."""
    await filled(both(mode), tmp_path)
    content = (tmp_path / name).read_bytes()
    for length in positions(mode, content):
        assert name in await refused(mode, tmp_path, name, content[:length])


@pytest.mark.parametrize("name", ["jobs.json", "workers.json", "dispatch.json"])
async def test_a_folder_or_pipe_in_place_of_the_file(mode: Mode, tmp_path: Path, name: str) -> None:
    """It is refused at once, without reading from it."""
    (tmp_path / name).mkdir()
    with pytest.raises(NotAQueue, match="no regular file"):
        await load_once(both(mode), tmp_path)
    (tmp_path / name).rmdir()
    os.mkfifo(tmp_path / name)
    with pytest.raises(NotAQueue, match="no regular file"):
        await load_once(both(mode), tmp_path)


@pytest.mark.parametrize("name", ["jobs.json", "workers.json", "dispatch.json"])
@pytest.mark.parametrize("target", ["itself", "elsewhere/file"])
async def test_a_link_to_nothing(mode: Mode, tmp_path: Path, name: str, target: str) -> None:
    """A link that leads nowhere, or in a circle, is refused."""
    link = tmp_path / name
    link.symlink_to(tmp_path / (name if target == "itself" else target))
    with pytest.raises(NotAQueue, match=r"leads nowhere|cannot be read"):
        await load_once(both(mode), tmp_path)
    assert link.is_symlink()
    assert set(os.listdir(tmp_path)) == {name, ".dispatch.lock"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"[]", "is no JSON object: expected { at byte 0"),
        (b"{}", "'version' is missing"),
        (b'{"version":3,"facts":{},"finished":[]}', "but this program knows only 1 and 2"),
        (b'{"version":1,"facts":{}}', "'finished' is missing"),
        (b'{"version":1,"finished":[]}', "'facts' is missing"),
        (b'{"version":1,"facts":[],"finished":[]}', "no attribute 'items'"),
        (b'{"version":1,"facts":{"paused":3},"finished":[]}', "paused"),
        (b'{"version":1,"facts":{"last_ticket":"7"},"finished":[]}', "last_ticket"),
        (b'{"version":1,"facts":{"last_ticket":1e3},"finished":[]}', "last_ticket"),
        (b'{"version":1,"facts":{"last_ticket":true},"finished":[]}', "last_ticket"),
        (b'{"version":1,"facts":{"last_ticket":-1},"finished":[]}', "last_ticket"),
        (b'{"version":1,"facts":{"last_ticket":1%b},"finished":[]}' % (b"0" * 400), "last_ticket"),
        (b'{"version":1,"facts":{"secret":""},"finished":[]}', "secret cannot be"),
        (b'{"version":1,"facts":{"secret":"xy"},"finished":[]}', "non-hexadecimal"),
        (b'{"version":1,"facts":{},"finished":[' + JOB + b"]}", "job that is waiting is not fini"),
        (b'{"version":1,"facts":{},"finished":[]} 1', "something follows at byte 39"),
    ],
)
async def test_no_dispatch_file(mode: Mode, tmp_path: Path, content: bytes, reason: str) -> None:
    """A damaged dispatch.json, or a later version's, is refused with the reason."""
    assert reason in await refused(mode, tmp_path, "dispatch.json", content)


async def test_flipped_bits(mode: Mode, tmp_path: Path) -> None:
    """With one bit flipped a file is loaded with as many jobs, or refused."""
    topic = await filled(both(mode), tmp_path)
    path = tmp_path / "jobs.json"
    content = path.read_bytes()
    for at in positions(mode, content):
        path.write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
        try:
            found = await load_once(both(mode), tmp_path)
        except NotAQueue:
            continue
        assert len(found.jobs) >= len(topic.stored().jobs)


# ---- what a refused start leaves


async def killed(backend: Backend, folder: Path) -> tuple[Topic, Path]:
    """Fill a folder; return a copy of it, which is what a kill leaves."""
    topic = Topic()
    async with opened(backend, folder) as store:
        await store.load()
        await store.commit(topic.apply(topic.with_events(one_of_each(topic))))
        await store.commit(topic.apply(topic.with_events(topic.put(worker(30)))))
        return topic, copytree(folder, folder.with_name("left"))


def damage_jobs(_: pytest.MonkeyPatch, folder: Path) -> Callable[[], object]:
    """Damage a file; return what mends it."""
    jobs = folder / "jobs.json"
    before = jobs.read_bytes() if jobs.exists() else b"[]"
    jobs.write_bytes(b"[")
    return partial(jobs.write_bytes, before)


def hide_segments(patch: pytest.MonkeyPatch, folder: Path) -> Callable[[], object]:
    """Let the folder of the segments be unreadable; return what mends it."""

    def cannot_be_read(_: Path) -> dict[int, Path]:
        raise OSError(5, "Input/output error")

    patch.setattr(segment_files, "segments_in", cannot_be_read)
    return patch.undo


@pytest.mark.parametrize(
    ("backend", "fault"),
    [
        *((both(mode), damage_jobs) for mode in MODES),
        *((backend, hide_segments) for backend in FILES),
    ],
    ids=lambda value: value.name if isinstance(value, Backend) else value.__name__,
)
async def test_a_refused_start_loses_nothing(
    backend: Backend,
    fault: Callable[[pytest.MonkeyPatch, Path], Callable[[], object]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What only the journals have stays in them: the next start finds all records and events."""
    folder = tmp_path / "first"
    folder.mkdir()
    topic, left = await killed(backend, folder)
    mend = fault(monkeypatch, left)
    with pytest.raises(NotAQueue):
        await load_once(backend, left)
    mend()
    async with opened(backend, left) as store:
        assert in_order(await store.load()) == topic.stored()
        found = store.history.find(Question(limit=1000))
        assert list(found.events) == [logged(event) for event in topic.events]
        assert not found.holes


async def test_a_refused_reload_changes_nothing(mode: Mode, tmp_path: Path) -> None:
    """A topic that cannot be loaded once more, to be taken over again, is left as it was."""
    topic, path = Topic(), tmp_path / "dispatch.json"
    async with opened(both(mode), tmp_path) as store:
        await store.load()
        await store.commit(topic.apply(topic.with_events(one_of_each(topic))))
        before = path.read_bytes()
        path.write_bytes(b"[")
        with pytest.raises(NotAQueue):
            await store.load()
    assert path.read_bytes() == b"["
    path.write_bytes(before)
    assert await load_once(both(mode), tmp_path) == topic.stored()

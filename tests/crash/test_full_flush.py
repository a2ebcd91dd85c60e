"""A flush of full segments dies at its n-th call, or that call fails.

CRASH_SEED repeats the random numbers of an earlier run.
"""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from sanic_dispatch.storage.event_record import LoggedEvent
from sanic_dispatch.storage.segment_log import SegmentLog
from sanic_dispatch.storage.segment_writer import SEGMENT_EVENTS
from tests.crash.full_flush import EVENTS, FLUSHED, RETENTION, opened
from tests.crash.strace import need
from tests.storage.events import events, payloads, records
from tests.support.seeds import IS_TORTURE, seed_of

SEED = seed_of("CRASH_SEED")

CALLS = {"writev": 7, "fsync": 8, "rename": 7, "unlink": 2}
"""The calls that write three segments with their indexes, and then drop one."""

POINTS = [(call, n) for call, last in CALLS.items() for n in range(1, last + 1)]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("what", ["signal=KILL", "error=ENOSPC"])
@pytest.mark.parametrize(
    ("call", "n"), POINTS if IS_TORTURE else [random.Random(SEED).choice(POINTS)]
)
def test_each_event_is_there_once(call: str, n: int, what: str, tmp_path: Path) -> None:
    """Whatever of the segments is there already, with the journals all of it is."""
    need("strace")
    before = SegmentLog(tmp_path, retention=RETENTION)
    before.load()
    before.add(records(1, FLUSHED))
    before.flush()
    ended, has_injected = run_with_fault(call, n, what, tmp_path)
    assert has_injected
    assert (ended == 0) is not ("KILL" in what)
    after = opened(tmp_path)
    assert first_of_whole(after) in (1, SEGMENT_EVENTS + 1)
    after.flush()
    assert first_of_whole(after) == SEGMENT_EVENTS + 1


def run_with_fault(call: str, n: int, what: str, folder: Path) -> tuple[int, bool]:
    """Flush in a process with this fault; return how it ended, and whether the fault came."""
    log = folder / "strace"
    history = folder / "history"
    files = [
        history / name.format(part)
        for name in ("{}", ".{}.new")
        for first_n in (1, 10_001, 20_001)
        for part in (f"segment-{first_n:015}.gz", f"segment-{first_n:015}.index")
    ]
    files += [history, history / "dropped.json", history / ".dropped.json.new"]
    paths = [part for file in files for part in ("-P", str(file))]
    faults = ["-e", f"trace={call}", "-e", f"inject={call}:{what}:when={n}"]
    flush = [sys.executable, "-m", "tests.crash.full_flush", str(folder)]
    ended = subprocess.run(["strace", "-qq", "-o", str(log), *paths, *faults, *flush])
    return ended.returncode, ended.returncode != 0 or "(INJECTED)" in log.read_text()


def first_of_whole(log: SegmentLog) -> int:
    """Return the first event; from there on each is there once, in order, with its payload."""
    found, data = list(log.scan()), list(log.payloads())
    assert isinstance(found[0], LoggedEvent)
    first_n = found[0].n
    assert found == events(first_n, EVENTS)
    assert data == payloads(first_n, EVENTS)
    return first_n

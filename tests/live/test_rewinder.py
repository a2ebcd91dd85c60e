"""The monitor rewound: at any moment of the log it shows what was live then.

TORTURE looks at a thousand moments.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from sanic_dispatch.core.events import Event, EventKind
from sanic_dispatch.core.job import JobRef
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.errors import InvalidRequest, StorageFailed
from sanic_dispatch.live import rewinder as module
from sanic_dispatch.live.past_projection import PastProjection
from sanic_dispatch.live.rewinder import Rewinder
from sanic_dispatch.storage import segment_writer
from sanic_dispatch.storage.checkpoint import Pace
from sanic_dispatch.storage.event_log import EventLog, Question, Retention
from sanic_dispatch.storage.event_record import recorded
from sanic_dispatch.storage.memory_log import MemoryEventLog
from sanic_dispatch.storage.segment_log import SegmentLog
from tests.support.seeds import IS_TORTURE
from tests.support.watched_machine import WatchedMachine, assert_same

POLICY = Policy(keep_finished=100, lease_s=30.0, priorities=True)
MOMENTS = 1000 if IS_TORTURE else 200


class History:
    """A log, the machine whose events it has, and what the monitor showed at some moments."""

    def __init__(self, log: EventLog, seed: int = 1) -> None:
        self.log = log
        self.shown: dict[float, dict[str, Any]] = {}
        self.ids: list[JobRef] = []
        self._random = Random(seed)
        self.machine = WatchedMachine(POLICY, self._tell)

    def now_s(self) -> float:
        return self.machine.now_s

    def _tell(self, events: Sequence[Event]) -> None:
        self.log.note(events)
        if isinstance(self.log, SegmentLog):
            self.log.add([recorded(event) for event in events])
        self.ids += [e.job.ref for e in events if e.job and e.kind is EventKind.JOB_SUBMITTED]

    def goes_on(self, commands: int, moments: int) -> None:
        """Apply random commands, and note what is shown at random moments between them."""
        random = self._random
        noted = set(random.sample(range(20, commands), moments)) if moments else set()
        for at in range(commands):
            self.machine.step((random.randrange(10**6), random.randrange(8), random.randrange(8)))
            self.machine.wait(random.choice((0.0, 0.0, 3.5, 40.0)))
            if at in noted:
                self.shown[self.now_s()] = self.machine.shown()
            if at % 500 == 499 and isinstance(self.log, SegmentLog):
                self.log.flush()

    def rewinder(self) -> Rewinder:
        """Return a rewinder of the log as it is by then."""
        return Rewinder(
            self.log,
            lambda: None,
            self,  # type: ignore[arg-type]
            lambda: PastProjection(POLICY.keep_done_s, POLICY.ordering),
        )

    async def check(self, rewinder: Rewinder) -> None:
        """Compare what was noted, in no order."""
        moments = list(self.shown)
        self._random.shuffle(moments)
        for moment_s in moments:
            view = await rewinder.look(moment_s)
            assert_same(view.entries, self.shown[moment_s])


@pytest.fixture(autouse=True)
def _small_snapshots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SNAPSHOT_EVENTS", 100)
    monkeypatch.setattr(module, "REST_S", 0.0)
    monkeypatch.setattr(module, "UPKEEP_REST_S", 0.0)


@pytest.fixture(params=["memory", "segments"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> EventLog:
    """Return each kind of log; those of the stores in files, SQLite and Redis have segments."""
    return MemoryEventLog() if request.param == "memory" else segments(tmp_path)


def segments(folder: Path, **retention: Any) -> SegmentLog:
    """Open the log of a folder."""
    log = SegmentLog(folder, fsync=False, retention=Retention(**retention))
    log.load()
    return log


@pytest.mark.timeout(600 if IS_TORTURE else 120)
async def test_many_moments(log: EventLog) -> None:
    """The rewound view equals the one that was live, at many random moments."""
    history = History(log)
    history.goes_on(3 * MOMENTS, MOMENTS)
    await history.check(history.rewinder())
    assert len(history.shown) == MOMENTS
    assert log.snapshots.refs()


async def test_after_a_start(tmp_path: Path) -> None:
    """A start goes on with the snapshots in the folder; without them they are made again."""
    history = History(segments(tmp_path))
    history.goes_on(2000, 60)
    assert isinstance(history.log, SegmentLog)
    history.log.flush()
    await history.check(history.rewinder())
    kept = history.log.snapshots.refs()
    history.log = segments(tmp_path)
    assert history.log.snapshots.refs() == kept
    await history.check(history.rewinder())
    for path in (tmp_path / "history").glob("*.snapshot"):
        path.write_bytes(b"damaged")
    await history.check(history.rewinder())
    assert history.log.snapshots.refs() == kept


async def test_snapshots_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A passing fault of the disk removes none, and the moments are shown all the same.

    Not every one could be made again: events before the first may be gone.
    """
    history = History(segments(tmp_path))
    history.goes_on(1000, 10)
    assert isinstance(history.log, SegmentLog)
    history.log.flush()
    await history.check(history.rewinder())
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "history").glob("*.snapshot")}
    refs = history.log.snapshots.refs()
    with monkeypatch.context() as faulty:
        faulty.setattr(Path, "read_bytes", unreadable)
        await history.rewinder().look(max(history.shown))
    assert kept
    assert history.log.snapshots.refs() == refs
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


async def without_beginning(folder: Path, monkeypatch: pytest.MonkeyPatch) -> History:
    """Return a history of which a snapshot, the first of many, says what was before its events."""
    monkeypatch.setattr(segment_writer, "SEGMENT_EVENTS", 500)
    monkeypatch.setattr(module, "SNAPSHOT_EVENTS", 1)
    history = History(segments(folder))
    history.goes_on(1500, 30)
    log = history.log
    assert isinstance(log, SegmentLog)
    log.flush()
    await history.check(history.rewinder())
    history.log = log = segments(folder, keep_bytes=log.stats.size_bytes // 2)
    log.maintain()
    first = next(iter(log.find(Question(limit=1)).events))
    assert first.n > 1
    history.shown = {at_s: shown for at_s, shown in history.shown.items() if at_s > first.at_s}
    assert len(log.snapshots.refs()) > 1
    return history


async def test_the_first_snapshot_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it nobody knows what was before the kept events: no view is made of these alone."""
    history = await without_beginning(tmp_path, monkeypatch)
    with monkeypatch.context() as faulty:
        faulty.setattr(Path, "read_bytes", unreadable)
        with pytest.raises(StorageFailed, match="Input/output error"):
            await history.rewinder().look(max(history.shown))
    await history.check(history.rewinder())


@pytest.mark.parametrize("number", [0, 1])
async def test_a_segment_that_cannot_be_read(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A passing fault of the disk is no hole: no snapshot is made without the orders in it."""
    monkeypatch.setattr(segment_writer, "SEGMENT_EVENTS", 500)
    history = History(segments(tmp_path))
    history.goes_on(2000, 40)
    assert isinstance(history.log, SegmentLog)
    history.log.flush()
    _, path = history.log.files.paths()[number]
    aside = path.rename(path.with_suffix(".aside"))
    path.symlink_to(path)
    with pytest.raises(StorageFailed, match="the history cannot be read: .*symbolic links"):
        await history.rewinder().look(max(history.shown))
    aside.replace(path)
    await history.check(history.rewinder())


def unreadable(_: Path) -> bytes:
    raise OSError(5, "Input/output error")


async def test_a_player_goes_on(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking at later and later moments folds each event once."""
    history = History(log)
    history.goes_on(400, 100)
    rewinder, told = history.rewinder(), []
    tell = PastProjection.tell
    monkeypatch.setattr(PastProjection, "tell", lambda self, it: (told.append(it), tell(self, it)))
    for moment_s, shown in sorted(history.shown.items()):
        assert_same((await rewinder.look(moment_s, "player")).entries, shown)
    numbers = [each.event.n for each in told]
    assert numbers == sorted(set(numbers))


async def test_a_player_at_the_present_by_another_clock(log: EventLog) -> None:
    """It follows the present of the process that has the log, also after that is set back."""
    history = History(log)
    history.goes_on(50, 1)
    rewinder = history.rewinder()
    for set_back_s in (0.0, 0.5):
        history.machine.wait(-set_back_s)
        view = await rewinder.look(history.now_s() + 1.0, "player")
        assert view.moment_s == history.now_s()


async def test_moments_that_cannot_be_shown(log: EventLog) -> None:
    """Without a history, before it and in the future: the error says what is allowed."""
    empty = Rewinder(log, lambda: None, History(MemoryEventLog()))  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="there is no history yet"):
        await empty.look(1.0)
    history = History(log)
    history.goes_on(50, 1)
    rewinder, first = history.rewinder(), next(iter(log.scan()))
    begin = to_rfc3339(first.at_s)  # type: ignore[union-attr]
    with pytest.raises(InvalidRequest, match=f"it begins at {begin}"):
        await rewinder.look(first.at_s - 0.001)  # type: ignore[union-attr]
    now = to_rfc3339(history.now_s())
    with pytest.raises(InvalidRequest, match=f"in the future: it is {now} now"):
        await rewinder.look(history.now_s() + 0.001)


async def test_a_hole(tmp_path: Path) -> None:
    """A moment in a hole is refused with its ends; behind it what is known again is shown."""
    history = History(segments(tmp_path))
    history.goes_on(100, 0)
    lost: list[Event] = []
    log, history.log = history.log, MemoryEventLog()
    before_s = history.now_s()
    history.goes_on(100, 0)
    lost = list(history.log._events)
    history.log = log
    history.goes_on(1, 0)
    while log.last_number <= lost[-1].number:
        history.goes_on(1, 0)
    rewinder = history.rewinder()
    middle_s = (before_s + lost[-1].at_s) / 2
    with pytest.raises(InvalidRequest, match=r"in a hole of the history, from \S+Z to \S+Z"):
        await rewinder.look(middle_s)
    view = await rewinder.look(history.now_s())
    assert view.number == log.last_number
    logged = [key for key in view.entries if key.startswith("log/")]
    assert logged
    assert min(int(key[4:]) for key in logged) > lost[-1].number


async def test_what_was_erased_is_not_shown(log: EventLog) -> None:
    """Erased data is in no snapshot, and in no view that is kept to go on from."""
    history = History(log)
    history.goes_on(600, 20)
    rewinder = history.rewinder()
    await history.check(rewinder)
    moment_s, shown = next(
        (at_s, shown) for at_s, shown in history.shown.items() if "order/3" in shown
    )
    for player in ("", "player"):
        assert "name" in (await rewinder.look(moment_s, player)).entries["order/3"]
    (ref,) = [each for each in history.ids if each.ticket == 3]
    kept = log.snapshots.refs()
    log.erase([ref])
    assert log.snapshots.refs() != kept
    for player in ("", "player"):
        assert "name" not in (await rewinder.look(moment_s, player)).entries["order/3"]
    await rewinder.look(history.now_s())
    assert len(log.snapshots.refs()) >= len(kept), "they are made again"


async def test_a_look_comes_before_upkeep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look does not wait until the background has made all snapshots."""
    history = History(segments(tmp_path))
    history.goes_on(1500, 1)
    monkeypatch.setattr(module, "UPKEEP_REST_S", 60.0)
    began, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def rest(pace: Pace) -> None:
        if pace._rest_s > 1:
            loop.call_soon_threadsafe(began.set)
            go_on.wait()

    monkeypatch.setattr(Pace, "rest", rest)

    async def sleep(seconds: float) -> None:
        if began.is_set():
            await asyncio.Event().wait()

    history.sleep = sleep  # type: ignore[attr-defined]
    rewinder = history.rewinder()
    upkeep = asyncio.create_task(rewinder.keep_up())
    await began.wait()
    looking = asyncio.create_task(history.check(rewinder))
    await asyncio.sleep(0)
    go_on.set()
    await looking
    assert rewinder._unsaved() > module.SNAPSHOT_EVENTS
    upkeep.cancel()


async def test_views_of_players_that_have_gone_are_dropped(log: EventLog) -> None:
    """A view without a look for IDLE_S is closed, since it keeps every open order in memory."""
    history = History(log)
    history.goes_on(50, 1)
    rewinder, sleeps = history.rewinder(), iter([None])

    async def sleep(seconds: float) -> None:
        if next(sleeps, "over") == "over":
            raise asyncio.CancelledError

    history.sleep = sleep  # type: ignore[attr-defined]
    await rewinder.look(history.now_s(), "gone")
    history.machine.wait(module.IDLE_S)
    await rewinder.look(history.now_s(), "here")
    with pytest.raises(asyncio.CancelledError):
        await rewinder.keep_up()
    assert list(rewinder._monitors) == ["here"]


async def keep_up_twice(history: History) -> None:
    sleeps = iter([None, None])

    async def sleep(seconds: float) -> None:
        if next(sleeps, "over") == "over":
            raise asyncio.CancelledError

    history.sleep = sleep  # type: ignore[attr-defined]
    with pytest.raises(asyncio.CancelledError):
        await history.rewinder().keep_up()


async def test_upkeep_while_a_segment_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It removes no snapshot: not each could be made again once the fault has passed."""
    history = await without_beginning(tmp_path, monkeypatch)
    assert isinstance(history.log, SegmentLog)
    kept = {*history.log.snapshots.refs()}
    history.goes_on(300, 0)
    _, path = history.log.files.paths()[0]
    aside = path.rename(path.with_suffix(".aside"))
    path.symlink_to(path)
    await keep_up_twice(history)
    aside.replace(path)
    assert kept <= {*history.log.snapshots.refs()}
    await history.check(history.rewinder())


async def test_upkeep(tmp_path: Path) -> None:
    """Snapshots of what is new are made in the background."""
    history = History(segments(tmp_path))
    history.goes_on(1500, 0)
    await keep_up_twice(history)
    refs = history.log.snapshots.refs()
    assert len(refs) > 1
    assert refs[-1].n > history.log.settled_n / 2

"""The pacer pushes at once, in slices, with pauses."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sanic_dispatch.live.pacer import MIN_REST_S, REST_RATIO, SLICE_S, Pacer
from tests.support.story import FakeLoop

PIECE_S = 0.0004


class Work:
    """Rounds of several pieces, each of which takes a fixed time."""

    def __init__(self, pieces: int, piece_s: float = PIECE_S) -> None:
        self.loop = FakeLoop()
        self.pieces, self.piece_s = pieces, piece_s
        self.began: list[float] = []
        self.spent_s = 0.0
        self.pacer = Pacer(self.loop, self.loop.monotonic_s, self.round)

    def round(self) -> Iterator[None]:
        self.began.append(self.loop.elapsed_s)
        for _ in range(self.pieces):
            self.loop.elapsed_s += self.piece_s
            self.spent_s += self.piece_s
            yield


def test_a_lone_change_goes_out_at_once() -> None:
    """It is pushed after what the loop has ready."""
    work = Work(1)
    work.pacer.wake()
    assert work.began == []
    work.loop.run(0.0)
    assert work.began == [0.0]


def test_others_are_served_between_slices() -> None:
    """A long round is cut into slices, each over by one piece at most."""
    work = Work(100)
    work.pacer.wake()
    slices = []
    while work.spent_s < 100 * PIECE_S - 1e-9:
        before = work.spent_s
        work.loop.step()
        slices.append(work.spent_s - before)
    assert max(slices) < SLICE_S + PIECE_S
    assert len(slices) > 30


def busy_work(pieces: int) -> Work:
    """Half a minute with a change every millisecond."""
    work = Work(pieces)

    def change() -> None:
        work.pacer.wake()
        work.loop.call_later(0.001, change)

    change()
    work.loop.run(30.0)
    return work


@pytest.mark.parametrize("pieces", [50, 500, 5000])
def test_pushing_takes_a_quarter_of_the_time(pieces: int) -> None:
    """However many changes and clients there are."""
    assert busy_work(pieces).spent_s == pytest.approx(30.0 / (1 + REST_RATIO), rel=0.1)


def test_frequent_changes_are_pushed_together() -> None:
    """Frequent changes for few clients are pushed together."""
    assert len(busy_work(1).began) <= 30.0 / MIN_REST_S


def test_what_changes_during_a_round_gets_another_one() -> None:
    """One more round covers all changes during the last."""
    work = Work(10)
    work.pacer.wake()
    work.loop.step()
    for _ in range(5):
        work.pacer.wake()
    work.loop.run(1.0)
    assert len(work.began) == 2


def test_a_round_that_fails_is_not_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop reports the error; the next change is pushed."""
    work = Work(3)

    def broken() -> Iterator[None]:
        yield
        raise RuntimeError("broken")

    monkeypatch.setattr(work.pacer, "_begin_round", broken)
    work.pacer.wake()
    with pytest.raises(RuntimeError, match="broken"):
        work.loop.run(0.0)
    monkeypatch.undo()
    work.pacer.wake()
    work.loop.run(1.0)
    assert len(work.began) == 1

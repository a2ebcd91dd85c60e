"""When to push: at once if nothing was pushed lately, in short slices, and with rests between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

SLICE_S = 0.001
"""How long pushing may go on before the loop serves others."""

REST = 3.0
"""How long to rest after a round, in times of what it took: pushing takes a quarter at most."""

LEAST_REST_S = 0.025
"""How long to rest at least: what changes meanwhile goes out together, and no eye sees it."""


class Loop(Protocol):
    """What is needed of an event loop."""

    def call_soon(self, callback: Callable[[], None], /) -> Any:
        """Call it after everything that is ready now."""

    def call_later(self, delay_s: float, callback: Callable[[], None], /) -> Any:
        """Call it when so much time has passed; what is returned can be cancelled."""


class Pacer:
    """Runs rounds of work, one at a time; a round yields after each small piece.

    The time is not the loop's own: that may stand still while a callback runs.
    """

    def __init__(
        self,
        loop: Loop,
        monotonic_s: Callable[[], float],
        begin_round: Callable[[], Iterator[None]],
    ) -> None:
        self._loop = loop
        self._monotonic_s = monotonic_s
        self._begin_round = begin_round
        self._round: Iterator[None] | None = None
        self._is_awake = self._is_wanted = False
        self._spent_s = 0.0
        self._rested_at_s = 0.0

    def wake(self) -> None:
        """There is something to push: begin a round as soon as the rest is over."""
        self._is_wanted = True
        if self._is_awake:
            return
        self._is_awake = True
        rest_s = self._rested_at_s - self._monotonic_s()
        if rest_s > 0:
            self._loop.call_later(rest_s, self._slice)
        else:
            self._loop.call_soon(self._slice)

    def _slice(self) -> None:
        if self._round is None:
            self._is_wanted = False
            self._round = self._begin_round()
        began_s, is_over = self._monotonic_s(), True
        try:
            is_over = self._work_until(self._round, began_s + SLICE_S)
        finally:
            self._spent_s += self._monotonic_s() - began_s
            if is_over:
                self._rest()
            else:
                self._loop.call_soon(self._slice)

    def _work_until(self, pieces: Iterator[None], deadline_s: float) -> bool:
        """Whether the round is over."""
        return all(self._monotonic_s() < deadline_s for _ in pieces)

    def _rest(self) -> None:
        self._rested_at_s = self._monotonic_s() + max(REST * self._spent_s, LEAST_REST_S)
        self._round, self._spent_s, self._is_awake = None, 0.0, False
        if self._is_wanted:
            self.wake()

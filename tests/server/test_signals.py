"""SIGTERM and SIGINT in a server process: the first one asks for a stop, the second one ends it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from sanic_dispatch.server.signals import STOPPING, Stop


@pytest.fixture
def exit_codes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Note with which codes the process would have ended at once."""
    before = {number: signal.getsignal(number) for number in STOPPING}
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    yield codes
    for number, handler in before.items():
        signal.signal(number, handler)


async def test_the_second_signal_ends_it(exit_codes: list[int]) -> None:
    """Only that one does."""
    stop = Stop()
    stop.listen()
    signal.raise_signal(signal.SIGTERM)
    await stop.wait()
    assert exit_codes == []
    signal.raise_signal(signal.SIGINT)
    assert exit_codes == [130]


async def test_a_signal_after_the_end_of_the_lifeline(exit_codes: list[int]) -> None:
    """It is a first one: systemd signals all processes, and the parent has ended the lifeline."""
    lifeline, end = os.pipe()
    stop = Stop()
    stop.listen()
    os.close(end)
    await stop.wait(lifeline)
    signal.raise_signal(signal.SIGTERM)
    assert exit_codes == []
    signal.raise_signal(signal.SIGTERM)
    assert exit_codes == [143]
    os.close(lifeline)

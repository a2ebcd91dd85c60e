"""A gate that holds up a backup, so that something can happen meanwhile."""

from __future__ import annotations

import asyncio
from threading import Event as Flag

import pytest

from sanic_dispatch.storage.backup import StoppablePace
from tests.support.server import eventually

LONGEST_S = 20.0


class BackupGate:
    """Holds up each backup at its first rest, until ``open``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._reached, self._opened = Flag(), Flag()
        self._pace: StoppablePace | None = None
        real = StoppablePace.rest

        def rest(pace: StoppablePace) -> None:
            self._pace = pace
            self._reached.set()
            self._opened.wait(LONGEST_S)
            real(pace)

        monkeypatch.setattr(StoppablePace, "rest", rest)

    async def reached(self) -> None:
        """Wait until a backup is at the gate."""
        assert await asyncio.to_thread(self._reached.wait, LONGEST_S)

    async def called_off(self) -> None:
        """Wait until the backup at the gate is called off."""
        await eventually(self._is_called_off)

    async def _is_called_off(self) -> bool:
        return self._pace is not None and self._pace._is_stopped.is_set()

    def open(self) -> None:
        """Let backups pass."""
        self._opened.set()

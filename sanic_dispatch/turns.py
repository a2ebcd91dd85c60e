"""One at a time per name, in order of arrival."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable


class Turns:
    """Locks by name, which are there only while somebody uses them."""

    def __init__(self) -> None:
        self._locks: dict[Hashable, _Lock] = {}

    def of(self, name: Hashable) -> _Turn:
        """For ``async with``: wait until all who came before with this name are done."""
        return _Turn(self._locks, name)


class _Lock(asyncio.Lock):
    """Counts those who have it or wait for it."""

    users = 0


class _Turn:
    """A class, since it is taken several times in each registration."""

    __slots__ = ("_lock", "_locks", "_name")

    def __init__(self, locks: dict[Hashable, _Lock], name: Hashable) -> None:
        self._locks = locks
        self._name = name

    async def __aenter__(self) -> None:
        self._lock = self._locks.get(self._name) or self._locks.setdefault(self._name, _Lock())
        self._lock.users += 1
        try:
            await self._lock.acquire()
        except BaseException:
            self._leave()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._lock.release()
        self._leave()

    def _leave(self) -> None:
        self._lock.users -= 1
        if not self._lock.users:
            del self._locks[self._name]

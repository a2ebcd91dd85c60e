"""Several processes that serve one socket: a parent that only watches, and its children.

A child that dies is replaced, unless it could not start at all: then all end. When the parent is
told to stop it tells the children; when it is gone without a word they stop too.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from time import monotonic, sleep

import structlog

STARTING_S = 5.0
"""A child that ends sooner, and not well, could not start."""

PAUSE_S = 0.5
"""How long to wait before a child is replaced."""

STOPS = (signal.SIGTERM, signal.SIGINT)

_log = structlog.get_logger("sanic_dispatch.processes")


def share(count: int) -> int:
    """Become so many processes. Returns in each child, with its number from 0; never in the parent.

    Call it before there is an event loop or a thread. The parent ends with the first exit code of
    a child that is not 0.
    """
    parent = _Parent()
    for number in range(count):
        if parent.fork(number):
            return number
    replaced = parent.watch()
    if replaced is not None:
        return replaced
    sys.exit(parent.code)


class _Parent:
    def __init__(self) -> None:
        self.code = 0
        self._born: dict[int, tuple[int, float]] = {}
        self._is_stopping = False
        self._alive, self._held = os.pipe()
        for stop in STOPS:
            signal.signal(stop, self._stop)

    def fork(self, number: int) -> bool:
        """Make a child; True in the child."""
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid:
            self._born[pid] = number, monotonic()
            return False
        for stop in STOPS:
            signal.signal(stop, _leave)  # until it has handlers of its own
        os.setpgid(0, 0)  # what is typed on a terminal is for the parent, which tells the others
        os.close(self._held)
        threading.Thread(target=_stop_with_parent, args=(self._alive,), daemon=True).start()
        return True

    def watch(self) -> int | None:
        """Replace children until all have ended; the number of a child, in one that is new."""
        while self._born:
            pid, status = os.wait()
            number, born_s = self._born.pop(pid)
            code = os.waitstatus_to_exitcode(status)
            if self._is_stopping or code == 0 or code > 0 and monotonic() - born_s < STARTING_S:
                self._end(code)
            else:
                _log.error("process.died", number=number, code=code)
                sleep(PAUSE_S)
                if not self._is_stopping and self.fork(number):
                    return number
        return None

    def _end(self, code: int) -> None:
        """One has ended, for good: so do the others."""
        self.code = self.code or abs(code)
        if not self._is_stopping:
            self._stop()

    def _stop(self, *_: object) -> None:
        self._is_stopping = True
        for pid in self._born:
            os.kill(pid, signal.SIGTERM)


def _leave(*_: object) -> None:
    """End: nothing has begun yet."""
    os._exit(0)


def _stop_with_parent(alive: int) -> None:
    """What the parent holds open is closed by nobody but its end."""
    os.read(alive, 1)
    os.kill(os.getpid(), signal.SIGTERM)

"""Several processes that serve one socket: a parent that only watches, and its children.

A child that dies is replaced, unless it is one of the first and could not start at all: then all
end. One that is to replace another and cannot start is tried again, later each time. When the
parent is told to stop it tells the children; when it is gone without a word they stop too.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic, sleep

import structlog

STARTING_S = 5.0
"""A child that ends sooner, and not well, could not start."""

PAUSE_S = 0.5
"""How long to wait before a child is replaced; twice as long each time that one could not start."""

MOST_PAUSE_S = 30.0
"""How long that gets at most."""

LOOK_S = 0.1
"""How often to look whether it is time to replace one."""

STOPS = (signal.SIGTERM, signal.SIGINT)

_log = structlog.get_logger("sanic_dispatch.processes")


def leave_when_told() -> None:
    """From now on SIGTERM and SIGINT end this process, and well: nothing has begun yet."""
    for stop in STOPS:
        signal.signal(stop, _leave)


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
        self._due_s: dict[int, float] = {}
        """When which number is to be replaced."""
        self._failures: dict[int, int] = {}
        """How often in a row those that are not the first of their number ended soon."""
        self._is_stopping = False
        self._alive, self._held = os.pipe()
        for stop in STOPS:
            signal.signal(stop, self._stop)

    def fork(self, number: int) -> bool:
        """Make a child, unless all are to stop; True in the child."""
        sys.stdout.flush()
        sys.stderr.flush()
        with _deaf():  # so that whoever is to stop is known by then, and a child has its own way
            if self._is_stopping:
                return False
            pid = os.fork()
            if pid:
                self._born[pid] = number, monotonic()
                return False
            leave_when_told()  # until it has handlers of its own
        os.setpgid(0, 0)  # what is typed on a terminal is for the parent, which tells the others
        os.close(self._held)
        threading.Thread(target=_stop_with_parent, args=(self._alive,), daemon=True).start()
        return True

    def watch(self) -> int | None:
        """Replace children until all have ended; the number of a child, in one that is new."""
        while self._born or self._due_s:
            if ended := self._next_ended():
                self._judge(*ended)
            if self._is_stopping:
                self._due_s.clear()
            for number in [each for each, at_s in self._due_s.items() if at_s <= monotonic()]:
                del self._due_s[number]
                if self.fork(number):
                    return number
        return None

    def _next_ended(self) -> tuple[int, int] | None:
        """Wait for one that ends; not for long where another is to be replaced."""
        if not self._due_s:
            return os.wait()
        sleep(LOOK_S)
        if not self._born:
            return None
        pid, status = os.waitpid(-1, os.WNOHANG)
        return (pid, status) if pid else None

    def _judge(self, pid: int, status: int) -> None:
        """One has ended: it is to be replaced, or all are to end."""
        number, born_s = self._born.pop(pid)
        code = os.waitstatus_to_exitcode(status)
        was_short = monotonic() - born_s < STARTING_S
        is_first = number not in self._failures
        if self._is_stopping or code == 0 or code > 0 and was_short and is_first:
            self._end(code)
            return
        _log.error("process.died", number=number, code=code)
        failures = self._failures.get(number, 0) + 1 if was_short and not is_first else 0
        self._failures[number] = failures
        self._due_s[number] = monotonic() + min(PAUSE_S * 2**failures, MOST_PAUSE_S)

    def _end(self, code: int) -> None:
        """One has ended, for good: so do the others."""
        self.code = self.code or abs(code)
        if not self._is_stopping:
            self._stop()

    def _stop(self, *_: object) -> None:
        self._is_stopping = True
        for pid in list(self._born):
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(pid, signal.SIGTERM)


@contextmanager
def _deaf() -> Iterator[None]:
    """Hear of no signal to stop before the end of this."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _leave(*_: object) -> None:
    """End at once."""
    os._exit(0)


def _stop_with_parent(alive: int) -> None:
    """What the parent holds open is closed by nobody but its end."""
    os.read(alive, 1)
    os.kill(os.getpid(), signal.SIGTERM)

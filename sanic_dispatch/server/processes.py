"""Several processes that serve one port: a parent that starts, watches and stops them.

The parent forks them while it has neither threads nor an event loop, and then only waits. They
inherit the listening socket: a connection that none of them has accepted yet is not lost with one
of them. Each watches its lifeline, a pipe whose other end only the parent has. When the parent
closes that end, or is killed, the process stops.
"""

from __future__ import annotations

import os
import select
import signal
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from types import FrameType
from typing import NamedTuple

import structlog

from sanic_dispatch.errors import StartError
from sanic_dispatch.server.signals import STOPPING

MAX_ENDS = 5
ENDS_WITHIN_S = 60.0
"""How many processes may end by themselves, and within which time; then all are stopped."""

RESTART_S = 0.2
"""How long to wait before a process is started again."""

START_RETRY_S = 1.0
"""How long to wait before a process is tried again that could not be started."""

END_S = 5.0
"""How much longer than its grace a process may take to stop."""

_log = structlog.get_logger("sanic_dispatch")


class ServerProcess(NamedTuple):
    """One of the processes: its number, from 1, and the descriptors that connect it to its parent.

    The lifeline can be read, and is at its end, once the process is to stop.
    """

    number: int
    lifeline: int
    ready: int

    def report_ready(self) -> None:
        """Tell the parent that this process accepts requests."""
        with suppress(OSError):
            os.write(self.ready, b"1")

    def is_to_stop(self) -> bool:
        """Return whether the lifeline is at its end."""
        return bool(select.select([self.lifeline], [], [], 0)[0])


def fork_processes(count: int, grace_s: float) -> ServerProcess | None:
    """Fork processes; return in each of them, and None in the parent once all have ended.

    One that ends by itself is started again. The first one is started alone, and the others once
    it is ready; if it ends before, the parent exits with its code. SIGTERM or SIGINT stops all;
    what takes longer than ``grace_s`` and END_S, or a second signal, kills them. Raises StartError
    in the parent if MAX_ENDS have ended within ENDS_WITHIN_S.
    """
    parent = _Parent(count, grace_s)
    with parent.woken_by_signals() as woken:
        while not parent.is_over:
            forked = parent.start_due()
            if forked is not None:
                return forked
            parent.wait(woken)
    parent.check_failures()
    return None


class _Child(NamedTuple):
    """A process that runs, and the parent's ends of its pipes."""

    number: int
    lifeline: int
    ready: int


class _Parent:
    """Start processes, and again those that end, until a stop or too many ends."""

    def __init__(self, count: int, grace_s: float) -> None:
        self._count = count
        self._grace_s = grace_s
        self._children: dict[int, _Child] = {}
        self._due_s: dict[int, float] = {1: 0.0}
        self._ends_s: deque[float] = deque(maxlen=MAX_ENDS)
        self._signals = 0
        """How often a stop was asked for."""
        self._kill_at_s: float | None = None
        """When what has not ended will be killed; None unless it is stopping."""
        self._is_ready = False
        self._code = 0
        self._failure = ""

    @property
    def is_over(self) -> bool:
        """Whether no process runs, or is to be started."""
        return not (self._children or self._due_s)

    def check_failures(self) -> None:
        """Exit with the code of a process that could not start; raise StartError if many ended."""
        if self._failure:
            raise StartError(self._failure)
        if self._code:
            raise SystemExit(self._code)

    @contextmanager
    def woken_by_signals(self) -> Iterator[int]:
        """Count signals that ask for a stop; yield a descriptor that can be read after any."""
        woken, waking = os.pipe()
        os.set_blocking(waking, False)
        before = signal.set_wakeup_fd(waking)
        for number in STOPPING:
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # by default it would wake nobody
        try:
            yield woken
        finally:
            signal.set_wakeup_fd(before)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.close(woken)
            os.close(waking)

    def start_due(self) -> ServerProcess | None:
        """Fork the processes that are due; return in each of them, and None in the parent."""
        for number in [number for number, at_s in self._due_s.items() if at_s <= monotonic()]:
            try:
                forked = self._start(number)
            except OSError as error:  # such as no room for a process, or for descriptors
                if not self._is_ready:  # nothing was served yet: the start has failed
                    raise
                _log.warning("process.not_started", number=number, reason=error.strerror)
                self._due_s[number] = monotonic() + START_RETRY_S
            else:
                del self._due_s[number]
                if forked is not None:
                    return forked
        return None

    def _start(self, number: int) -> ServerProcess | None:
        """Fork a process; return in it, and None in the parent. Raises OSError."""
        pipes: list[int] = []
        try:
            pipes += os.pipe()
            pipes += os.pipe()
            pid = os.fork()
        except OSError:
            for descriptor in pipes:
                os.close(descriptor)
            raise
        lifeline, our_lifeline, our_ready, ready = pipes
        if pid == 0:
            for mine in (our_lifeline, our_ready, *self._descriptors()):
                os.close(mine)
            return ServerProcess(number, lifeline, ready)
        os.close(lifeline)
        os.close(ready)
        self._children[pid] = _Child(number, our_lifeline, our_ready)
        return None

    def wait(self, woken: int) -> None:
        """Wait for a signal, the end of a process or the next time limit, and act on it."""
        limits_s = [*self._due_s.values(), *([self._kill_at_s] if self._kill_at_s else [])]
        left_s = max(min(limits_s) - monotonic(), 0.0) if limits_s else None
        starting = [] if self._is_ready else [child.ready for child in self._children.values()]
        readable = select.select([woken, *starting], [], [], left_s)[0]
        if woken in readable:
            os.read(woken, 4096)
        for ready in set(readable) - {woken}:
            if os.read(ready, 1):
                self._is_ready = True
                self._due_s.update(dict.fromkeys(range(2, self._count + 1), 0.0))
        self._collect()
        self._check_stop()

    def _collect(self) -> None:
        """Take note of the processes that have ended."""
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            child, code = self._children.pop(pid, None), os.waitstatus_to_exitcode(status)
            if child is None:  # as process 1 of a container it inherits those of others
                continue
            os.close(child.ready)
            if self._kill_at_s is not None:  # its lifeline is closed already
                self._code = self._code or abs(code)
                continue
            os.close(child.lifeline)
            if not self._is_ready:
                self._code = code if code > 0 else 1
            else:
                self._restart(child.number, code)

    def _restart(self, number: int, code: int) -> None:
        now_s = monotonic()
        _log.warning("process.ended", number=number, code=code)
        self._ends_s.append(now_s)
        if len(self._ends_s) == MAX_ENDS and now_s - self._ends_s[0] < ENDS_WITHIN_S:
            self._failure = f"{MAX_ENDS} processes have ended within a minute"
            self._stop()
        else:
            self._due_s[number] = now_s + RESTART_S

    def _check_stop(self) -> None:
        """Stop, or kill, the processes if that was asked for, or they take too long to stop."""
        if self._signals and self._kill_at_s is None:
            self._stop()
        if self._kill_at_s is not None and (self._signals > 1 or monotonic() >= self._kill_at_s):
            for pid in self._children:
                os.kill(pid, signal.SIGKILL)

    def _stop(self) -> None:
        self._kill_at_s = monotonic() + self._grace_s + END_S
        self._due_s.clear()
        for child in self._children.values():
            os.close(child.lifeline)

    def _descriptors(self) -> Iterator[int]:
        for child in self._children.values():
            yield from (child.lifeline, child.ready)

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self._signals += 1
        if self._signals > 1:
            self._code = 128 + number

"""A side that runs: its processes, and their CPU time."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from benchmarks.drive import machine
from benchmarks.drive.servers import COMPILED, ROOT, folder_of_its_own, free_port
from benchmarks.peers.in_flight import PORT, WORKED
from benchmarks.peers.parts import NODE_MODULES
from benchmarks.peers.sides import Command, Peer, Place

WAIT_S = 60.0
"""How long a server may take to listen, and a round to end after its time."""

SETTLE_S = 0.1
"""How long the last jobs may take to be acknowledged once they are worked."""

SESSION = 3
"""The index of the session in /proc/<pid>/stat, counted from the field after the name."""


class Round(NamedTuple):
    """One round of one side: jobs, seconds, and the CPU seconds of its three parts."""

    jobs: int
    took_s: float
    server_s: float
    worker_s: float
    submitter_s: float

    @property
    def per_s(self) -> float:
        """Jobs per second."""
        return self.jobs / self.took_s

    def us(self, seconds: float) -> float:
        """Return these seconds per job, in microseconds."""
        return seconds / self.jobs * 1e6

    @property
    def all_us(self) -> float:
        """The CPU time of all processes per job, microseconds."""
        return self.us(self.server_s + self.worker_s + self.submitter_s)


class Program:
    """A process, with all that it has started; what it prints goes to a file in its folder."""

    def __init__(
        self,
        command: Command,
        folder: Path,
        environment: Mapping[str, str],
        cores: set[int],
        *,
        is_spoken_to: bool = False,
    ) -> None:
        self.command = command
        pipe = subprocess.PIPE if is_spoken_to else None
        self._log = folder / f"{len(list(folder.glob('*.out')))}.out"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT), **COMPILED, **environment},
                stdin=pipe or subprocess.DEVNULL,
                stdout=pipe or log,
                stderr=log,
                start_new_session=True,
                preexec_fn=lambda: os.sched_setaffinity(0, cores),
            )

    def said(self) -> str:
        """Return the end of what it has printed."""
        return f"{' '.join(self.command)}\n{self._log.read_text(errors='replace')[-2000:]}"

    def pids(self) -> list[int]:
        """Return the processes of its session."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                fields = stat.read_text().rpartition(")")[2].split()
                if int(fields[SESSION]) == self.process.pid:
                    found.append(int(stat.parent.name))
        return found

    def cpu_s(self) -> float:
        """Return the CPU time of all its processes, with threads that have ended."""
        spent_s = 0.0
        for pid in self.pids():
            with suppress(OSError):  # a helper of its start, which has ended just now
                spent_s += time.clock_gettime(_cpu_clock(pid))
        return spent_s

    def kill(self) -> None:
        """Kill all its processes."""
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()


def _cpu_clock(pid: int) -> int:
    """Return the clock of a process's CPU time, as clock_getcpuclockid(3) does on Linux."""
    return ~pid << 3 | 2


class Running:
    """A side whose processes have been started."""

    def __init__(
        self, peer: Peer, servers: Sequence[Program], worker: Program, submitter: Program
    ) -> None:
        self.peer = peer
        self._servers = servers
        self._worker = worker
        self._submitter = submitter

    def round(self, seconds: float) -> Round:
        """Submit for so long. Raises RuntimeError if not all jobs are worked."""
        before = self._cpu_s()
        jobs, took_s = self._turn(seconds)
        time.sleep(SETTLE_S)
        spent = (after - then for after, then in zip(self._cpu_s(), before, strict=True))
        return Round(jobs, took_s, *spent)

    def _cpu_s(self) -> tuple[float, float, float]:
        servers_s = sum(server.cpu_s() for server in self._servers)
        return servers_s, self._worker.cpu_s(), self._submitter.cpu_s()

    def _turn(self, seconds: float) -> tuple[int, float]:
        process = self._submitter.process
        assert process.stdin
        assert process.stdout
        process.stdin.write(f"{seconds}\n".encode())
        process.stdin.flush()
        until_s = time.monotonic() + seconds + WAIT_S
        while not select.select([process.stdout], [], [], 0.5)[0]:
            self._check()
            if time.monotonic() > until_s:
                self._fail("not all jobs were worked")
        said = process.stdout.readline().split()
        if not said:
            self._fail("what submits has ended")
        return int(said[0]), float(said[1])

    def _check(self) -> None:
        for program in (*self._servers, self._worker, self._submitter):
            if program.process.poll() is not None:
                self._fail("a process has ended")

    def _fail(self, reason: str) -> None:
        programs = (*self._servers, self._worker, self._submitter)
        said = "\n".join(program.said() for program in programs)
        raise RuntimeError(f"{self.peer.name}: {reason}\n{said}")


@contextmanager
def running(peer: Peer, *, is_synced: bool) -> Iterator[Running]:
    """Start a side: its servers and its worker on the server's core, what submits on the load's."""
    with ExitStack() as stack:
        folder = stack.enter_context(folder_of_its_own())
        pipe = folder / "worked"
        os.mkfifo(pipe)

        def started(program: Program) -> Program:
            stack.callback(program.kill)
            return program

        port, servers = 0, []
        for number, server in enumerate(peer.servers):
            own = folder / str(number)
            own.mkdir()
            place = Place(own, free_port(), is_synced, port)
            port = place.port
            program = Program(server.command(place), folder, {}, machine.server_cores())
            servers.append(started(program))
            wait_until_it_listens(program, port)
        known = {PORT: str(port), WORKED: str(pipe), "NODE_PATH": str(NODE_MODULES)}
        worker = started(Program(peer.worker, folder, known, machine.server_cores()))
        submitter = Program(peer.submitter, folder, known, machine.load_cores(), is_spoken_to=True)
        yield Running(peer, servers, worker, started(submitter))


def wait_until_it_listens(server: Program, port: int) -> None:
    """Return once the server accepts connections. Raises RuntimeError if it does not."""
    until_s = time.monotonic() + WAIT_S
    while time.monotonic() < until_s and server.process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise RuntimeError(f"it does not listen\n{server.said()}")

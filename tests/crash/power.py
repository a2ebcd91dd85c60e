"""Simulate a power cut: from a trace of the server's system calls, compute what is certainly on the
disk.

Written data counts once it was synced, and a name once its folder was. A run is traced once; then
the power can be cut at any moment of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from sanic_dispatch.config.settings import Mode
from tests.crash.strace import FILES

NAMES = ("jobs.json", "workers.json", "dispatch.json")
CALLS = "openat,write,writev,pwrite64,ftruncate,fsync,fdatasync,rename,unlink,close"
SYNCS = ("fsync", "fdatasync")

MAX_STRING_BYTES = 64 * 2**20

_LINE = re.compile(r"(\d+\.\d+) (\w+)\((.*)\) += (-?\d+).* <(\d+\.\d+)>$")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


def strace_command(folder: Path, mode: Mode) -> Sequence[str]:
    """Return the strace command that logs all calls on the data files, one log per thread."""
    files = [folder, *(folder / name for name in (*FILES[mode], *NAMES))]
    paths = [part for file in files for part in ("-P", str(file))]
    log = str(folder.with_name(f"{folder.name}.trace"))
    shown = ["-v", "-xx", "-s", str(MAX_STRING_BYTES), "-ttt", "-T"]
    return ["strace", "-ff", "-qq", *shown, "-o", log, *paths, "-e", f"trace={CALLS}"]


class Call(NamedTuple):
    """A successful system call."""

    began_s: float
    ended_s: float
    name: str
    arguments: str
    result: int

    @property
    def strings(self) -> list[bytes]:
        """The strings among the arguments: names, or the data that was written."""
        return [
            bytes.fromhex(match.replace("\\x", "")) for match in _STRING.findall(self.arguments)
        ]

    @property
    def descriptor(self) -> int:
        """The first argument."""
        return int(self.arguments.partition(",")[0])

    @property
    def last_number(self) -> int:
        """The last argument."""
        return int(self.arguments.rpartition(",")[2])


def read_trace(folder: Path) -> list[Call]:
    """Return the successful calls of a traced run, in order."""
    calls = []
    for log in folder.parent.glob(f"{folder.name}.trace.*"):
        for line in log.read_text().splitlines():
            match = _LINE.match(line)
            if match and not match[4].startswith("-"):
                began_s, took_s = float(match[1]), float(match[5])
                calls.append(Call(began_s, began_s + took_s, match[2], match[3], int(match[4])))
    return sorted(calls)


@dataclass
class Inode:
    """A file: its content, and how much of that is on the disk."""

    content: bytearray = field(default_factory=bytearray)
    synced: bytes = b""


@dataclass
class _Open:
    inode: Inode | None
    """None for a folder."""
    at: int = 0


class _Step(NamedTuple):
    """The beginning or the end of a call, and the method of Disk for it."""

    at_s: float
    method: str
    call: Call


def _steps(calls: Iterable[Call]) -> Iterator[_Step]:
    """Yield what calls do: at their ends, but a descriptor is free once its close has begun."""
    for call in calls:
        if call.name in SYNCS:
            yield _Step(call.began_s, "begin_sync", call)
        yield _Step(call.began_s if call.name == "close" else call.ended_s, call.name, call)


class Disk:
    """A folder, as the kernel shows it and as the disk has it."""

    def __init__(self, folder: Path, calls: Iterable[Call]) -> None:
        self._folder = str(folder).encode()
        self.names: dict[bytes, Inode] = {}
        self.synced_names: dict[bytes, Inode] = {}
        self._open: dict[int, _Open] = {}
        self._syncing: dict[Call, bytes | dict[bytes, Inode]] = {}
        """What there was when a sync began; what is written meanwhile need not be in it."""
        self._steps = iter(sorted(_steps(calls)))
        self._next = next(self._steps, None)

    def run_until(self, at_s: float) -> None:
        """Apply what had happened by ``at_s``, whatever other threads were still waiting for."""
        while self._next is not None and self._next.at_s <= at_s:
            # One method per call in CALLS, by its name.
            getattr(self, f"_{self._next.method}")(self._next.call)
            self._next = next(self._steps, None)

    def files_after_cut(self, *, renames_survive: bool) -> dict[str, bytes]:
        """Return name and content of each file after a power cut.

        ``renames_survive``: also names whose folder was not synced.
        """
        names = self.names if renames_survive else self.synced_names
        return {Path(name.decode()).name: inode.synced for name, inode in names.items()}

    def _openat(self, call: Call) -> None:
        (path,) = call.strings
        if path == self._folder:
            self._open[call.result] = _Open(None)
            return
        inode = self.names.get(path)
        if inode is None or ("O_TRUNC" in call.arguments):
            inode = self.names.setdefault(path, Inode())
            del inode.content[:]
        self._open[call.result] = _Open(inode)

    def _write(self, call: Call) -> None:
        self._put(call, self._file(call).at)
        self._file(call).at += call.result

    _writev = _write

    def _pwrite64(self, call: Call) -> None:
        self._put(call, call.last_number)

    def _ftruncate(self, call: Call) -> None:
        inode = self._file(call).inode
        assert inode
        size = call.last_number
        inode.content[:] = inode.content[:size].ljust(size, b"\0")

    def _begin_sync(self, call: Call) -> None:
        inode = self._file(call).inode
        self._syncing[call] = dict(self.names) if inode is None else bytes(inode.content)

    def _fsync(self, call: Call) -> None:
        inode, synced = self._file(call).inode, self._syncing.pop(call)
        if isinstance(synced, dict):
            self.synced_names = synced
        elif inode is not None:
            inode.synced = synced

    _fdatasync = _fsync

    def _rename(self, call: Call) -> None:
        old, new = call.strings
        self.names[new] = self.names.pop(old)

    def _unlink(self, call: Call) -> None:
        self.names.pop(call.strings[0], None)

    def _close(self, call: Call) -> None:
        self._open.pop(call.descriptor, None)

    def _put(self, call: Call, at: int) -> None:
        inode = self._file(call).inode
        assert inode
        content = b"".join(call.strings)[: call.result]
        inode.content[:] = inode.content.ljust(at, b"\0")
        inode.content[at : at + len(content)] = content

    def _file(self, call: Call) -> _Open:
        return self._open[call.descriptor]


def cut_times(calls: Sequence[Call], count: int) -> Iterator[float]:
    """Yield about ``count`` times at which to cut the power, before and after calls."""
    moments = sorted({moment for call in calls for moment in (call.began_s, call.ended_s)})
    step = max(1, len(moments) // count)
    yield from moments[::step]
    yield moments[-1]

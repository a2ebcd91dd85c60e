"""The segments of a folder: their names, their indexes, and the reading of their blocks."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from sanic_dispatch.storage.atomic_file import replace_file
from sanic_dispatch.storage.event_record import LoggedEvent, Payload, Recorded, recorded_again
from sanic_dispatch.storage.segment_format import (
    EVENTS,
    BlockLocation,
    DamagedPart,
    decode_event_lines,
    decode_payload,
    decompress,
    lines_by_block,
    lines_with,
    read_at,
    segments_in,
    unseal,
)
from sanic_dispatch.storage.segment_index import (
    SegmentIndex,
    decode_index,
    encode_index,
    index_of,
    index_path,
    read_end,
)

CACHED_INDEXES = 2000
"""How many indexes are kept in memory: some 50 KB each."""


class CachedIndex(NamedTuple):
    """An index, and the file that it was made of: a segment is replaced when it grows."""

    inode: int
    size: int
    made: SegmentIndex


class OpenSegment:
    """An open segment with its index; replacing the file does not affect it."""

    def __init__(self, path: Path, descriptor: int, index: SegmentIndex) -> None:
        self.path = path
        self.index = index
        self._descriptor = descriptor

    def events(self, block: BlockLocation, *wanted: bytes) -> list[LoggedEvent]:
        """Return the events of a block whose lines contain all of ``wanted``.

        Raises ValueError if the block is damaged, OSError.
        """
        content = decompress(self._read(block))
        if not wanted:
            return decode_event_lines(content.splitlines())
        lines = lines_with(content, wanted[0])
        return decode_event_lines(
            [line for line in lines if all(each in line for each in wanted[1:])]
        )

    def records(self, block: BlockLocation, payloads: Mapping[int, Payload]) -> list[Recorded]:
        """Return the events of a block with their lines and payloads. Raises as ``events``."""
        lines = unseal(self._read(block))
        pairs = zip(decode_event_lines(lines), lines, strict=True)
        return [recorded_again(event, line, payloads.get(event.n)) for event, line in pairs]

    def payloads(self, block: BlockLocation) -> list[Payload]:
        """Return the payloads of a block. Raises as ``events``."""
        return [decode_payload(line) for line in unseal(self._read(block))]

    def _read(self, block: BlockLocation) -> bytes:
        return read_at(self._descriptor, block.length, block.at)

    def read(self, length: int) -> bytes:
        """Return the first bytes of the file. Raises OSError."""
        return read_at(self._descriptor, length)


class SegmentFiles:
    """Knows the segments of a folder, and remembers their indexes. Threads may share it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = Lock()
        self._paths: dict[int, Path] = {}
        self._sizes: dict[int, int] = {}
        self._cached: OrderedDict[Path, CachedIndex] = OrderedDict()

    def find(self) -> None:
        """Look for the segments that are there now."""
        paths = segments_in(self.folder)
        sizes = {first_n: path.stat().st_size for first_n, path in paths.items()}
        with self._lock:
            self._paths, self._sizes = paths, sizes
            self._cached.clear()

    def forget(self) -> None:
        """Treat the folder as empty, although it has segments."""
        with self._lock:
            self._paths, self._sizes = {}, {}
            self._cached.clear()

    def paths(self) -> list[tuple[int, Path]]:
        """Return the number of each segment's first event, and its path, in order."""
        with self._lock:
            return list(self._paths.items())

    @property
    def size_bytes(self) -> int:
        """The length of all segments; their indexes have a ninth of that."""
        with self._lock:
            return sum(self._sizes.values())

    def add(self, first_n: int, path: Path, index: SegmentIndex) -> None:
        """Note a segment that was appended as the last one, or rewritten."""
        cached = CachedIndex(path.stat().st_ino, index.size, index)
        with self._lock:
            self._paths[first_n], self._sizes[first_n] = path, cached.size
            self._remember(path, cached)

    def remove(self, first_n: int) -> None:
        """Delete a segment and its index. Raises OSError."""
        with self._lock:
            path = self._paths[first_n]
        index_path(path).unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        with self._lock:
            self._paths.pop(first_n, None)
            self._sizes.pop(first_n, None)
            self._cached.pop(path, None)

    def index(self, path: Path) -> SegmentIndex:
        """Return the index of a segment, from memory if it is there. Raises OSError."""
        with self._lock:
            cached = self._cached.get(path)
            if cached is not None:
                self._cached.move_to_end(path)
                return cached.made
        with self.opened(path) as segment:
            return segment.index

    @contextmanager
    def opened(self, path: Path) -> Iterator[OpenSegment]:
        """Open a segment with the index that belongs to it. Raises OSError."""
        descriptor = os.open(path, os.O_RDONLY)
        try:
            status = os.fstat(descriptor)
            with self._lock:
                cached = self._cached.get(path)
            if cached is None or (cached.inode, cached.size) != (status.st_ino, status.st_size):
                index = load_index(path, descriptor, status.st_size)
                cached = CachedIndex(status.st_ino, status.st_size, index)
                with self._lock:
                    self._remember(path, cached)
            yield OpenSegment(path, descriptor, cached.made)
        finally:
            os.close(descriptor)

    def _remember(self, path: Path, cached: CachedIndex) -> None:
        self._cached[path] = cached
        self._cached.move_to_end(path)
        if len(self._cached) > CACHED_INDEXES:
            self._cached.popitem(last=False)


def load_index(path: Path, descriptor: int, size: int) -> SegmentIndex:
    """Return the index of an open segment; rebuild it if its file is missing or stale."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        encoded = index_path(path).read_bytes()
        index = decode_index(encoded, size, read_end(descriptor, size))
        if index is not None:
            return index
    index = index_of(read_at(descriptor, size))
    write_index(path, index, read_end(descriptor, size))
    return index


def write_index(path: Path, index: SegmentIndex, segment_end: bytes) -> None:
    """Write the index of a segment, if that is possible: it can be rebuilt at any time."""
    with suppress(OSError):
        replace_file(index_path(path), [encode_index(index, segment_end)], fsync=False)


class CheckedSegment(NamedTuple):
    """The number of readable events of a segment, and its damaged parts."""

    events: int
    damage: Sequence[DamagedPart]


def check_segment(path: Path) -> CheckedSegment:
    """Read all of a segment, and change nothing; events are counted by lines."""
    events, damage = 0, list[DamagedPart]()
    try:
        content = path.read_bytes()
    except OSError as error:
        return CheckedSegment(0, [DamagedPart(0, f"cannot be read: {error.strerror}")])
    for part in lines_by_block(content):
        if isinstance(part, DamagedPart):
            damage.append(part)
        elif part[0].kind == EVENTS:
            events += len(part[1])
    return CheckedSegment(events, damage)


def rebuild_indexes(folder: Path) -> Sequence[tuple[Path, SegmentIndex]]:
    """Read all segments of a folder, and rewrite their indexes. Raises OSError."""
    rebuilt = []
    for path in segments_in(folder).values():
        content = path.read_bytes()
        index = index_of(content)
        write_index(path, index, content)
        rebuilt.append((path, index))
    return rebuilt

"""Segments: files with a part of the event log each, compressed in blocks that can be read alone.

A segment is a series of gzip members, so ``zcat`` shows it as lines:

- event blocks: events in the order of their numbers, without gaps, one JSON array a line;
- payload blocks: data and results of jobs, one JSON array a line: number, ticket, job, 0 or 1 for
  a result, and the JSON, whose newlines are written as vertical tabs;
- the end: one line with the number of blocks, so that a segment that was cut off is noticed.

Each member's gzip header says which of these it is, and its length. So a segment can be read from
block to block without decompressing it, and beyond a damaged block. A segment is never changed in
place: it is written under another name, synced and renamed.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import ujson

from sanic_dispatch.storage.event_record import (
    NEWLINE,
    STAND_IN,
    LoggedEvent,
    Payload,
    decode_events,
)

FOLDER = "history"
"""The folder within the data folder that has the segments."""

BLOCK_EVENTS = 500
"""The most events of a block: 90 KB, and 15 KB compressed."""

BLOCK_PAYLOAD_BYTES = 256 * 1024
"""The length of payloads at which a payload block ends."""

LEVEL = 1
"""zlib's level: 6 makes segments a fifth smaller, and takes three times as long."""

EVENTS, PAYLOADS, END = b"E", b"P", b"Z"
"""The kinds of blocks."""

_MAGIC = b"\x1f\x8b\x08\x04" + bytes(5) + b"\xff" + struct.pack("<H2sH", 10, b"SD", 6)
"""The head of a gzip member with one extra field, ``SD``, of six bytes: _EXTRA."""

_EXTRA = struct.Struct("<cIB")
"""The kind of block, its length with head and trailer, and the format's version."""

_TRAILER = struct.Struct("<II")
"""A gzip member's checksum and uncompressed length."""

HEADER_BYTES = len(_MAGIC) + _EXTRA.size

_NAME = re.compile(r"segment-([0-9]{15})\.gz")


class BlockLocation(NamedTuple):
    """Where a block is in its segment: its kind, offset and length."""

    kind: bytes
    at: int
    length: int


class DamagedPart(NamedTuple):
    """An unreadable part of a segment: its offset, and the reason."""

    at: int
    why: str


def segment_path(folder: Path, first_n: int) -> Path:
    """Return the path of the segment that begins with this event."""
    return folder / f"segment-{first_n:015}.gz"


def is_folder(path: Path) -> bool:
    """Return whether there is a folder of this name.

    Raises OSError if that cannot be seen, where ``Path.is_dir`` is False since Python 3.14.
    """
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def files_in(folder: Path) -> list[Path]:
    """Return what is in a folder; nothing without the folder. Raises OSError.

    ``Path.glob`` finds nothing in a folder that cannot be listed.
    """
    return list(folder.iterdir()) if is_folder(folder) else []


def segments_in(folder: Path) -> dict[int, Path]:
    """Return a folder's segments by their first event, in order; none without the folder.

    Raises OSError.
    """
    found = ((_NAME.fullmatch(path.name), path) for path in files_in(folder))
    return dict(sorted((int(match[1]), path) for match, path in found if match))


# ---- writing


def seal_block(kind: bytes, lines: Iterable[bytes]) -> bytes:
    """Return a block with these lines."""
    content = b"\n".join([*lines, b""])
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(content) + packer.flush()
    length = HEADER_BYTES + len(packed) + _TRAILER.size
    head = _MAGIC + _EXTRA.pack(kind, length, 1)
    return head + packed + _TRAILER.pack(zlib.crc32(content), len(content) & 0xFFFFFFFF)


def seal_end(blocks: int) -> bytes:
    """Return the end of a segment of so many blocks."""
    return seal_block(END, [b'{"blocks":%d}' % blocks])


def encode_payload(payload: Payload) -> bytes:
    """Encode a payload as a line of a payload block."""
    return b'[%d,%d,"%b",%d,%b]' % (
        payload.n,
        payload.ticket,
        payload.job.encode(),  # needs no escaping: see ``encode_job``
        payload.is_result,
        payload.json.replace(NEWLINE, STAND_IN),
    )


# ---- reading


def read_at(descriptor: int, length: int, at: int = 0) -> bytes:
    """Return so many bytes of an open segment. Raises OSError, also if there are fewer.

    A fault of the disk ends a read early, and fails only the next one: what was read until then
    would count as a segment that was cut off.
    """
    content = os.pread(descriptor, length, at)
    while len(content) < length:
        following = os.pread(descriptor, length - len(content), at + len(content))
        if not following:
            raise OSError(errno.EIO, "the file ends too early")
        content += following
    return content


def blocks_of(content: bytes) -> Iterator[BlockLocation | DamagedPart]:
    """Yield the blocks of a segment and its damaged parts; decompress only the end.

    After damage it goes on with the next head of a block.
    """
    at, count, is_whole = 0, 0, False
    while at < len(content):
        block = _block_at(content, at)
        if block is None:
            following = content.find(_MAGIC, at + 1)
            yield DamagedPart(at, "no block begins here")
            at = len(content) if following < 0 else following
            continue
        if block.kind == END:
            is_whole = _is_end(content[at : at + block.length], count)
        else:
            is_whole = False
            count += 1
            yield block
        at += block.length
    if not is_whole:
        yield DamagedPart(len(content), "its end is missing, or says another number of blocks")


def lines_by_block(content: bytes) -> Iterator[tuple[BlockLocation, list[bytes]] | DamagedPart]:
    """Yield each block of a segment with its lines, and the damaged parts."""
    for block in blocks_of(content):
        if isinstance(block, DamagedPart):
            yield block
            continue
        try:
            yield block, unseal(content[block.at : block.at + block.length])
        except ValueError as error:
            yield DamagedPart(block.at, str(error))


def unseal(sealed: bytes) -> list[bytes]:
    """Check a block and return its lines. Raises ValueError."""
    return decompress(sealed).split(b"\n")[:-1]


def decompress(sealed: bytes) -> bytes:
    """Check a block and return its content. Raises ValueError."""
    try:
        content = zlib.decompress(sealed[HEADER_BYTES : -_TRAILER.size], -zlib.MAX_WBITS)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if _TRAILER.unpack(sealed[-_TRAILER.size :]) != (zlib.crc32(content), len(content)):
        raise ValueError("its checksum is wrong")
    return content


def lines_with(content: bytes, wanted: bytes) -> Iterator[bytes]:
    """Yield the lines that contain some bytes: much faster than to split, if they are few."""
    at = content.find(wanted)
    while at >= 0:
        end = content.find(b"\n", at)
        yield content[content.rfind(b"\n", 0, at) + 1 : end]
        at = content.find(wanted, end)


def decode_event_lines(lines: Iterable[bytes]) -> list[LoggedEvent]:
    """Decode lines of an event block. Raises ValueError."""
    return decode_events(b"[%b]" % b",".join(lines))


def decode_payload(line: bytes) -> Payload:
    """Decode a line of a payload block. Raises ValueError."""
    match = _PAYLOAD.fullmatch(line)
    if match is None:
        raise ValueError("a line is no payload")
    n, ticket, job, is_result, json = match.groups()
    json = json.replace(STAND_IN, NEWLINE)
    return Payload(int(n), int(ticket), ujson.loads(job), is_result == b"1", json)


_PAYLOAD = re.compile(rb'\[([0-9]+),([0-9]+),("(?:[^"\\]|\\.)*"),([01]),(.+)\]', re.DOTALL)


def _block_at(content: bytes, at: int) -> BlockLocation | None:
    head = content[at : at + HEADER_BYTES]
    if len(head) < HEADER_BYTES or not head.startswith(_MAGIC):
        return None
    kind, length, _ = _EXTRA.unpack_from(head, len(_MAGIC))
    is_known = kind in (EVENTS, PAYLOADS, END)
    if not is_known or length < HEADER_BYTES + _TRAILER.size or at + length > len(content):
        return None
    return BlockLocation(kind, at, length)


def _is_end(sealed: bytes, count: int) -> bool:
    try:
        (line,) = unseal(sealed)
        return bool(ujson.loads(line) == {"blocks": count})
    except ValueError:
        return False

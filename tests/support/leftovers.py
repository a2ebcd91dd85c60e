"""Search of a data folder, byte by byte, for what must not be in it any more."""

from __future__ import annotations

import gzip
from pathlib import Path

from sanic_dispatch.storage.segment_format import DamagedPart, blocks_of, decompress


def files_with(folder: Path, text: bytes) -> list[str]:
    """Return the files that contain a text, also compressed, as paths within the folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return [str(path.relative_to(folder)) for path in sorted(files) if has(path, text)]


def has(path: Path, text: bytes) -> bool:
    """Return whether a file contains a text, as it is or compressed."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:  # a running service has removed it
        return False
    return text in content or (path.suffix != ".index" and text in _decompressed(content))


def _decompressed(content: bytes) -> bytes:
    if not content.startswith(b"\x1f\x8b"):
        return b""
    try:
        return gzip.decompress(content)
    except (OSError, EOFError):  # it was cut off, or is damaged: what can be read of it
        blocks = [part for part in blocks_of(content) if not isinstance(part, DamagedPart)]
        return b"".join(decompress(content[each.at : each.at + each.length]) for each in blocks)

"""Check that a folder can be written to now, including free space."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile

from sanic_dispatch.errors import StorageFailed

TEST_BLOCK = bytes(4096)
"""One block of zeros: an empty file can be made on a full disk."""


def write_test_file(folder: Path) -> None:
    """Write, sync and delete a temporary file. Raises OSError."""
    with NamedTemporaryFile(dir=folder, prefix=".dispatch.") as file:
        file.write(TEST_BLOCK)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def reporting_write_errors() -> Iterator[None]:
    """Turn an OSError in the block into StorageFailed."""
    try:
        yield
    except OSError as error:
        raise StorageFailed(f"nothing can be written: {error}") from error

"""Trials: whether something could be written now."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile

from sanic_dispatch.errors import StorageFailed

TRIAL = bytes(4096)
"""What is written: a block, since a disk can be full."""


def write_trial(folder: Path) -> None:
    """Write and sync a file that is gone right after. Raises OSError."""
    with NamedTemporaryFile(dir=folder, prefix=".dispatch.") as file:
        file.write(TRIAL)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def writing() -> Iterator[None]:
    """Raise StorageFailed where nothing can be written."""
    try:
        yield
    except OSError as error:
        raise StorageFailed(f"nothing can be written: {error}") from error

"""Faults at system calls, by strace: the n-th write, fsync or rename fails, or is the last."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from sanic_dispatch.config.settings import Mode

JOURNALS = 20
"""The most journals that a test may begin."""

NEW_FILES = (".jobs.json.new", ".dispatch.json.new", ".workers.json.new")

FILES = {
    Mode.SQLITE: (
        "dispatch.sqlite3",
        "dispatch.sqlite3-wal",
        "dispatch.sqlite3-journal",
        ".dispatch.sqlite3.new",
    ),
    Mode.JSON_FILE: (
        *NEW_FILES,
        *(f"history.journal-{number}" for number in range(1, JOURNALS + 1)),
    ),
    Mode.CACHED_JSON_FILE: (
        *NEW_FILES,
        *(f"dispatch.journal-{number}" for number in range(1, JOURNALS + 1)),
    ),
}

FIRST_SEGMENT = "history/segment-000000000000001.gz"
HISTORY_FILES = (
    "history",
    FIRST_SEGMENT,
    "history/.segment-000000000000001.gz.new",
    "history/segment-000000000000001.index",
    "history/.segment-000000000000001.index.new",
)
"""The files of the first segment, which a test does not fill."""

CALLS = {
    Mode.SQLITE: {"openat": 4, "pwrite64": 20, "fdatasync": 20},
    Mode.JSON_FILE: {
        "openat": 20, "write": 20, "writev": 20, "fdatasync": 20, "fsync": 20, "rename": 20,
    },
    Mode.CACHED_JSON_FILE: {
        "openat": 4, "write": 20, "writev": 1, "fdatasync": 20, "fsync": 3, "rename": 1,
    },
}  # fmt: skip
"""The calls by which each mode stores something, and the highest n that is tried.

JsonFile appends to a journal before it replaces files. CachedJsonFile creates a journal and a
``dispatch.json`` that names it, and then appends.
"""

CHECKPOINT = {
    "openat": 9, "write": 1, "writev": 3, "fdatasync": 1, "fsync": 8, "rename": 3, "unlink": 1,
}  # fmt: skip
"""The same for a checkpoint: a journal is begun, three files are replaced, a journal is removed.

strace counts the calls of each thread, and checkpoints have a thread of their own.
"""

FLUSH = {"openat": 7, "writev": 4, "fsync": 4, "rename": 4}
"""The same for two flushes of the history: each writes a segment and its index, renames them, and
syncs the first and the folder."""


def strace(
    folder: Path,
    mode: Mode,
    call: str,
    what: str,
    when: str,
    *,
    folder_too: bool = True,
    names: Sequence[str] = (),
) -> Sequence[str]:
    """Return the command that injects ``what`` at calls on our files, counted for each thread.

    The files are those of the mode, with the folder itself, unless there are ``names``.

    ``what`` is ``signal=KILL`` (before the call is carried out) or ``error=EIO``; ``when`` is ``3``
    for the third, ``3+`` from the third on, ``3..5`` for a range.
    """
    is_folder_too = folder_too and not names
    files = [
        *([folder] if is_folder_too else []),
        *(folder / name for name in names or FILES[mode]),
    ]
    paths = [part for file in files for part in ("-P", str(file))]
    inject = f"inject={call}:{what}:when={when}"
    log = str(folder.with_name(f"{folder.name}.strace"))
    return ["strace", "-f", "-qq", "-o", log, *paths, "-e", f"trace={call}", "-e", inject]


def need(program: str) -> None:
    """Skip the test if the program is missing; in CI that is a failure."""
    if shutil.which(program) is None:
        missing(f"{program} is not installed")


def missing(reason: str) -> None:
    """Skip the test with a reason; in CI that is a failure."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def has_injected(folder: Path) -> bool:
    """Return whether strace has injected a failure."""
    return "(INJECTED)" in folder.with_name(f"{folder.name}.strace").read_text()

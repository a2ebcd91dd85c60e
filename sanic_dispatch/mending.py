"""``serve --repair``: damaged entries are set aside before anything is read."""

from __future__ import annotations

import structlog

from sanic_dispatch.errors import DataFolderUnusable
from sanic_dispatch.queues.repair import repair
from sanic_dispatch.settings import Mode, Settings

FILE_MODES = (Mode.JSON_FILE, Mode.CACHED_JSON_FILE)

_log = structlog.get_logger("sanic_dispatch")


def mend(settings: Settings, now_s: float) -> None:
    """Repair ``jobs.json`` and ``workers.json`` where these modes use them, and say what was done.

    Raises DataFolderInUse, NotAQueue where a file cannot be repaired, and DataFolderUnusable.
    """
    for name, mode in (
        ("jobs.json", settings.job_queue_mode),
        ("workers.json", settings.worker_queue_mode),
    ):
        path = settings.data_dir / name
        if mode not in FILE_MODES or not path.exists():
            continue
        try:
            repaired = repair(path, now_s)
        except OSError as error:
            raise DataFolderUnusable(settings.data_dir, f"cannot be repaired: {error}") from error
        if repaired.damaged or not repaired.kept:
            _log.warning(
                "queue.repaired",
                file=name,
                kept=repaired.kept,
                damaged=repaired.damaged,
                aside=str(repaired.aside or ""),
            )

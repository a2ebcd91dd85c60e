"""Export to the two files of the original job dispatcher service, for going back to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import ujson

from sanic_dispatch.core.job import Job, Stage
from sanic_dispatch.core.worker import Worker
from sanic_dispatch.errors import DataFolderUnusable, FolderNotEmpty
from sanic_dispatch.storage.atomic_file import is_gone, replace_file
from sanic_dispatch.storage.data_folder import DataFolder
from sanic_dispatch.storage.export_format import Content
from sanic_dispatch.storage.json_format import JOBS_NAME, WORKERS_NAME, json_array


class Kept(NamedTuple):
    """The records that the original service can use: it knows only waiting jobs and workers."""

    jobs: list[Job]
    workers: list[Worker]

    @classmethod
    def of(cls, content: Content) -> Kept:
        """Drop confirmed and finished jobs, and workers that it cannot call now.

        Those hold a job, are set aside, or have no callback.

        A job in doubt is kept: it is delivered at least once, perhaps twice.
        """
        held = {job.worker.id for job in content.jobs if job.worker}
        return cls(
            [job for job in content.jobs if not (job.hold and job.hold.stage is Stage.CONFIRMED)],
            [
                worker
                for worker in content.workers
                if not (worker.id in held or worker.aside or worker.is_connected)
            ],
        )


def write_original(folder: Path, kept: Kept) -> None:
    """Write ``jobs.json`` and ``workers.json``; after an error neither is left behind.

    Raises FolderNotEmpty, DataFolderUnusable.
    """
    claimed = DataFolder(folder)
    claimed.claim()
    files = {
        folder / WORKERS_NAME: [_encode_worker(worker) for worker in kept.workers],
        folder / JOBS_NAME: [_encode_job(job) for job in kept.jobs],
    }
    try:
        for path in files:
            if not is_gone(path):
                raise FolderNotEmpty(path)
        _write_all(files)
    except OSError as error:
        raise DataFolderUnusable(folder, f"cannot be written: {error}") from error
    finally:
        claimed.release()


def _write_all(files: Mapping[Path, Sequence[bytes]]) -> None:
    try:
        for path, entries in files.items():
            replace_file(path, json_array([b",\n".join(entries)] if entries else []))
    except BaseException:
        for path in files:
            path.unlink(missing_ok=True)
        raise


def _encode_job(job: Job) -> bytes:
    return job.to_wire().removeprefix(b'{"Job":').removesuffix(b"}")


def _encode_worker(worker: Worker) -> bytes:
    entry = {"callback_url": worker.callback_url, "registered_at": worker.registered_at}
    return ujson.dumps(entry, ensure_ascii=False, escape_forward_slashes=False).encode()

"""The worker queue of one process."""

from __future__ import annotations

from sanic_dispatch.events import Kind, Note
from sanic_dispatch.queues.local import EDITED, LocalQueue
from sanic_dispatch.queues.row import Row
from sanic_dispatch.queues.store import Shelf
from sanic_dispatch.worker import Worker


class LocalWorkerQueue(LocalQueue[Worker]):
    """Workers in the order in which they registered."""

    shelf = Shelf.WORKERS
    added = Kind.WORKER_REGISTERED
    changed = Kind.WORKER_CAME_BACK

    def _at_end(self, worker: Worker) -> Worker:
        return worker._replace(place=self._last_place + 1)

    def _taken_over(self, row: Row, known: Worker | None) -> Worker:
        place = known.place if known else row.place
        worker: Worker = row.record
        return worker if worker.place == place else worker._replace(place=place)

    def _publish_gone(self, worker: Worker, at_s: float) -> None:
        self._publish([Note(Kind.WORKER_DROPPED, at_s, EDITED)], worker)

"""Records as Redis keeps them: flat objects of texts, since the scripts' numbers lose digits.

What the scripts have to change stands in fields of its own; the rest they pass on as it is.
"""

from __future__ import annotations

from typing import Any

import ujson

from sanic_dispatch.job import Hold, Job, Stage, State
from sanic_dispatch.worker import Key, Worker

Flat = dict[str, str]
"""A record; what is empty is left out."""


def key_text(key: Key) -> str:
    """A key as one text."""
    return dumped(list(key))


def dumped(value: Any) -> str:
    """JSON of ours."""
    return ujson.dumps(value, ensure_ascii=False, escape_forward_slashes=False)


def flat_job(job: Job) -> Flat:
    """A job without its data."""
    hold = job.hold or job.former
    is_under_way = job.state is State.ASSIGNED and job.hold and job.hold.stage is Stage.UNDER_WAY
    fields = {
        "id": job.id,
        "ticket": str(job.ticket),
        "submitted_at": job.submitted_at,
        "place": repr(job.place),
        "version": str(job.version),
        "state": job.state.value,
        "free": "1" if job.is_free else "0",
        "attempt": str(job.attempt),
        "refusals": str(job.refusals),
        "reason": job.reason,
        "hold": dumped(job.hold.to_dict()) if job.hold else "",
        "former": dumped(job.former.to_dict()) if job.former else "",
        "holder": job.hold.worker.id if job.hold else "",
        "under_way": "1" if is_under_way else "",
        "key": key_text(hold.worker.key) if hold and hold.worker.key else "",
        "spent": "\n".join(job.spent),
        "callbacks": "\n".join(job.callbacks),
        "finished_s": "" if job.finished_s is None else repr(job.finished_s),
        "result": "" if job.result is None else job.result.decode(),
    }
    return {name: text for name, text in fields.items() if text}


def job_of(stored: bytes, data: bytes) -> Job:
    """A job as it was stored. Raises KeyError, TypeError or ValueError where it is none."""
    fields = ujson.loads(stored)
    return Job(
        fields["id"],
        int(fields["ticket"]),
        data,
        fields["submitted_at"],
        float(fields["place"]),
        state=State(fields["state"]),
        hold=_hold_of(fields.get("hold")),
        former=_hold_of(fields.get("former")),
        spent=tuple(fields.get("spent", "").split()),
        attempt=int(fields["attempt"]),
        refusals=int(fields["refusals"]),
        finished_s=float(fields["finished_s"]) if "finished_s" in fields else None,
        reason=fields.get("reason", ""),
        result=fields["result"].encode() if "result" in fields else None,
        version=int(fields["version"]),
    )


def flat_worker(worker: Worker) -> Flat:
    """A worker; a job's hold gets its ``stored``, with the version."""
    fields = {
        "stored": worker._replace(version=0).to_stored().decode(),
        "place": repr(worker.place),
        "version": str(worker.version),
        "free": "1" if worker.is_free else "0",
        "key": key_text(worker.key) if worker.key else "",
    }
    return {name: text for name, text in fields.items() if text}


def worker_of(stored: bytes) -> Worker:
    """A worker as it was stored. Raises KeyError, TypeError or ValueError where it is none."""
    fields = ujson.loads(stored)
    worker = Worker.from_dict(ujson.loads(fields["stored"]))
    return worker._replace(place=float(fields["place"]), version=int(fields["version"]))


def _hold_of(stored: str | None) -> Hold | None:
    return Hold.from_dict(ujson.loads(stored)) if stored else None

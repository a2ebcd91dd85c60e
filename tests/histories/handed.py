"""Jobs as they arrive at simulated workers."""

from __future__ import annotations

from typing import NamedTuple

import ujson


class Handed(NamedTuple):
    """A job that arrived at a worker."""

    job_id: str
    data: bytes
    receipt: str
    began_s: float
    """When it was sent."""


def handed(body: bytes, receipt: str, began_s: float) -> Handed:
    """Parse what a worker received; the data is compared byte by byte."""
    job_id = ujson.loads(body)["Job"]["id"]
    data = body.partition(b'"data":')[2].rpartition(b',"submitted_at"')[0]
    return Handed(job_id, data, receipt, began_s)

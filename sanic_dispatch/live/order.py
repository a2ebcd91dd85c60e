"""An order: a job as people see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import ujson

from sanic_dispatch.core.job import Job, Stage, State
from sanic_dispatch.live.estimator import Promise

LONGEST_TEXT = 80
"""Characters of a name, logo or drink; what is longer is not shown."""

LARGEST_DATA = 65536
"""Bytes of a job's data that are looked into for texts; more would hold everybody else up."""


class Texts(NamedTuple):
    """What a job's data says for people; None where it says nothing that can be shown."""

    name: str | None = None
    logo: str | None = None
    drink: str | None = None


@dataclass(slots=True, eq=False)
class Order:
    """A job, and what was promised when it came."""

    job: Job
    changed_s: float | None = None
    """When it last changed its state, Unix seconds; None: not since it came."""
    promise: Promise | None = None
    _texts: Texts | None = None

    @property
    def since_s(self) -> float:
        """Since when it is in its present state; a job's own time is only read when asked for."""
        return self.job.submitted_s if self.changed_s is None else self.changed_s

    @property
    def texts(self) -> Texts:
        """The texts to show, read when first needed."""
        if self._texts is None:
            self._texts = texts_of(self.job.data)
        return self._texts

    def is_late(self, now_s: float) -> bool:
        """Whether it should be ready by now, after what was promised first."""
        if self.promise is None or self.job.state.is_final:
            return False
        return now_s > self.promise.window()[1]

    @property
    def is_in_doubt(self) -> bool:
        """Whether nobody knows if its worker has it."""
        job = self.job
        if job.state is not State.ASSIGNED or job.hold is None:
            return False
        return job.hold.stage is Stage.IN_DOUBT


def texts_of(data: bytes) -> Texts:
    """Read the texts out of a job's data, which can be any JSON."""
    if len(data) > LARGEST_DATA or not data.lstrip().startswith(b"{"):
        return Texts()
    try:
        values: dict[str, Any] = ujson.loads(data)
    except ValueError:
        return Texts()
    return Texts(*(_short(values.get(name)) for name in Texts._fields))


def _short(value: object) -> str | None:
    is_text = isinstance(value, str) and len(value) <= LONGEST_TEXT and any(map(_is_seen, value))
    return str(value) if is_text else None


def _is_seen(character: str) -> bool:
    return character.isprintable() and not character.isspace()

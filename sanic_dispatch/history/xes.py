"""Events as XES (IEEE 1849-2016), the format that process mining tools read.

An order is a trace, named by its ticket. It is one activity, ``job``, whose steps are transitions
of the standard lifecycle model; the robot is the resource. Other events of an order (it was
returned, doubted, moved …) are activities of their own, with the transition ``unknown``.

A trace begins with the submission and has one end. Orders that were submitted before the first
event, or are unfinished after the last, are left out. A failed order is kept until the end, since
an operator may put it back. So memory is needed for the orders that are unfinished or failed at a
time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.sax.saxutils import quoteattr

from sanic_dispatch.core.events import EventKind
from sanic_dispatch.history.event_fields import Fields

ACTIVITY = "job"

ABORTED = "ate_abort"
TRANSITIONS = {
    EventKind.JOB_SUBMITTED: "schedule",
    EventKind.JOB_ASSIGNED: "assign",
    EventKind.JOB_CONFIRMED: "start",
    EventKind.JOB_DONE: "complete",
    EventKind.JOB_FAILED: ABORTED,
    EventKind.JOB_CANCELLED: "withdraw",
}
OTHER = "unknown"

HEAD = """\
<?xml version="1.0" encoding="UTF-8"?>
<log xes.version="1849.2016" xes.features="" xmlns="http://www.xes-standard.org/">
<extension name="Concept" prefix="concept" uri="http://www.xes-standard.org/concept.xesext"/>
<extension name="Lifecycle" prefix="lifecycle" uri="http://www.xes-standard.org/lifecycle.xesext"/>
<extension name="Organizational" prefix="org" uri="http://www.xes-standard.org/org.xesext"/>
<extension name="Time" prefix="time" uri="http://www.xes-standard.org/time.xesext"/>
<global scope="trace">
<string key="concept:name" value="0"/>
</global>
<global scope="event">
<string key="concept:name" value="job"/>
<string key="lifecycle:transition" value="unknown"/>
<date key="time:timestamp" value="1970-01-01T00:00:00.000000Z"/>
<string key="event" value="job.submitted"/>
</global>
<classifier name="ActivityAndTransition" scope="event" keys="concept:name lifecycle:transition"/>
<classifier name="Activity" scope="event" keys="concept:name"/>
<classifier name="Event" scope="event" keys="event"/>
<string key="concept:name" value="sanic-dispatch"/>
<string key="lifecycle:model" value="standard"/>
"""
END = "</log>\n"

_ENDS = (EventKind.JOB_DONE, EventKind.JOB_CANCELLED)


class XesWriter:
    """Writes events, oldest first, as one XES log; afterwards it says how many were left out."""

    def __init__(self) -> None:
        self.unfinished = 0
        """How many orders had no end yet after the last event."""
        self._open: dict[int, list[Fields]] = {}
        self._first_ticket: int | None = None
        self._begun_before: set[int] = set()

    @property
    def begun_before(self) -> int:
        """How many orders were submitted before the first event."""
        return len(self._begun_before)

    def begin(self) -> str:
        """Return the head of the document."""
        return HEAD

    def add(self, event: Fields) -> str:
        """Take in an event; return the trace of its order if that has ended it."""
        trace = self._take(event) if event["ticket"] is not None else None
        return _trace_xml(trace) if trace else ""

    def end(self) -> str:
        """Return the traces of orders that failed, and the end of the document."""
        failed = [each for each in self._open.values() if each[-1]["event"] == EventKind.JOB_FAILED]
        self.unfinished = len(self._open) - len(failed)
        self._open.clear()
        return "".join(map(_trace_xml, failed)) + END

    def _take(self, event: Fields) -> list[Fields] | None:
        """Take in an event of an order; return the order's trace if that has ended it."""
        ticket, kind = event["ticket"], event["event"]
        if kind == EventKind.JOB_FORGOTTEN:
            return None  # it comes after the end of the trace
        if kind == EventKind.JOB_SUBMITTED:
            self._first_ticket = self._first_ticket or ticket
            self._open[ticket] = [event]
            return None
        trace = self._open.get(ticket)
        if trace is None:
            if self._first_ticket is None or ticket < self._first_ticket:
                self._begun_before.add(ticket)
        elif trace[-1]["event"] != EventKind.JOB_FAILED or kind == EventKind.JOB_RETURNED:
            trace.append(event)
        return self._open.pop(ticket, None) if kind in _ENDS else None


def _trace_xml(trace: Sequence[Fields]) -> str:
    last, at = len(trace) - 1, ""
    parts = ["<trace>\n", _attribute("string", "concept:name", trace[0]["ticket"])]
    for index, event in enumerate(trace):
        at = max(at, event["at"])
        parts += _event_xml(event, at, is_last=index == last)
    parts.append("</trace>\n")
    return "".join(parts)


def _event_xml(event: Fields, at: str, *, is_last: bool) -> Iterator[str]:
    """Yield the parts of an event.

    ``at`` is not before the last event's, even if the clock was set back. An order that failed, and
    was put back, goes on: only what ends its trace is an end.
    """
    kind = event["event"]
    transition = TRANSITIONS.get(kind, OTHER)
    if kind == EventKind.JOB_CANCELLED and "service_s" in event:
        transition = ABORTED
    if kind == EventKind.JOB_FAILED and not is_last:
        transition = OTHER
    yield "<event>\n"
    yield _attribute("string", "concept:name", ACTIVITY if kind in TRANSITIONS else kind)
    yield _attribute("string", "lifecycle:transition", transition)
    yield _attribute("date", "time:timestamp", at)
    if resource := event["worker"] or event.get("callback"):
        yield _attribute("string", "org:resource", resource)
    yield _attribute("string", "event", kind)
    for name, element in _OTHERS.items():
        if event.get(name) not in (None, ""):
            yield _attribute(element, name, event[name])
    yield "</event>\n"


_OTHERS = {
    "n": "int",
    "attempt": "int",
    "waiting_s": "float",
    "service_s": "float",
    "reason": "string",
    "request": "string",
    "percent": "float",
}
"""The element for each of our own attributes."""


def _attribute(element: str, key: str, value: object) -> str:
    return f"<{element} key={quoteattr(key)} value={quoteattr(str(value))}/>\n"

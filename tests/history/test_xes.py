"""XES: a golden file, the structure that the standard asks for, and bounded memory."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from defusedxml.ElementTree import fromstring

from sanic_dispatch.history.event_fields import fields_of
from sanic_dispatch.history.formats import written as pieces
from sanic_dispatch.history.xes import XesWriter
from sanic_dispatch.storage.event_record import LoggedEvent
from tests.history.stories import change_of_mind, evening

GOLDEN = Path(__file__).with_name("evening.xes")

XES = "{http://www.xes-standard.org/}"
STANDARD = {
    *("schedule", "assign", "withdraw", "reassign", "start", "suspend", "resume", "pi_abort"),
    *("ate_abort", "complete", "autoskip", "manualskip", "unknown"),
}
"""The transitions of the standard's lifecycle model."""

ENDS = {"complete", "ate_abort", "withdraw"}
EXTENSIONS = {
    "Concept": "concept",
    "Lifecycle": "lifecycle",
    "Organizational": "org",
    "Time": "time",
}
TYPES = {"string", "date", "int", "float", "boolean", "id", "list"}


def written(events: Iterable[LoggedEvent], writer: XesWriter | None = None) -> str:
    return "".join(pieces(writer or XesWriter(), map(fields_of, events)))


def attributes(element: Element) -> dict[str, str]:
    """The attributes of a log, a trace or an event by key; each key is there once."""
    own = [each for each in element if each.tag.removeprefix(XES) in TYPES]
    found = {each.attrib["key"]: each.attrib["value"] for each in own}
    assert len(found) == len(own)
    return found


def traces_of(document: str) -> dict[str, list[dict[str, str]]]:
    """The events of each trace by its name; checks what the standard asks for on the way."""
    log = fromstring(document)
    assert log.tag == f"{XES}log"
    assert log.attrib["xes.version"] == "1849.2016"
    order = ["extension", "global", "classifier", *TYPES, "trace"]
    tags = [each.tag.removeprefix(XES) for each in log]
    assert tags == sorted(tags, key=lambda tag: (tag == "trace", tag in TYPES, order.index(tag)))
    declared = {
        each.attrib["name"]: each.attrib["prefix"] for each in log.findall(f"{XES}extension")
    }
    assert declared == EXTENSIONS
    globals_ = {each.attrib["scope"]: set(attributes(each)) for each in log.findall(f"{XES}global")}
    for classifier in log.findall(f"{XES}classifier"):
        assert set(classifier.attrib["keys"].split()) <= globals_["event"]
    found: dict[str, list[dict[str, str]]] = {}
    for trace in log.findall(f"{XES}trace"):
        assert globals_["trace"] <= set(attributes(trace))
        events = [attributes(event) for event in trace.findall(f"{XES}event")]
        for event in events:
            assert globals_["event"] <= set(event)
            assert event["lifecycle:transition"] in STANDARD
            prefixes = {key.partition(":")[0] for key in event if ":" in key}
            assert prefixes <= set(EXTENSIONS.values())
        name = attributes(trace)["concept:name"]
        assert name not in found
        found[name] = events
    return found


def transitions(events: list[dict[str, str]]) -> list[str]:
    return [event["lifecycle:transition"] for event in events]


def test_the_golden_file() -> None:
    """An evening is written as it always was."""
    assert written(evening().events) == GOLDEN.read_text()


def test_the_structure() -> None:
    """Each trace is in order, begins with the submission, and has one start and one end."""
    traces = traces_of(written(evening().events))
    assert len(traces) == 4
    for events in traces.values():
        steps = transitions(events)
        assert (steps[0], steps.count("schedule")) == ("schedule", 1)
        assert [step for step in steps if step in ENDS] == [steps[-1]]
        times = [event["time:timestamp"] for event in events]
        assert times == sorted(times)


def test_the_life_of_an_order() -> None:
    """Its steps are transitions of one activity, with the robot as resource."""
    events = traces_of(written(evening().events))["1"]
    assert transitions(events) == ["schedule", "assign", "start", "complete"]
    assert {event["concept:name"] for event in events} == {"job"}
    assert [event.get("org:resource") for event in events] == [None, "Ada", "Ada", "Ada"]
    assert transitions(traces_of(written(evening().events))["2"]) == ["schedule", "withdraw"]


def test_an_order_that_is_cancelled_while_it_is_made() -> None:
    """The activity is aborted; how far it was is an event of its own."""
    events = traces_of(written(change_of_mind().events))["1"]
    steps = [(event["concept:name"], event["lifecycle:transition"]) for event in events]
    assert steps == [
        ("job", "schedule"),
        ("job", "assign"),
        ("job", "start"),
        ("job.progressed", "unknown"),
        ("job.cancelling", "unknown"),
        ("job.progressed", "unknown"),
        ("job", "ate_abort"),
    ]
    assert (events[3]["percent"], events[3]["reason"]) == ("40", "adding gin")


def test_an_order_that_failed_and_was_put_back() -> None:
    """Only the last failure ends its trace; the text of the reason is escaped."""
    events = traces_of(written(evening().events))["3"]
    kinds = [event["event"] for event in events]
    assert kinds.count("job.failed") == 2
    assert (kinds[-1], events[-1]["lifecycle:transition"]) == ("job.failed", "ate_abort")
    assert events[-1]["reason"] == "no <ice>\\x07 & no rum"
    assert 'E<v>e & "Söhne"' in {event.get("org:resource") for event in events}


def test_only_whole_orders() -> None:
    """Orders that began before or are unfinished are left out, and counted."""
    story, writer = evening(), XesWriter()
    assert "5" not in traces_of(written(story.events, writer))
    assert (writer.begun_before, writer.unfinished) == (0, 1)
    begun = [each.n for each in story.events if each.event == "job.submitted"]
    writer = XesWriter()
    traces = traces_of(written((each for each in story.events if each.n > begun[1]), writer))
    assert set(traces) == {"3", "4"}
    assert (writer.begun_before, writer.unfinished) == (2, 1)
    assert traces_of(written([])) == {}


def test_a_clock_that_is_set_back() -> None:
    """The order of a trace stays that of its events."""
    told = [
        LoggedEvent(1, 100.0, "job.submitted", 1, "a"),
        LoggedEvent(2, 90.0, "job.assigned", 1, "a", "Ada"),
        LoggedEvent(3, 101.0, "job.done", 1, "a", "Ada"),
    ]
    times = [event["time:timestamp"] for event in traces_of(written(told))["1"]]
    assert times == [f"1970-01-01T00:01:{second}.000000Z" for second in (40, 40, 41)]


def test_memory_is_that_of_unfinished_orders() -> None:
    """A trace is written, and forgotten, as soon as its order has ended."""
    writer, most = XesWriter(), 0

    def told() -> Any:
        n = 0
        for ticket in range(1, 2001):
            for kind in ("job.submitted", "job.assigned", "job.confirmed", "job.done"):
                n += 1
                yield fields_of(LoggedEvent(n, float(n), kind, ticket, "a", "Ada"))

    for _ in pieces(writer, told()):
        most = max(most, len(writer._open))
    assert most <= 1


def test_a_forgotten_order_keeps_its_trace() -> None:
    """That its data was erased later is not a step of it, nor of an earlier order."""
    events = evening().events
    ended = next(each for each in events if each.event == "job.done")
    forgotten = ended._replace(n=events[-1].n + 1, event="job.forgotten")
    writer = XesWriter()
    assert written([*events, forgotten], writer) == written(events)
    written([forgotten], writer := XesWriter())
    assert writer.begun_before == 0

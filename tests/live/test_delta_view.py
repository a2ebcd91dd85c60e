"""Delta views: flat maps, and the frame from any cursor to the head."""

from __future__ import annotations

import struct

import pytest
import ujson
from hypothesis import given
from hypothesis import strategies as st

from sanic_dispatch.live.connection import MAX_BUFFERED_BYTES
from sanic_dispatch.live.delta_view import FRAME_REUSE_S, RING_PATCHES, DeltaView, Version
from sanic_dispatch.live.frames import Cursor, Frame
from tests.support.story import reduced

AT = Cursor("a1", 7)

patches = st.dictionaries(
    st.sampled_from("abcdefgh"), st.none() | st.fixed_dictionaries({"n": st.integers(0, 9)})
)


class Time:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def loaded(frame: Frame) -> dict[str, object]:
    return dict(ujson.loads(frame.json))


@given(st.lists(patches), st.data())
def test_any_cursor_leads_to_the_head(
    changes: list[dict[str, object]], data: st.DataObject
) -> None:
    """One frame makes a client equal to the server, from any version."""
    view, known = DeltaView("a1", Time()), [{}]
    for number, patch in enumerate(changes, start=1):
        view.apply(Version(number), patch)
        known.append(dict(view.entries))
    cursor = data.draw(st.integers(0, len(changes)))
    frame = loaded(view.frame_since(cursor))
    assert reduced(known[cursor], frame) == view.entries
    assert frame["at"] == f"a1:{len(changes)}"


def test_the_three_kinds_of_frame() -> None:
    """A state, a patch and a heartbeat have exactly this JSON."""
    view = DeltaView("a1b2", Time())
    view.apply(Version(41), {"bar": {"waiting": 1, "name": "é/\n"}, "order/1": {"n": 1}})
    assert (
        view.frame_since(None).json
        == (
            '{"at":"a1b2:41","now":1000.0,'
            '"state":{"bar":{"waiting":1,"name":"é/\\n"},"order/1":{"n":1}}}'
        ).encode()
    )
    view.apply(Version(43), {"order/1": None})
    assert view.frame_since(41).json == b'{"at":"a1b2:43","now":1000.0,"patch":{"order/1":null}}'
    assert view.frame_since(43).json == b'{"at":"a1b2:43","now":1000.0}'


def test_a_patch_that_cannot_be_sent_is_a_state() -> None:
    """A patch too large to send, for the keys it deletes, is replaced by the state."""
    view = DeltaView("a1", Time())
    view.apply(Version(1), {f"{n}/{'x' * 3_000}": {} for n in range(400)})
    view.apply(Version(2), {f"{n}": {} for n in range(400)})
    view.apply(Version(3), dict.fromkeys([key for key in view.entries if "/" in key]))
    assert len(view.frame_since(2).json) <= MAX_BUFFERED_BYTES
    assert loaded(view.frame_since(2))["state"] == view.entries


def test_an_event_that_changes_nothing_here_still_moves_the_cursor() -> None:
    """A heartbeat can be resumed from too."""
    view = DeltaView("a1", Time())
    view.apply(Version(1), {"a": {}})
    view.apply(Version(9), {})
    assert loaded(view.frame_since(1)) == {"at": "a1:9", "now": 1000.0}
    assert view.head == Version(1)


def test_one_frame_for_all_at_the_same_cursor() -> None:
    """A frame is encoded once, but reused only briefly, since it has the time."""
    time = Time()
    view = DeltaView("a1", time)
    view.apply(Version(1), {"a": {}})
    assert view.frame_since(0) is view.frame_since(0)
    before = view.frame_since(0)
    for now_s in (1000.0 + 2 * FRAME_REUSE_S, 500.0):
        time.now_s = now_s
        assert loaded(view.frame_since(0))["now"] == now_s
        assert view.frame_since(0) is not before


def test_a_cursor_older_than_the_ring() -> None:
    """A cursor older than the ring gets the whole state."""
    view = DeltaView("a1", Time())
    for number in range(1, RING_PATCHES + 2):
        view.apply(Version(number), {"a": {"n": number}, f"b{number % 3}": {}})
    assert "patch" in loaded(view.frame_since(1))
    assert "state" in loaded(view.frame_since(0))
    assert "state" in loaded(view.frame_since(RING_PATCHES + 2)), "a cursor from the future"


def test_a_patch_is_never_more_than_the_state() -> None:
    """A patch with more keys than the state is replaced by it."""
    view = DeltaView("a1", Time())
    view.apply(Version(1), {str(n): {} for n in range(100)})
    view.apply(Version(2), {str(n): None for n in range(1, 100)})
    assert loaded(view.frame_since(1))["state"] == {"0": {}}


def test_frames_are_valid_json() -> None:
    """NaN is refused, and a lone surrogate becomes a question mark."""
    with pytest.raises(OverflowError):
        Frame(AT, 1.0, state={"a": {"t": float("nan")}})
    assert loaded(Frame(AT, 1.0, state={"a": {"s": "\udc80"}}))["state"] == {"a": {"s": "?"}}


@pytest.mark.parametrize("size", [0, 60, 200, 70_000])
def test_a_websocket_frame_is_written_by_hand(size: int) -> None:
    """It is one final, unmasked text frame with a length of one, three or nine bytes."""
    frame = Frame(AT, 1.0, state={"a": {"s": "x" * size}})
    head, length = frame.websocket[0], frame.websocket[1]
    offset = {126: 4, 127: 10}.get(length, 2)
    if offset > 2:
        (length,) = struct.unpack("!H" if offset == 4 else "!Q", frame.websocket[2:offset])
    assert (head, length) == (0x81, len(frame.json))
    assert frame.websocket[offset:] == frame.json


def test_an_event_of_a_stream_is_two_lines() -> None:
    """Its id is the cursor; JSON contains no line breaks."""
    frame = Frame(AT, 1.0, state={"a": {"s": "x\ny"}})
    assert frame.event_stream == b"id: a1:7\ndata: " + frame.json + b"\n\n"
    assert frame.event_stream.count(b"\n") == 3


@pytest.mark.parametrize("text", ["", "a1", "a1:", ":1", "A:1", "a1:1x", "a1:-1", "a1:1:1", "a1:١"])
def test_malformed_cursors(text: str) -> None:
    """Anything but epoch:number raises ValueError."""
    with pytest.raises(ValueError, match="epoch:number"):
        Cursor.parse(text)


@given(st.text("0123456789abcdef", min_size=1, max_size=32), st.integers(0, 10**15 - 1))
def test_cursors_survive_a_round_trip(epoch: str, number: int) -> None:
    """Parsing a written cursor returns it."""
    assert Cursor.parse(str(Cursor(epoch, number))) == Cursor(epoch, number)

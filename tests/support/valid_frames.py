"""Validation of all frames made during the tests against the schema of their view."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
import ujson

from sanic_dispatch.live.frames import Frame
from sanic_dispatch.live.schema import frame_schema
from sanic_dispatch.live.views import Board, Monitor, OrderView


@pytest.fixture(autouse=True, scope="session")
def every_frame_is_valid() -> Iterator[None]:
    """Check each frame that a view returns."""
    with pytest.MonkeyPatch.context() as patch:
        for view, name in ((Board, "board"), (Monitor, "monitor"), (OrderView, "order")):
            patch.setattr(view, "frame_since", checking(view.frame_since, name))
        yield


def checking(frame_since: Any, name: str) -> Any:
    """Wrap ``frame_since``; each frame is checked once."""
    validator = jsonschema_rs.Draft7Validator(frame_schema(name))

    def checked(self: Any, cursor: int | None) -> Frame:
        frame: Frame = frame_since(self, cursor)
        if not getattr(frame, "is_checked", False):
            frame.is_checked = True  # type: ignore[attr-defined]
            validator.validate(ujson.loads(frame.json))
        return frame

    return checked

"""What other processes may call."""

from __future__ import annotations

from inspect import iscoroutinefunction

from sanic_dispatch.web.calls import FUNCTIONS


def test_every_function_can_be_awaited() -> None:
    """Here and at the owner of the topic they are called in the same way."""
    assert [each.__qualname__ for each in FUNCTIONS if not iscoroutinefunction(each)] == []

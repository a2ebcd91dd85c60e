"""A state machine for the tests of the core."""

from __future__ import annotations

import pytest

from sanic_dispatch.core import commands as c
from sanic_dispatch.core.state_machine import StateMachine
from sanic_dispatch.core.topic import Policy
from tests.support.machine_state import NOW


@pytest.fixture
def machine() -> StateMachine:
    made = StateMachine(Policy())
    made.apply(c.Recover("5e" * 32), NOW)
    return made

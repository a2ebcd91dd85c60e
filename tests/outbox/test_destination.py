"""A destination: retries, and what it asks for."""

from __future__ import annotations

import pytest

from sanic_dispatch.outbox.destination import MAX_RETRY_S, Destination, retry_s


def test_retries_double_up_to_an_hour() -> None:
    """The first comes after 1 to 5 s."""
    for attempts in range(1, 12):
        spans = [retry_s(attempts) for _ in range(200)]
        factor = 2.0 ** (attempts - 1)
        assert min(spans) >= min(factor, MAX_RETRY_S)
        assert max(spans) <= min(5 * factor, MAX_RETRY_S)
    assert max(spans) - min(spans) > 0 or min(spans) == MAX_RETRY_S
    assert retry_s(10_000) == MAX_RETRY_S


@pytest.mark.parametrize(("asked_s", "waits_s"), [(120.0, 120.0), (0.0, 1.0)])
def test_the_destination_may_say_when(asked_s: float, waits_s: float) -> None:
    """Retry-After is the time of the next try, but never at once."""
    destination = Destination()
    destination.note_failure("status 429", 10.0, asked_s)
    assert destination.retry_at_s == 10.0 + waits_s


def test_what_was_under_way_together_fails_once() -> None:
    """And a success ends the row of failures."""
    destination = Destination()
    for _ in range(3):
        destination.note_failure("status 500", 10.0, None)
    assert (destination.attempts, destination.error) == (1, "status 500")
    assert 11.0 <= destination.retry_at_s <= 15.0
    destination.note_success()
    assert (destination.attempts, destination.error, destination.retry_at_s) == (0, "", 0.0)

"""job.py: how a job is named."""

from __future__ import annotations

import pytest

from sanic_dispatch.core.job import ticket_in


@pytest.mark.parametrize(
    ("name", "ticket"),
    [
        ("1", 1),
        ("42", 42),
        ("9" * 15, 10**15 - 1),
        ("9" * 16, None),
        ("0" * 32, None),
        ("0", None),
        ("", None),
        ("-1", None),
        ("4 2", None),
        ("\u0664\u0662", None),
        ("5e1", None),
    ],
)
def test_a_ticket_or_an_id(name: str, ticket: int | None) -> None:
    """Up to fifteen ASCII digits are a ticket; tickets count from 1."""
    assert ticket_in(name) == ticket

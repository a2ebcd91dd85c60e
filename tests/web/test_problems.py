"""Errors: each has a status, a word, and its row with an example in docs/protocol.md."""

from __future__ import annotations

import re

import pytest

from sanic_dispatch import errors
from sanic_dispatch.errors import (
    BodyTooLarge,
    CallbackForbidden,
    DispatchError,
    IdempotencyMismatch,
    InvalidCallback,
    InvalidKey,
    NotTheHolder,
    OutcomeUnknown,
    QueueFull,
    ShuttingDown,
    StartError,
    StillUnderWay,
    TooManyOrders,
    Unauthorized,
    UnknownJob,
    UnknownWorker,
    WrongMediaType,
    WrongState,
)
from sanic_dispatch.web.problems import STATUS, problem_of
from tests.support.paths import DOCS

PROTOCOL = (DOCS / "protocol.md").read_text()
ROWS = re.findall(r"^\| `(\d{3})` \| `(\w+)` \| (.+?) \| (.*?) ?\|$", PROTOCOL, re.MULTILINE)

EXAMPLES: list[DispatchError] = [
    Unauthorized("worker"),
    InvalidKey(),
    InvalidCallback("Missing", "there is no CPEE-CALLBACK header"),
    CallbackForbidden("the address is link-local"),
    UnknownJob(),
    UnknownWorker(),
    WrongState("cancel", "assigned"),
    NotTheHolder("assigned"),
    StillUnderWay(),
    IdempotencyMismatch(),
    BodyTooLarge(2 * 2**20),
    WrongMediaType(),
    QueueFull(100_000),
    ShuttingDown(),
]


def documented(word: str) -> tuple[int, str, str]:
    """Status, example and what else is there, of the one row of that word."""
    (row,) = [row for row in ROWS if row[1] == word]
    return int(row[0]), row[2], row[3]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_the_protocol_has_the_very_answer(error: DispatchError) -> None:
    """Status, detail and headers are those of the example."""
    answer = problem_of(error)
    word = re.search(rb'"Error":"(\w+)"', answer.body or b"")
    assert word
    status, example, besides = documented(word[1].decode())
    assert answer.status == status
    assert example.startswith(f"`{error}`")
    for name in ("WWW-Authenticate", "Retry-After"):
        if value := answer.headers.get(name):
            assert f"`{name}: {value}`" in besides


@pytest.mark.parametrize(("status", "word"), STATUS.values())
def test_every_word_is_documented(status: int, word: str) -> None:
    """What programs can rely on stands in the protocol, with its status."""
    if word != "InvalidCallback":  # it always says which of three words it is
        assert documented(word)[0] == status


def test_every_error_has_an_answer() -> None:
    """No error of ours can end in a 500, but those that only a start can have."""
    for error in vars(errors).values():
        if isinstance(error, type) and issubclass(error, DispatchError):
            is_asked = not issubclass(error, StartError) and error is not DispatchError
            assert any(kind in STATUS for kind in error.__mro__) is is_asked


def test_the_answer_never_holds_more_than_the_error_says() -> None:
    """A record's id is no part of an answer about storage."""
    assert problem_of(OutcomeUnknown("x")).status == 503
    assert TooManyOrders in STATUS

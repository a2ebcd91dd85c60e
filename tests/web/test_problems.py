"""Errors: each has a status, a code, and a row with an example in docs/protocol.md."""

from __future__ import annotations

import pytest

from sanic_dispatch import errors
from sanic_dispatch.errors import (
    PROBLEMS,
    BodyTooLarge,
    CallbackForbidden,
    DispatchError,
    IdempotencyMismatch,
    InvalidCallback,
    InvalidKey,
    InvalidMatch,
    InvalidPriority,
    NotTheHolder,
    OutcomeUnknown,
    QueueFull,
    ShuttingDown,
    StartError,
    StillUnderWay,
    TooManyRules,
    Unauthorized,
    UnknownJob,
    UnknownWorker,
    WrongMediaType,
    WrongState,
)
from sanic_dispatch.web.problems import problem_of
from tests.support.errors_table import PAGE, with_table
from tests.support.http_requests import send_raw
from tests.support.server import running_service

EXAMPLES: list[DispatchError] = [
    Unauthorized("worker"),
    InvalidKey(),
    InvalidCallback("Missing", "there is no CPEE-CALLBACK header"),
    CallbackForbidden("the address is link-local"),
    InvalidMatch("match.", "names no member: match.drink and not.size.unit do"),
    InvalidPriority("high"),
    UnknownJob(),
    UnknownWorker(),
    WrongState("cancel", "assigned"),
    NotTheHolder("assigned"),
    StillUnderWay(),
    IdempotencyMismatch(),
    BodyTooLarge(2 * 2**20),
    WrongMediaType(),
    QueueFull(100_000),
    TooManyRules(100),
    ShuttingDown(),
]


def test_the_protocol_has_the_registry() -> None:
    """The table is made by ``python -m tests.support.errors_table``."""
    assert with_table(PAGE.read_text()) == PAGE.read_text()


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_answer_is_what_the_registry_says(error: DispatchError) -> None:
    """Status, detail and headers are those of the example."""
    answer, problem = problem_of(error), PROBLEMS[error.code]
    assert f'"Error":"{error.code}"'.encode() in (answer.body or b"")
    assert answer.status == problem.status
    assert str(error) == problem.detail
    for name in ("WWW-Authenticate", "Retry-After"):
        assert answer.headers.get(name) == problem.headers.get(name)


def test_every_error_has_a_code() -> None:
    """No error of ours ends in a 500, except those of a start."""
    for error in vars(errors).values():
        if isinstance(error, type) and issubclass(error, DispatchError):
            is_asked = not issubclass(error, StartError) and error is not DispatchError
            if error is not InvalidCallback:  # it always says which of three words it is
                assert error.code in PROBLEMS
                assert (error.code != "InternalServerError") is is_asked


def test_the_answer_never_holds_more_than_the_error_says() -> None:
    """An answer about storage has no record's id."""
    assert problem_of(OutcomeUnknown("x")).status == 503


@pytest.mark.parametrize("url", [b"/submit-job?\x7f", b"submit-job", b"http://x", b"http://x?a"])
async def test_an_url_that_cannot_be_served(url: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    """400, and nothing is logged; Sanic closes the connection, or fails."""
    async with running_service() as service:
        answer = await send_raw(service, b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % url)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"Error":"BadRequest"' in answer
    assert "Traceback" not in capfd.readouterr().err

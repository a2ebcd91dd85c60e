"""The JSON of calls, made from signatures."""

from __future__ import annotations

import ujson
from hypothesis import given
from hypothesis import strategies as st

from sanic_dispatch.cluster.codec import decode_error, encode, encode_error, signature_of
from sanic_dispatch.core.job import Hold, Job, Progress, Stage, State, Way
from sanic_dispatch.core.state_machine import Placed
from sanic_dispatch.core.worker import Aside, Cause, Key, Worker
from sanic_dispatch.dispatch.dispatcher import Dispatcher
from sanic_dispatch.errors import DispatchError, QueueFull, StorageFailed, WrongState
from sanic_dispatch.live.why import Reason, Why
from sanic_dispatch.web.calls import FUNCTIONS, why_waiting

TEXTS = st.text(st.characters(codec="utf-8"), max_size=5)
COUNTS, TIMES_S = st.integers(0, 9), st.floats(0, 2e9)
WORKERS = st.builds(
    Worker, TEXTS, TEXTS, st.none() | st.builds(Key, TEXTS, TEXTS), TEXTS, TEXTS,
    st.none() | st.builds(Aside, st.sampled_from(Cause), TIMES_S, TEXTS, TEXTS, st.booleans()),
    COUNTS, st.floats(-1e9, 1e9), TEXTS,
)  # fmt: skip
HOLDS = st.builds(
    Hold, WORKERS, st.sampled_from(Way), st.sampled_from(Stage), TIMES_S, st.booleans(), COUNTS,
    TEXTS,
)  # fmt: skip
JOBS = st.builds(
    Job, TEXTS, st.integers(0, 2**53), TEXTS.map(str.encode), TEXTS, st.floats(-1e9, 1e9),
    st.sampled_from(State), st.none() | HOLDS, st.none() | HOLDS,
    st.lists(TEXTS, max_size=2).map(tuple), COUNTS, COUNTS, st.none() | TIMES_S, TEXTS,
    st.none() | TEXTS.map(str.encode), COUNTS, COUNTS,
    st.none() | st.builds(Progress, st.none() | st.floats(0, 100), TEXTS), st.booleans(),
)  # fmt: skip

WHYS = st.builds(
    Why, st.sampled_from(Reason), st.none() | COUNTS, st.lists(st.tuples(TEXTS, TEXTS)).map(tuple)
)


@given(st.builds(Placed, JOBS, st.none() | COUNTS, st.booleans()))
def test_a_reply_comes_back_as_it_was(placed: Placed) -> None:
    """Records with all they have, and enumerations as themselves."""
    again = signature_of(Dispatcher.submit).reply(ujson.loads(encode(placed)))
    assert again == placed
    assert type(again.job.state) is State


@given(WHYS)
def test_why_a_job_waits_comes_back_as_it_was(why: Why) -> None:
    """Its reason as an enumeration, and what it needs in pairs."""
    again = signature_of(why_waiting).reply(ujson.loads(encode(why)))
    assert again == why
    assert type(again.reason) is Reason


def test_every_function_can_be_called() -> None:
    """Each type in a signature can be decoded, and no two functions have one name."""
    assert len({function.__qualname__ for function in FUNCTIONS}) == len(FUNCTIONS)
    for function in FUNCTIONS:
        signature_of(function)


def test_an_error_comes_back_with_its_data() -> None:
    """Class, text and data."""
    for error in (WrongState("cancel", State.DONE), QueueFull(7), StorageFailed("no space")):
        again = decode_error(*ujson.loads(encode(encode_error(error))))
        assert (type(again), str(again)) == (type(error), str(error))
        assert vars(again) == vars(error)


def test_an_error_that_is_not_known_is_a_mistake() -> None:
    """It is answered with 500, like one of this process."""
    assert decode_error("NotOfThisVersion", "what", {}).code == DispatchError.code

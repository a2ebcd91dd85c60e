"""The evaluator that all instances share, and the order of results that wait for it."""

from __future__ import annotations

import asyncio

import pytest

from sanic_dispatch.simulation import Engine, Evaluator, Result
from tests.simulation.test_simulated_engine import put, state, status_of
from tests.support.clock import FakeClock, settle

QUEUED = (
    b"HTTP/1.1 202 Accepted\r\ncpee-callback: true\r\nContent-Type: application/json\r\n"
    b'Content-Length: 8\r\n\r\n"Queued"'
)


def oldest_first(_: int) -> int:
    return 0


def newest_first(waiting: int) -> int:
    return waiting - 1


def test_an_idle_evaluator_evaluates_at_once():
    """Code that takes no time is evaluated by the time it was submitted."""
    seen: list[int] = []
    Evaluator().submit(lambda: seen.append(1))
    assert seen == [1]


@pytest.mark.parametrize(("pick", "order"), [(oldest_first, [1, 2]), (newest_first, [2, 1])])
def test_a_sleep_in_some_model_blocks_it(pick, order):
    """While it is blocked nothing is evaluated; what waits is evaluated in any order."""
    evaluator, seen = Evaluator(pick=pick), []
    with evaluator.blocked(), evaluator.blocked():
        for n in (1, 2):
            evaluator.submit(lambda n=n: seen.append(n))
        assert seen == []
    assert seen == order


async def test_a_slow_one_does_one_thing_at_a_time():
    """Each evaluation takes its time, one after the other."""
    clock, seen = FakeClock(), []
    evaluator = Evaluator(2.0, clock=clock, pick=oldest_first)
    for n in (1, 2, 3):
        evaluator.submit(lambda n=n: seen.append(n))
    after = []
    for _ in range(4):
        after.append(list(seen))
        await clock.advance(2.0)
    assert after == [[], [1], [1, 2], [1, 2, 3]]


async def test_a_put_is_answered_before_it_is_evaluated(instance, waiting, engine, http):
    """200 comes at once; until it is evaluated the callback waits, also for a GET."""
    task = await waiting()
    url = instance.callback_urls[0]
    with engine.evaluator.blocked():
        assert await put(http, url, b"1") == 200
        assert await put(http, url, b"1") == 200
        assert await status_of(http, "GET", url) == 200
        assert not task.done()
    assert (await task).value == 1
    await instance.until(lambda: not instance.callback_urls)
    assert await status_of(http, "GET", url) == 404


async def test_the_body_of_a_202_that_comes_through_last_is_the_result(service, http):
    """If the body of the 202 is evaluated after the PUT's, the order is lost."""
    service.answers = [QUEUED]
    async with Engine(evaluator=Evaluator(pick=newest_first)) as engine:
        instance = engine.start_instance()
        with engine.evaluator.blocked():
            task = asyncio.create_task(instance.call(service.url))
            await instance.until(lambda: instance.waiting)
            assert await put(http, instance.callback_urls[0], b'{"Job":{}}') == 200
        assert await task == Result("Queued", b'"Queued"', False)


async def test_without_a_body_nothing_can_come_after_the_put(service, http):
    """With an empty 202 there is only one body, evaluated at any time."""
    async with Engine(evaluator=Evaluator(pick=newest_first)) as engine:
        instance = engine.start_instance()
        with engine.evaluator.blocked():
            task = asyncio.create_task(instance.call(service.url))
            await instance.until(lambda: instance.waiting)
            assert await put(http, instance.callback_urls[0], b'{"Job":{}}') == 200
        assert (await task).body == b'{"Job":{}}'
        assert instance.updates == []


@pytest.mark.parametrize(("answer", "lost"), [(QUEUED, True), (None, False)])
async def test_a_put_before_the_answer_works_only_without_a_body(
    instance, service, http, answer, lost
):
    """A body of the 202 that arrives after the PUT is the result, also if the evaluator is idle."""
    service.answers = [answer] if answer else service.answers
    service.gate.clear()
    task = asyncio.create_task(instance.call(service.url))
    await service.arrived.wait()
    assert await put(http, instance.callback_urls[0], b"1") == 200
    service.gate.set()
    assert (await task).value == ("Queued" if lost else 1)


async def test_what_comes_after_the_end_of_the_activity_changes_nothing(service, http):
    """A body of the 202 that is evaluated after the activity ended is dropped."""
    service.answers = [QUEUED]
    turns = iter([1, 1, 0])  # the PUT's body, the activity's end, the body of the 202
    async with Engine(evaluator=Evaluator(0.001, pick=lambda _: next(turns))) as engine:
        instance = engine.start_instance()
        with engine.evaluator.blocked():
            task = asyncio.create_task(instance.call(service.url))
            await instance.until(lambda: instance.waiting)
            assert await put(http, instance.callback_urls[0], b"1") == 200
        assert (await task).value == 1
        assert instance.updates == []


@pytest.mark.parametrize("end", ["kill", "delete"])
async def test_what_waits_for_the_evaluator_dies_with_its_instance(
    engine, instance, waiting, http, end
):
    """A PUT that was answered 200 and not evaluated is lost when the process ends."""
    task = await waiting()
    url = instance.callback_urls[0]
    with engine.evaluator.blocked():
        assert await put(http, url) == 200
        getattr(instance, end)()
    await settle()
    assert await status_of(http, "GET", url) == (200 if end == "kill" else 404)
    assert await state(http, instance) == (200, "running")
    assert not task.done() or task.exception()


async def test_all_instances_share_it(engine, instance, waiting, http):
    """Two instances wait for one evaluator."""
    other = engine.start_instance()
    tasks = [await waiting(instance), await waiting(other)]
    with engine.evaluator.blocked():
        for each in (instance, other):
            assert await put(http, each.callback_urls[0], b"1") == 200
        await settle()
        assert not any(task.done() for task in tasks)
    assert [(await task).value for task in tasks] == [1, 1]

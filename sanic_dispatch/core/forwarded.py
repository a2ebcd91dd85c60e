"""Commands that arrived at another process: each has one effect, however often it is forwarded.

A process repeats a command whose reply got lost, perhaps to the next owner. So the numbers of the
applied ones are facts, committed with what they did, for as long as the process may repeat them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from sanic_dispatch.core import commands as c
from sanic_dispatch.core.effects import StartTimer
from sanic_dispatch.core.tables import FORWARDED, Fact

if TYPE_CHECKING:
    from sanic_dispatch.core.state_machine import StateMachine

REPEATS_S = 15.0
"""How long after a start the processes may repeat what they had forwarded before it."""


def on_forwarded(machine: StateMachine, forwarded: c.Forwarded) -> Any:
    """Apply a command once. The reply to a repeat is the job as it is now, if it is about one."""
    facts, name = machine.tables.facts, FORWARDED + forwarded.run
    numbers = [each for each in map(int, facts.text(name).split()) if each >= forwarded.oldest]
    command = forwarded.command
    if forwarded.number in numbers:
        job_id = getattr(command, "job_id", None)
        return None if job_id is None else machine.handle(c.LookUp(job_id))
    reply = machine.handle(command)
    numbers.append(forwarded.number)
    machine.tables.put_fact(Fact(name, " ".join(map(str, numbers))))
    return reply


def on_forget_run(machine: StateMachine, act: c.ForgetRun) -> None:
    """Forget the numbers of a process, unless there are new ones."""
    if machine.tables.facts.text(FORWARDED + act.run) == act.numbers:
        machine.tables.remove_fact(FORWARDED + act.run)


def to_forget(facts: Iterable[Fact]) -> Iterator[StartTimer]:
    """Yield the timers for processes that may have ended before this start."""
    for fact in facts:
        if fact.id.startswith(FORWARDED):
            forget = c.ForgetRun(fact.id.removeprefix(FORWARDED), str(fact.value))
            yield StartTimer(forget, REPEATS_S, is_spread=False)

"""The line: new rules in slices, and that it costs the same however long it is."""

from __future__ import annotations

from sanic_dispatch.core import commands as c
from sanic_dispatch.core import effects as e
from sanic_dispatch.core.job import Job
from sanic_dispatch.core.line import SLICE_JOBS, Line, Ordering
from sanic_dispatch.core.present_rules import KEPT_UNUSED
from sanic_dispatch.core.receipts import Proof
from sanic_dispatch.core.state_machine import Now, Placed, StateMachine
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.core.topic import Policy
from sanic_dispatch.core.worker import Key, Worker

START_S = 1_732_412_340.0
AT = to_rfc3339(START_S)
NOW = Now(START_S, 0.0)


def robot(name: str, rule: str) -> Worker:
    return Worker(f"http://engine/{name}/", AT, Key(name, "a1"), rule=rule)


def opened(policy: Policy, orders: int) -> StateMachine:
    machine = StateMachine(policy)
    machine.apply(c.Recover("5e" * 32), NOW)
    for number in range(orders):
        drink = b"gin" if number % 100 == 99 else b"beer"
        machine.apply(c.Submit(f"{number}", b'{"drink": "%b"}' % drink), NOW)
    return machine


def test_a_new_rule_is_matched_in_slices() -> None:
    """Until it is through, its worker gets nothing; jobs that come meanwhile are matched, too."""
    machine = opened(Policy(), 3 * SLICE_JOBS)
    line = machine.tables.jobs.line
    applied = machine.apply(c.Register(robot("r1", "match.drink=gin")), NOW)
    assert applied.reply is None
    assert not line.is_matched("match.drink=gin")
    machine.apply(c.Submit("new", b'{"drink": "gin"}'), NOW)
    # Another one with another rule comes meanwhile: it is matched in the next pass.
    machine.apply(c.Register(robot("r2", "not.drink=beer")), NOW)
    slices, given = 0, []
    (timer,) = [each for each in applied.effects if isinstance(each, e.StartTimer)]
    assert timer.command == c.MatchRules()
    while line.is_matching:
        events = machine.apply(c.MatchRules(), NOW).events
        given += [(each.job.id, each.job.worker.id) for each in events if each.job.worker]
        slices += 1
    assert slices <= 2 * 4
    assert given == [("99", "http://engine/r1/"), ("199", "http://engine/r2/")]
    assert machine.tables.jobs.line.head_for("match.drink=gin").job.id == "299"


def test_a_slice_that_was_undone_goes_on() -> None:
    """The timer is set again after an undo; what was found out is not forgotten."""
    machine = opened(Policy(), 3 * SLICE_JOBS)
    machine.tables.take_changes()
    machine.apply(c.Register(robot("r1", "match.drink=gin")), NOW)
    machine.undo(machine.tables.take_changes(), machine.number - 1)
    applied = machine.apply(c.LookUp("1"), NOW)
    assert e.StartTimer(c.MatchRules(), 0.0, is_spread=False) in applied.effects


def test_rules_that_nobody_has_any_more_are_forgotten() -> None:
    """But the last ones, since robots are away for a moment after each job."""
    machine = opened(Policy(), 0)
    for number in range(KEPT_UNUSED + 20):
        machine.apply(c.Register(robot(f"r{number}", f"match.drink=d{number}")), NOW)
        machine.apply(c.DropWorker(f"http://engine/r{number}/"), NOW)
    assert len(machine.tables.jobs.line.rules) == KEPT_UNUSED
    assert len(machine.tables.rules) == 0


def test_a_job_rises_a_level_for_every_step() -> None:
    """To the best level at most; of jobs on one level the older one comes first."""
    jobs: dict[str, Job] = {}
    line = Line(jobs.get, Ordering(priority_step_s=10.0))
    for number, (priority, came_s) in enumerate(((7, 0.0), (3, 25.0), (0, 69.0)), 1):
        job = Job(
            str(number), number, b"1", to_rfc3339(START_S + came_s), number, priority=priority
        )
        jobs[job.id] = job
        line.advance(START_S + came_s)
        line.add(job)
    orders = {}
    for at_s in (69.0, 70.0, 500.0):
        line.advance(START_S + at_s)
        orders[at_s] = "".join(job.id for job in line)
    # At 69 s the first is on level 1, as one of priority 1 is; the second on 3 - 4, which is 0.
    assert orders == {69.0: "231", 70.0: "123", 500.0: "123"}


def test_a_clock_that_was_set_back_takes_back_what_has_risen_by_it() -> None:
    """A restart would, too; else new jobs would be on the best level until the clock is there."""
    machine = StateMachine(Policy(priorities=True))
    machine.apply(c.Recover("5e" * 32), NOW)
    machine.apply(c.Submit("first", b"1", priority=7), NOW)
    machine.apply(c.Pause(True, "clock"), Now(START_S + 86_400.0, 1.0))
    machine.apply(c.Submit("urgent", b"1", priority=0), Now(START_S + 2.0, 2.0))
    line = machine.tables.jobs.line
    assert [job.id for job in line] == ["urgent", "first"]
    machine.apply(c.Submit("later", b"1", priority=0), Now(START_S + 7 * 300.0, 3.0))
    assert [job.id for job in line] == ["first", "urgent", "later"]


def test_an_order_that_comes_back_was_not_served() -> None:
    """Its customer has the same turn as before, and it its own place."""
    machine = StateMachine(Policy(fair_by="/name"))
    machine.apply(c.Recover("5e" * 32), NOW)
    machine.apply(c.Register(robot("r1", "")), NOW)
    for job_id, name in (("x0", b"x"), ("y", b"y"), ("x2", b"x")):
        machine.apply(c.Submit(job_id, b'{"name":"%b"}' % name), NOW)
    machine.apply(c.DeliveryRefused("x0", 1, "503"), NOW)
    assert [job.id for job in machine.tables.jobs.line] == ["x0", "y", "x2"]


def test_an_order_that_is_done_after_its_lease_was_served() -> None:
    """Its customer has had a turn, as if the report had come in time."""
    machine = StateMachine(Policy(fair_by="/name", lease_s=60.0))
    machine.apply(c.Recover("5e" * 32), NOW)
    machine.apply(c.Submit("ada 1", b'{"name":"ada"}'), NOW)
    machine.apply(c.Register(robot("r1", "")), NOW)
    (look,) = machine.apply(c.AnswerWritten("ada 1", 1), NOW).effects
    assert isinstance(look, e.StartTimer)
    machine.apply(look.command, Now(START_S + 60.0, 60.0))
    for name in ("ada 2", "bob"):
        machine.apply(c.Submit(name, b'{"name":"%b"}' % name[:3].encode()), NOW)
    assert [job.id for job in machine.tables.jobs.line] == ["ada 1", "bob", "ada 2"]
    done = machine.apply(c.Complete("ada 1", Proof(key=Key("r1", "a1"))), NOW).reply
    assert isinstance(done, Placed)
    assert [job.id for job in machine.tables.jobs.line] == ["bob", "ada 2"]


def test_turns_before_a_move_count_no_more() -> None:
    """Elsewhere events are numbered anew, and those of before would be later for a long time."""
    machine = StateMachine(Policy(fair_by="/name"))
    machine.number = 5000
    machine.apply(c.Recover("5e" * 32), NOW)
    machine.apply(c.Submit("ada", b'{"name":"ada"}'), NOW)
    served = machine.apply(c.Register(robot("r1", "")), NOW).reply
    assert isinstance(served, Job)
    assert served.turn > 5000
    for number, expected in ((served.turn, ["bob", "ada 2"]), (0, ["ada 2", "bob"])):
        moved = StateMachine(Policy(fair_by="/name"))
        moved.number = number
        moved.load([served], [], [])
        moved.apply(c.Recover("5e" * 32), NOW)
        for name in ("ada 2", "bob"):
            moved.apply(c.Submit(name, b'{"name":"%b"}' % name[:3].encode()), NOW)
        assert [job.id for job in moved.tables.jobs.line] == expected


def test_a_turn_is_that_of_the_robot_as_it_came_last() -> None:
    """A robot that gets its order again may take others by then; a restart reads the same turns."""
    machine = StateMachine(Policy(fair_by="/name"))
    machine.apply(c.Recover("5e" * 32), NOW)
    machine.apply(c.Submit("ada gin", b'{"name":"ada","drink":"gin"}'), NOW)
    for url, drink in (("r1", "gin"), ("r2", "beer")):
        came = robot(url, f"match.drink={drink}")._replace(key=Key("i1", "a1"))
        given = machine.apply(c.Register(came, lost=url == "r2"), NOW).reply
        assert isinstance(given, Job)
    for name in ("ada", "bob"):
        machine.apply(
            c.Submit(f"{name} beer", b'{"name":"%b","drink":"beer"}' % name.encode()), NOW
        )
    restarted = StateMachine(Policy(fair_by="/name"))
    restarted.number = machine.number
    restarted.load([given, *machine.tables.jobs.line], [], [])
    for each in (machine, restarted):
        assert [job.id for job in each.tables.jobs.line] == ["bob beer", "ada beer"]


def test_a_turn_at_one_robot_is_none_at_another() -> None:
    """While a customer is served by robots that make other drinks, it keeps its turn for this."""
    machine = StateMachine(Policy(fair_by="/name"))
    machine.apply(c.Recover("5e" * 32), NOW)
    for number, (name, drink) in enumerate(
        (("ada", "gin"), ("ada", "gin"), ("bob", "gin"), ("bob", "gin"), *3 * [("ada", "beer")])
    ):
        data = f'{{"name": "{name}", "drink": "{drink}"}}'.encode()
        machine.apply(c.Submit(f"{name} {drink} {number}", data), NOW)
    given = []
    for number in range(4):
        for drink in ("gin", "beer"):
            worker = robot(f"{drink}{number}", f"match.drink={drink}")
            job = machine.apply(c.Register(worker), NOW).reply
            given += [job.id] if job and drink == "gin" else []
    assert given == ["ada gin 0", "bob gin 2", "ada gin 1", "bob gin 3"]

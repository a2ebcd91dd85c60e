"""The benchmarks measure a running server, and find its numbers."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from benchmarks.__main__ import add, known_in, show_goals
from benchmarks.drive import wire
from benchmarks.drive.load import size_of_first
from benchmarks.drive.plan import QUICK
from benchmarks.drive.servers import TOKEN, ours
from benchmarks.measure import connected, instructions, memory, replay, rules, sharing, tuning
from benchmarks.measure.module_changes import CHANGES_OF_A_FRAME
from benchmarks.report import document, goals
from benchmarks.report.figures import Figure, quantile, ratio
from benchmarks.report.tables import Report, Table
from sanic_dispatch.config.settings import Mode
from sanic_dispatch.replay.comparison import replay as run_again
from sanic_dispatch.replay.evening_source import EveningSpan, EventWithData, evening_in
from sanic_dispatch.replay.scenario import Scenario
from sanic_dispatch.storage.event_record import decode_event
from tests.support.redis import program
from tests.support.server import ROOT, running_service

OPEN_TO_WEBHOOKS = {"allow_webhook": ("127.0.0.0/8",), "operator_tokens": (TOKEN,)}


def test_what_make_bench_installs() -> None:
    """The plugins whose options pytest is given are there: an unknown option is an error."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    options = project["tool"]["pytest"]["ini_options"]
    plugins = {"asyncio_mode": "pytest-asyncio", "timeout": "pytest-timeout"}
    needed = {plugin for option, plugin in plugins.items() if option in options}
    for extra in ("bench", "test"):
        assert needed <= {re.split("[>=]", each)[0] for each in extras[extra]}


async def measured(tmp_path: Path, *names: str, **settings: object) -> dict[str, object]:
    """Return what the tool prints about a running server of ours."""
    data = tmp_path / "numbers.json"
    async with running_service(**settings) as service:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks", "run", *names, "--quick", "--only-urls",
            "--url", service.base_url, "--json", str(data),
            cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    return json.loads(data.read_text())


async def test_it_measures_a_running_server(tmp_path: Path) -> None:
    """Each order and registration of a round is answered as the protocol says."""
    found = await measured(tmp_path, "depth", "keyed", "latency", "cycles")
    for name in ("depth", "depth-keyed"):
        for what, status in (("submissions", "202"), ("registrations", "200")):
            for sides in found[name][what].values():
                (numbers,) = sides.values()
                assert list(numbers["statuses"]) == [status]
    (latency,) = found["latency"].values()
    assert latency["missing"] == [0]
    (cycles,) = found["cycles"].values()
    assert cycles["per_s"][0] > 0
    assert cycles["missing"] == [0]


async def test_a_worker_that_waits_at_a_websocket_costs_little() -> None:
    """At most 6 KiB, its records included: 2,000 of them wait in 12 MiB."""
    assert 0 < await memory.each_connected(ours(Mode.IN_MEMORY), 500) <= 6 * 1024


async def test_orders_come_to_workers_that_wait_at_websockets_and_callbacks() -> None:
    """Each order comes to a worker, by either way."""
    found = (await connected.measure(QUICK, [ours(Mode.IN_MEMORY)])).data
    assert list(found) == ["callback", "websocket"]
    for way in found.values():
        assert way["missing"] == [0]
        assert all(0 < ms < 5_000 for ms in way["p50_ms"])


async def test_rules_are_measured_by_registrations_that_take_a_job() -> None:
    """Each takes one in its answer, so as many orders wait in the end as in the beginning."""
    found = (await rules.measure(QUICK, [ours(Mode.IN_MEMORY)])).data
    assert list(found) == [f"{rules.LEAST}"]
    for what, status in (("submissions", 202), ("registrations", 200)):
        for side in found[f"{rules.LEAST}"][what].values():
            assert list(side["statuses"]) == [status]


async def test_repeated_registrations_are_not_taken_for_new_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They get 200 and the same job again, and leave the line as long as it was."""

    def repeating(*_: object, **__: object) -> Callable[[], bytes]:
        callbacks = cycle(range(rules.ROBOTS))
        return lambda: wire.registration(f"http://127.0.0.1:9/callbacks/{next(callbacks)}/")

    monkeypatch.setattr(wire, "keyed_registrations", repeating)
    with pytest.raises(click.ClickException, match='jobs{state="waiting"}'):
        await rules.measure(QUICK, [ours(Mode.IN_MEMORY)])


async def test_with_bad_workers_nothing_is_stuck(tmp_path: Path) -> None:
    """With late and dead workers each order is taken, and each customer answered."""
    found = await measured(tmp_path, "faults", callback_timeout_s=0.5, submit_wait_s=0.2)
    (evening,) = found["faults"].values()
    assert (evening["stuck"], evening["unanswered"]) == (0, 0)
    assert evening["taken"] == 50


async def test_orders_are_measured_while_others_follow(tmp_path: Path) -> None:
    """The latency of each order that was due is in the numbers."""
    found = await measured(tmp_path, "crowd")
    assert list(found["crowd"]) == ["nobody", "50"]
    assert all(0 < ms < 5_000 for side in found["crowd"].values() for ms in side["p99_ms"])


async def test_webhooks_are_measured(tmp_path: Path) -> None:
    """All good endpoints are told of each event, and orders beside are timed."""
    found = (await measured(tmp_path, "webhooks", **OPEN_TO_WEBHOOKS))["webhooks"]
    assert found["messages"]["missing"] == 0
    assert all(0 < seconds < 10 for seconds in found["messages"]["p99_s"])
    assert list(found["orders"]) == ["nobody", "20"]


async def test_one_change_is_measured_in_all_ways_of_sending_it(tmp_path: Path) -> None:
    """Each way reaches all subscribers, and takes time."""
    ways = (await measured(tmp_path, "fanout"))["fanout"]["50"]
    assert list(ways) == ["hub", "await ws.send", "websockets.broadcast", "bare transport.write"]
    assert all(0 < ms < 5_000 for way in ways.values() for ms in way["ms"])
    assert all(us > 0 for way in ways.values() for us in way["us_each"])


async def test_dispatchers_that_share_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cost with Redis beside in memory, and the time to a take-over."""
    program()
    monkeypatch.setattr(sharing, "COUNTS", (2,))
    monkeypatch.setattr(sharing, "ROUNDS_EACH", 1)
    found = (await sharing.measure(QUICK, [])).data
    assert list(found) == ["InMemory", "Redis, 2 dispatchers, forwarded"]
    assert all(seconds > 0 for side in found.values() for seconds in side["cpu_s"])
    assert found["InMemory"]["redis_s"] == [0.0]
    assert found["Redis, 2 dispatchers, forwarded"]["redis_s"][0] > 0
    assert found["Redis, 2 dispatchers, forwarded"]["take_over_s"][0] > 0


def test_a_ratio_is_of_rounds_that_took_turns() -> None:
    """A slow moment that affects both sides of a round does not count."""
    assert ratio([10, 5], [20, 10]) == Figure(0.5, 0.5, 0.5)
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert Figure.of([1.0, 3.0, 2.0]).show(1) == "2.0 (1.0–3.0)"


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabGET", 40),
        (b"HTTP/1.1 200 OK\r\ncontent-length:2\r\n\r\na", 0),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", 59),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", 0),
        (b"PUT / HTTP/1.1\r\nHost: a", 0),
    ],
)
def test_the_end_of_a_message(data: bytes, size: int) -> None:
    """By its length or its last chunk; an incomplete one is waited for."""
    assert size_of_first(data) == size


def test_the_parts_of_a_request_are_the_whole_of_it() -> None:
    """The last part is the remainder; ratios are to a submission of the floor."""
    requests = {"bare Sanic": (100e3, 200e3), "InMemory": (250e3, 800e3)}
    steps = {
        "submit": 40e3, "submit and register": 240e3,
        "event": 10e3, "event and fold": 30e3, "log": 50e3,
        "hand-over": 20e3, "hand-over and fold": 70e3, "hand-over and log": 120e3,
    }  # fmt: skip
    for table, cells in (
        (instructions.of_a_submission(requests, steps), ["40 k", "20 k", "50 k", "140 k"]),
        (instructions.of_a_registration(requests, steps), ["200 k", "50 k", "100 k", "200 k"]),
    ):
        assert [row[2] for row in table.rows] == cells
        assert table.rows[0][1] == f"{float(cells[0].split()[0]) / 100:.2f}"


def test_a_table_is_written_between_its_markers(tmp_path: Path) -> None:
    """Other text stays; a report without markers is skipped."""
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- one -->\nold\n<!-- end of one -->\nafter\n")
    table = Table(["a", "b"], [["1", "2"]])
    document.write(page, [Report("one", "One", [table]), Report("two", "Two", [table])])
    assert page.read_text() == (
        "before\n<!-- one -->\n\n**One**\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n\n"
        "<!-- end of one -->\nafter\n"
    )


async def test_one_order_has_few_changes_of_module() -> None:
    """From the request to the last frame."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.measure.module_changes",
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    changes, calls = _row_of(said.decode(), "all")
    _, frames = _row_of(said.decode(), "web/websocket.py")
    assert changes < calls
    assert changes - CHANGES_OF_A_FRAME * (frames - 1) <= 236, said.decode()


def _row_of(table: str, module: str) -> tuple[int, int]:
    """Return the changes into a module, and its calls."""
    (row,) = [line for line in table.splitlines() if line.startswith(f"| {module} |")]
    changes, calls = (int(cell.replace(",", "")) for cell in row.strip(" |").split("|")[1:])
    return changes, calls


def test_a_goal_is_judged_by_what_was_measured() -> None:
    """Reached, missed, or absent if it was not measured."""
    costs = {"bare Sanic": [100.0, 60.0], "InMemory": [50.0, 60.0], "Sqlite": [100.0, 75.0]}
    sides = {side: {"server_us": each} for side, each in costs.items()}
    (table,) = goals.report({"depth": {"submissions": {"0": sides}}}).tables
    assert list(table.rows) == [
        ["CPU of a bare request ÷ of a submission, InMemory", "≥ 1.5", "1.50", "yes"],
        ["CPU of a bare request ÷ of a submission, Sqlite", "≥ 1", "0.90", "**no**"],
    ]


def test_goals_with_a_maximum() -> None:
    """Such a goal is reached by values up to the target."""
    found: dict[str, object] = {
        "cycles": {"bare Sanic": {"server_us": [100.0]}, "InMemory": {"server_us": [150.0]}},
        "sharing": {"InMemory": {"cpu_s": [1.0]}, "Redis": {"cpu_s": [1.5], "redis_s": [0.25]}},
        "modules": {"changes": 200},
    }
    (table,) = goals.report(found).tables
    assert [row[1:] for row in table.rows] == [
        ["≤ 0.7", "1.50", "**no**"],
        ["≤ 2", "1.75", "yes"],
        ["≤ 200", "200.00", "yes"],
    ]


def test_the_goals_by_several_runs(tmp_path: Path) -> None:
    """The median counts, of what all of them have measured."""
    files = [tmp_path / name for name in ("1.json", "2.json", "3.json")]
    for file, changes in zip(files, (190, 230, 200), strict=True):
        file.write_text(json.dumps({"modules": {"changes": changes}}))
    add(known_in(files[0]), Report("memory", "", [], {"InMemory": {"job": 600}}), files[0])
    shown = CliRunner().invoke(show_goals, [*map(str, files)], catch_exceptions=False).output
    (row,) = [line for line in shown.splitlines() if "≤" in line]
    assert row.split(" | ")[1:] == ["≤ 200", "200.00 (190.00–230.00)", "yes |"]


def test_a_goal_of_a_depth_that_was_just_measured() -> None:
    """It is judged as if it had been read from the file, where depths are texts."""
    known: dict[str, object] = {}
    add(known, Report("restart", "", [], {"CachedJsonFile": {100_000: [0.75]}}), None)
    assert [row[2] for row in goals.report(known).tables[0].rows] == ["0.75"]


def test_a_submission_counts_with_the_registration_that_takes_it() -> None:
    """Half the rate of both is half the rate together, whatever each costs."""
    sides = {
        depth: {"bare Sanic": {"per_s": [100.0]}, "CachedJsonFile": {"per_s": [rate]}}
        for depth, rate in (("0", 50.0), ("100000", 25.0))
    }
    found = {"depth": {"submissions": sides, "registrations": sides}}
    rows = {row[0]: row[2] for row in goals.report(found).tables[0].rows}
    assert rows["the same, with the registrations that take them, CachedJsonFile"] == "0.50"


def test_depths_are_compared_relative_to_the_floor() -> None:
    """If the machine is half as fast an hour later, the ratio of the depths is the same."""
    shallow = {"bare Sanic": {"per_s": [100.0, 200.0]}, "Sqlite": {"per_s": [50.0, 100.0]}}
    deep = {"bare Sanic": {"per_s": [50.0, 60.0]}, "Sqlite": {"per_s": [20.0, 24.0]}}
    (table,) = goals.report({"depth": {"submissions": {"0": shallow, "100000": deep}}}).tables
    assert list(table.rows) == [
        ["100,000 deep ÷ 0 deep: submissions, Sqlite", "≥ 0.8", "0.80", "yes"]
    ]


def test_a_sync_is_no_time_of_ours() -> None:
    """What the disk needs is taken off; it is not known without its measurement."""
    found: dict[str, object] = {
        "latency": {
            "bare Sanic": {"p50_ms": [0.5, 0.6], "p99_ms": [1.0, 1.0]},
            "CachedJsonFile": {"p50_ms": [1.0, 1.3], "p99_ms": [2.5, 3.7]},
        }
    }
    late = ["the same, p99, CachedJsonFile", "≤ 2", "2.10", "**no**"]
    assert list(goals.report(found).tables[0].rows) == [late]
    found["fsync"] = {"append 4 KiB, fsync": [4000.0]}
    sooner = ["the same, CachedJsonFile less one sync", "≤ 0.4", "0.35", "yes"]
    assert list(goals.report(found).tables[0].rows) == [sooner, late]


async def test_an_evening_is_run_again() -> None:
    """The command reads the log that the tool has written, and pairs as that says."""
    found = (await replay.measure(QUICK, ())).data
    assert list(found) == ["100"]
    assert found["100"]["cpu_s"] > 0
    assert found["100"]["memory_mb"] > 10
    evening = evening_in(
        (EventWithData(decode_event(json.loads(each.line))) for each in replay.events(300)),
        EveningSpan(),
    )
    compared = run_again(evening.recording, evening.summary, Scenario())
    assert (compared.pairing.same, compared.pairing.different) == (300, 0)


async def test_other_parameters_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped ones score 1; what differs from them scores something else."""
    monkeypatch.setattr(tuning, "TRIED", {"ratio_samples": (60, 30)})
    found = (await tuning.measure(replace(QUICK, orders=60), ())).data
    assert found["ratio_samples=60"]["score"] == 1.0
    assert found["ratio_samples=30"]["score"] != 1.0

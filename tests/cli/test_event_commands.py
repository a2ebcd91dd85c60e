"""events, stats and export-log: what happened, on a terminal and in files."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import pty
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import StringIO
from pathlib import Path
from shutil import copytree
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from sanic_dispatch.cli.main import cli
from sanic_dispatch.config.settings import Mode
from sanic_dispatch.history.event_fields import NAMES
from sanic_dispatch.storage.event_log import Damage, Hole, Missing, Page, Question
from tests.history.test_xes import traces_of, transitions
from tests.support.commands import ended, line_of, run, run_here, start
from tests.support.http_requests import CALLBACK, register
from tests.support.server import Service, eventually, free_port, running_service

TOKEN = "operator-token"
KEY = {"CPEE_INSTANCE_UUID": "i", "CPEE_ACTIVITY": "a", "CPEE_LABEL": "Ada"}
NAMES_OF_COMMANDS = ("events", "stats", "export-log")


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running_service(operator_tokens=(TOKEN,), submit_wait_s=0.1) as service:
        yield service


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def at(service: Service) -> tuple[str, ...]:
    return ("--url", service.base_url, "--token", TOKEN)


async def asked(service: Service, *words: str) -> Result:
    """The command in a thread of its own: the service runs in this one's loop."""
    return await asyncio.to_thread(CliRunner().invoke, cli, [*words, *at(service)])


async def an_order(service: Service) -> None:
    """Submit an order that a robot takes and serves."""
    await service.submit({"drink": "mojito"})
    await register(service, **KEY)
    await service.app.ctx.dispatcher.batches.idle()
    await register(service, CALLBACK + "2/", **KEY)


# ---- events


async def test_events_as_lines(service: Service) -> None:
    """Time, event, attempt, worker; then the order and the rest by name."""
    await an_order(service)
    done = await asked(service, "events", "--kind", "job.done")
    assert (done.exit_code, done.stderr) == (0, "")
    _, event, attempt, worker, *rest = done.stdout.split()
    assert (event, attempt, worker) == ("job.done", "#1", "Ada")
    assert "order=1" in rest
    assert "reason=" not in done.stdout


async def test_events_as_json(service: Service) -> None:
    """One object a line, as the service sends them; all pages."""
    for n in range(1100):
        await service.app.ctx.dispatcher.submit(str(n).encode())
    done = await asked(service, "events", "--json", "--kind", "job.submitted")
    tickets = [json.loads(line)["ticket"] for line in done.stdout.splitlines()]
    assert tickets == list(range(1, 1101))


async def test_conditions(service: Service) -> None:
    """Each option is one."""
    await an_order(service)
    for words, kinds in (
        (("--ticket", "1", "--after", "2"), ["job.confirmed", "job.done"]),
        (("--worker", "Ada", "--text", "ada", "--after", "4"), ["worker.registered"]),
        (("--from", "2999-01-01"), []),
        (("--to", "2000-01-01T00:00:00+01:00"), []),
    ):
        done = await asked(service, "events", "--json", *words)
        assert [json.loads(line)["event"] for line in done.stdout.splitlines()] == kinds


async def test_what_is_missing_is_said_once(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On standard error, and not once a page; by every command."""
    await service.submit(1)
    damage, hole = Damage(Path("segment-1"), 7, "torn"), Hole(3, 4, 0.0, 1.0)

    def find(question: Question) -> Page:
        return Page([], None if question.after == 5 else 5, [damage], [hole])

    def scan(*_: float | None) -> list[Missing]:
        return [damage, hole]

    monkeypatch.setattr(service.app.ctx.events._log, "find", find)
    monkeypatch.setattr(service.app.ctx.events._log, "scan", scan)
    for words in (("events",), ("export-log",), ("history", "1"), ("stats",)):
        done = await asked(service, *words)
        assert (done.exit_code, done.stderr.splitlines()) == (
            0,
            [
                "sanic-dispatch: segment-1: damaged at byte 7: torn",
                "sanic-dispatch: events 3 to 4 are missing, "
                "from 1970-01-01T00:00:00.000000Z to 1970-01-01T00:00:01.000000Z",
            ],
        )


async def test_follow(service: Service) -> None:
    """Only what happens from now on, until Ctrl-C."""
    await service.submit(1)

    async def is_following() -> bool:
        return service.app.ctx.responses[200] >= 2  # the last number, and a page

    process = await start("events", "--follow", "--json", *at(service))
    await eventually(is_following, within_s=20)
    for n in range(2, 4):
        await service.submit(n)
        line = await line_of(process.stdout, lambda line: "job.submitted" in line)
        assert json.loads(line)["ticket"] == n
    process.send_signal(signal.SIGINT)
    done = await ended(process)
    assert (done.code, done.err) == (0, "")


async def test_follow_over_a_restart(tmp_path: Path) -> None:
    """It tries again, and goes on behind what it has printed; also where numbers start again."""
    port = free_port()
    url = ("--url", f"http://127.0.0.1:{port}/", "--token", TOKEN)
    for mode, missed in ((Mode.CACHED_JSON_FILE, []), (Mode.IN_MEMORY, [1])):
        settings = {"mode": mode, "data_dir": tmp_path, "operator_tokens": (TOKEN,)}
        async with running_service(port=port, **settings) as service:
            for n in range(3):
                await service.submit(n)
            words = ("events", "-F", "--json", "--kind", "job.submitted", "--after", "0")
            process = await start(*words, *url)
            seen = [await _ticket(process) for _ in range(3)]
        assert "trying again" in await line_of(process.stderr, bool)
        async with proxy_without_service(port) as is_asked:
            await is_asked.wait()
        async with running_service(port=port, **settings) as service:
            await service.submit("new")
            last = await _ticket(process)
        assert last == (missed or [seen[-1] + 1])[0]
        process.send_signal(signal.SIGINT)
        await ended(process)


@asynccontextmanager
async def proxy_without_service(port: int) -> AsyncIterator[asyncio.Event]:
    """Answer as a proxy of a service that is restarted; yield an event of the first request."""
    is_asked = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()
        is_asked.set()

    async with await asyncio.start_server(answer, "127.0.0.1", port):
        yield is_asked


async def _ticket(process: Any) -> int:
    return int(json.loads(await line_of(process.stdout, bool))["ticket"])


# ---- stats


async def test_stats(service: Service) -> None:
    """A table; with --json the rows as the service sends them."""
    await an_order(service)
    table = (await asked(service, "stats", "--by", "robot")).stdout.splitlines()
    assert table[0].split()[:3] == ["robot", "submitted", "done"]
    assert table[1].split()[:3] == ["Ada", "1", "1"]
    (row,) = (await asked(service, "stats", "--by", "drink", "--json")).stdout.splitlines()
    assert json.loads(row)["drink"] == "mojito"
    assert not (await asked(service, "stats", "--json", "--from", "2999-01-01")).stdout
    assert (await asked(service, "stats")).stdout.startswith("hour")


# ---- export-log


async def test_export_formats(service: Service) -> None:
    """The same events in each; those of XES are of orders."""
    await an_order(service)
    lines = (await asked(service, "export-log")).stdout.splitlines()
    events = [json.loads(line) for line in lines]
    assert len(events) == 5
    table = await asked(service, "export-log", "--format", "csv")
    rows = list(csv.DictReader(StringIO(table.stdout)))
    assert tuple(rows[0]) == NAMES
    assert [int(row["n"]) for row in rows] == [event["n"] for event in events]
    traces = traces_of((await asked(service, "export-log", "--format", "xes")).stdout)
    assert transitions(traces["1"]) == ["schedule", "assign", "start", "complete"]


async def test_what_xes_leaves_out(service: Service) -> None:
    """Orders that are not whole within the span are counted on standard error."""
    await an_order(service)
    await service.submit(2)
    first = json.loads((await asked(service, "events", "--json")).stdout.splitlines()[0])
    done = await asked(service, "export-log", "--format", "xes", "--to", first["at"])
    assert (traces_of(done.stdout), done.stderr) == ({}, "")
    done = await asked(service, "export-log", "--format", "xes")
    assert done.stderr == (
        "sanic-dispatch: left out: orders that were submitted before: 0, that have not ended: 1\n"
    )


@pytest.mark.parametrize("mode", [Mode.CACHED_JSON_FILE, Mode.SQLITE], ids=str)
async def test_export_of_a_folder(mode: Mode, tmp_path: Path) -> None:
    """Of one that nobody serves, the same; also after a kill."""
    folder, killed = tmp_path / "data", tmp_path / "killed"
    folder.mkdir()
    settings = {"mode": mode, "data_dir": folder, "operator_tokens": (TOKEN,)}
    async with running_service(**settings) as service:
        await an_order(service)
        served = await asked(service, "export-log")
        busy = await run("export-log", "--data-dir", str(folder))
        copytree(folder, killed)
    assert (busy.code, "is used by another dispatcher" in busy.err) == (1, True)
    assert len(served.stdout.splitlines()) == 5
    for each in (folder, killed):
        done = await run_here("export-log", "--data-dir", str(each))
        assert (done.code, done.err, done.out) == (0, "", served.stdout)
    limited = await run_here("export-log", "--data-dir", str(folder), "--from", "2999-01-01")
    assert (limited.code, limited.out) == (0, "")


async def test_a_folder_without_events(tmp_path: Path) -> None:
    """It is said in a line."""
    nothing = await run_here("export-log", "--data-dir", str(tmp_path))
    assert (nothing.code, nothing.out) == (1, "")
    assert nothing.err == f"sanic-dispatch: data folder {tmp_path} holds no history\n"


async def test_progress(service: Service, tmp_path: Path) -> None:
    """A bar on the terminal while the events go to a file."""
    await an_order(service)
    ours, theirs = pty.openpty()
    with (tmp_path / "events").open("wb") as file:
        process = await start(
            *("export-log", *at(service)), stdout=file, stderr=theirs, env={"TERM": "xterm"}
        )
        os.close(theirs)
        assert await process.wait() == 0
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert "exporting" in shown
    assert len((tmp_path / "events").read_text().splitlines()) == 5


# ---- what goes wrong


@pytest.mark.parametrize(
    "words",
    [
        ("events", "--kind", "job.eaten"),
        ("events", "--from", "yesterday"),
        ("events", "--ticket", "0"),
        ("events", "--follow", "--to", "2024-11-24"),
        ("stats", "--by", "day"),
        ("export-log", "--format", "xml"),
        ("export-log", "--data-dir", ".", "--url", "http://localhost:1/"),
        *((name, "--from", "2024-11-24", "--to", "2024-11-23") for name in NAMES_OF_COMMANDS),
    ],
)
def test_wrong_usage(words: tuple[str, ...]) -> None:
    """What cannot be right is refused before anything is asked, with 2."""
    assert CliRunner().invoke(cli, words).exit_code == 2


@pytest.mark.parametrize("name", NAMES_OF_COMMANDS)
async def test_without_a_token(service: Service, name: str) -> None:
    """It is the operator's affair."""
    words = [name, "--url", service.base_url]
    done = await asyncio.to_thread(CliRunner().invoke, cli, words)
    assert done.exit_code == 1
    assert "the operator token is needed" in done.stderr


@pytest.mark.parametrize("name", NAMES_OF_COMMANDS)
def test_help_explains_everything(name: str) -> None:
    """Each command has examples, and each option a line."""
    done = CliRunner().invoke(cli, [name, "--help"])
    assert done.exit_code == 0
    assert "Examples:" in done.stdout
    options = [each for each in cli.commands[name].params if isinstance(each, click.Option)]
    assert all(option.help for option in options)

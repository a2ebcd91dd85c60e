"""``sanic-dispatch ctl``: operators' actions from a terminal."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sanic_dispatch.cli.main import cli
from tests.support.http_requests import CALLBACK, ask, register
from tests.support.server import Service, running_service

TOKEN = "operator-token"
WAITS = {"CPEE-CALLBACK": CALLBACK}


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running_service(operator_tokens=(TOKEN,), submit_wait_s=0.1) as service:
        yield service


@pytest.fixture(autouse=True)
def ada(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the user's name for the log."""
    monkeypatch.setenv("LOGNAME", "ada")


async def run(service: Service, *arguments: str, token: str = TOKEN, **options: Any) -> Result:
    """Run the command in a thread, since the service runs in this loop."""
    words = ["ctl", *arguments, "--url", service.base_url, "--token", token]
    return await asyncio.to_thread(CliRunner().invoke, cli, words, **options)


async def test_pause_and_resume(service: Service) -> None:
    """Each action is carried out, printed, and logged with name and reason."""
    done = await run(service, "pause", "--reason", "out of ice")
    assert (done.exit_code, done.stdout) == (0, "paused True\n")
    assert service.app.ctx.hub.projection.log[-1].reason == "ada: out of ice"
    done = await run(service, "resume", "--json")
    assert json.loads(done.stdout) == {"paused": False}


async def test_jobs_by_ticket_or_id(service: Service) -> None:
    """A job can be named by its ticket number or its id."""
    for n in range(3):
        _, _, job_id = await service.submit(n)
    assert (await run(service, "cancel", "1", "--yes")).exit_code == 0
    assert (await run(service, "first", job_id)).exit_code == 0
    done = await run(service, "jobs", "--json")
    states = [(job["ticket"], job["state"]) for job in map(json.loads, done.stdout.splitlines())]
    assert states == [(1, "cancelled"), (2, "waiting"), (3, "waiting")]
    assert (await service.job(job_id))["position"] == 1
    table = (await run(service, "jobs", "--state", "cancelled")).stdout.splitlines()
    assert table[0].split()[:2] == ["ticket", "state"]
    assert table[1].split()[:2] == ["1", "cancelled"]
    await register(service, CPEE_INSTANCE_UUID="i", CPEE_ACTIVITY="a")
    assert (await run(service, "put-back", "3", "-r", "spilt")).exit_code == 0
    assert (await service.job(job_id))["state"] == "waiting"


async def test_priority(service: Service) -> None:
    """A waiting job gets another priority, which the list shows."""
    _, _, job_id = await service.submit(1)
    done = await run(service, "priority", "1", "0", "--reason", "spilt", "--yes")
    assert done.exit_code == 0
    assert (await service.job(job_id))["priority"] == 0
    assert service.app.ctx.hub.projection.log[-1].reason == "ada: priority 0: spilt"
    head, row = (await run(service, "jobs")).stdout.splitlines()
    assert (head.split()[4], row.split()[3]) == ("priority", "0")
    wrong = await run(service, "priority", "1", "8")
    assert wrong.exit_code == 2
    assert "8 is not in the range 0<=x<=7" in wrong.stderr


async def test_forget(service: Service) -> None:
    """A finished job is forgotten by its number or its id."""
    _, _, job_id = await service.submit("Ada")
    refused = await run(service, "forget", "1")
    assert (refused.exit_code, refused.stderr) == (
        1, "sanic-dispatch: cannot forget: the job is waiting (409)\n",
    )  # fmt: skip
    await run(service, "cancel", "1")
    done = await run(service, "forget", "1")
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "job 1, forgotten True")
    assert (await service.job(job_id))["forgotten"] is True
    assert service.app.ctx.hub.projection.log[-1].reason == "ada"
    assert (await run(service, "forget", job_id, "--yes", "--json")).exit_code == 0


async def test_workers(service: Service) -> None:
    """Workers are listed, set aside, brought back and dropped."""
    await register(service)
    assert (await run(service, "aside", CALLBACK, "-r", "smells")).exit_code == 0
    (worker,) = (await run(service, "workers", "--json")).stdout.splitlines()
    assert json.loads(worker)["aside"] == {"cause": "operator", "reason": "ada: smells"}
    assert "operator: ada: smells" in (await run(service, "workers")).stdout
    assert (await run(service, "back", CALLBACK)).exit_code == 0
    assert (await run(service, "drop", CALLBACK)).exit_code == 0
    assert not (await run(service, "workers", "--json")).stdout


async def test_rules_of_workers(service: Service) -> None:
    """The list says what a worker takes, unless it takes any job."""
    await ask(service, "POST", "register-worker?match.drink=mojito%7Cbeer", headers=WAITS)
    head, row = (await run(service, "workers")).stdout.splitlines()
    assert head.split()[3] == "rule"
    assert "  match.drink=beer|mojito  " in row


async def test_history_ends_with_why_a_job_waits(service: Service) -> None:
    """Its last line says what it is now, and why."""

    async def last_line() -> str:
        words = ["history", "1", "--url", service.base_url, "--token", TOKEN]
        done = await asyncio.to_thread(CliRunner().invoke, cli, words)
        return done.stdout.splitlines()[-1]

    _, _, job_id = await service.submit({"drink": "beer"})
    assert await last_line() == "now: waiting, no worker is here"
    await ask(service, "POST", "register-worker?match.drink=tea", headers=WAITS)
    assert await last_line() == "now: waiting, no worker that is here takes it (drink=beer)"
    await ask(service, "DELETE", f"jobs/{job_id}")
    assert await last_line() == "now: cancelled"


async def test_errors_are_one_line(service: Service, tmp_path: Path) -> None:
    """Exit code 1: refused by the service; 2: wrong usage; 3: unreachable."""
    wrong = await run(service, "pause", token="another-token")
    assert (wrong.exit_code, wrong.stderr) == (
        1, "sanic-dispatch: the operator token is needed (401)\n",
    )  # fmt: skip
    unknown = await run(service, "cancel", "77")
    assert (unknown.exit_code, unknown.stdout) == (1, "")
    assert "there is no job with that ticket" in unknown.stderr
    words = ["ctl", "pause", "--url", "http://127.0.0.1:1/"]
    nowhere = await asyncio.to_thread(CliRunner().invoke, cli, words)
    assert nowhere.exit_code == 3
    empty = tmp_path / "empty"
    empty.touch()
    nothing = CliRunner().invoke(cli, ["ctl", "pause", "--token-file", str(empty)])
    assert nothing.exit_code == 2


async def test_a_token_from_a_file(service: Service, tmp_path: Path) -> None:
    """A token in a file is not on the command line, where other users could see it."""
    (tmp_path / "token").write_text(TOKEN + "\n")
    words = ["ctl", "pause", "--url", service.base_url, "--token-file", str(tmp_path / "token")]
    done = await asyncio.to_thread(CliRunner().invoke, cli, words)
    assert done.exit_code == 0


@pytest.mark.parametrize(("answer", "paused"), [("y\n", True), ("n\n", False), ("\n", False)])
async def test_confirmation_on_a_terminal(
    service: Service, monkeypatch: pytest.MonkeyPatch, answer: str, paused: bool
) -> None:
    """On a terminal nothing is done without a yes; --yes does not ask."""
    monkeypatch.setattr("sanic_dispatch.cli.ctl._is_terminal", lambda: True)
    done = await run(service, "pause", input=answer)
    assert "Hand out no more jobs? [y/N]" in done.stdout
    assert service.app.ctx.dispatcher.is_paused is paused
    assert "[y/N]" not in (await run(service, "pause", "--yes")).stdout


async def test_no_answer_on_a_terminal(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C at the question has the exit code of Ctrl-C, and so has the end of the input."""
    monkeypatch.setattr("sanic_dispatch.cli.ctl._is_terminal", lambda: True)
    done = await run(service, "pause", input="")
    assert (done.exit_code, done.stderr) == (130, "\n")
    assert not service.app.ctx.dispatcher.is_paused

"""``sanic-dispatch ctl webhook`` and ``ctl outbox``, on a service and a receiver."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sanic_dispatch.cli.main import cli
from tests.support.http_requests import register
from tests.support.push_phone import PushPhone
from tests.support.receiver import SECRET, Receiver, running_receiver, status
from tests.support.server import Service, eventually, running_service

TOKEN = "operator-token"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with running_receiver() as receiver:
        yield receiver


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    local = ("127.0.0.0/8",)
    async with running_service(
        operator_tokens=(TOKEN,), allow_webhook=local, allow_push=local
    ) as service:
        yield service


async def run(service: Service, *arguments: str) -> Result:
    """Run ``ctl`` in a thread, since the service runs in this loop."""
    words = ["ctl", *arguments, "--url", service.base_url, "--token", TOKEN]
    return await asyncio.to_thread(CliRunner().invoke, cli, words)


async def said(service: Service, *arguments: str) -> list[dict[str, Any]]:
    """Run ``ctl`` and return the lines of JSON that it prints."""
    done = await run(service, *arguments, "--json")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()  # with those of the log of the service in this process
    return [json.loads(line) for line in lines if line.startswith("{")]


async def test_the_life_of_a_webhook(service: Service, receiver: Receiver, tmp_path: Path) -> None:
    """Added with a secret from a file, tested, rotated, removed."""
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    given = ("--secret-file", str(tmp_path / "secret"), "--event", "job.submitted", "--payload")
    (added,) = await said(service, "webhook", "add", receiver.url(), *given)
    assert added["secret"] == SECRET
    (tested,) = await said(service, "webhook", "test", added["id"])
    assert tested == {"id": receiver.received[0].id, "delivered": True, "reason": ""}
    (listed,) = await said(service, "webhook", "list")
    assert (listed["events"], listed["payload"]) == (["job.submitted"], True)
    assert "  job.submitted  " in (await run(service, "webhook", "list")).stdout
    (rotated,) = await said(service, "webhook", "rotate", added["id"])
    assert rotated["secret"] not in ("", SECRET)
    done = await run(service, "webhook", "remove", added["id"])
    assert done.stdout == f"id {added['id']}, removed True\n"
    assert await said(service, "webhook", "list") == []


async def test_what_is_pending(service: Service, receiver: Receiver) -> None:
    """The outbox says how much, and why; it is tried again, or dropped."""
    (added,) = await said(service, "webhook", "add", receiver.url())
    receiver.answer = status(500)
    await service.submit(1)

    async def has_failed() -> bool:
        return bool(service.app.ctx.outbox.stats.failed)

    await eventually(has_failed)
    table = (await run(service, "outbox")).stdout.splitlines()
    assert table[0].split()[:3] == ["id", "state", "pending"]
    assert table[1].split()[:3] == [added["id"], "retrying", "1"]
    assert "status 500" in table[1]
    await said(service, "webhook", "continue", added["id"])
    (dropped,) = await said(service, "webhook", "drop", added["id"])
    assert (dropped["pending"], dropped["state"]) == (0, "delivering")


async def test_phones_that_were_not_told(service: Service, receiver: Receiver) -> None:
    """They are in the outbox, too; what is pending is tried again, or dropped."""
    receiver.answer = status(500)
    _, _, job = await service.submit("mojito")
    said_of_phone = PushPhone(receiver.url("send/s3cret")).subscription()
    async with service.http.put(f"{service.base_url}jobs/{job}/push", json=said_of_phone) as answer:
        assert answer.status == 204
    await register(service)

    async def has_failed() -> bool:
        return bool(service.app.ctx.push_outbox.counts.failed)

    await eventually(has_failed)
    (shown,) = await said(service, "outbox")
    assert (shown["kind"], shown["reason"]) == ("ready", "status 500")
    done = await run(service, "outbox")
    row = next(line for line in done.stdout.splitlines() if line.startswith(shown["id"]))
    assert row.split()[1:3] == ["retrying", "ready"]
    assert "s3cret" not in done.stdout
    assert await said(service, "push", "continue", shown["id"]) == [
        {"id": shown["id"], "continue": True}
    ]
    await said(service, "push", "drop", shown["id"])
    assert await said(service, "outbox") == []


@pytest.mark.parametrize("text", ["", "whsec_", "nothing"])
async def test_a_file_without_a_secret(service: Service, tmp_path: Path, text: str) -> None:
    """Exit code 2, and nothing is sent."""
    (tmp_path / "secret").write_text(text)
    given = ("--secret-file", str(tmp_path / "secret"))
    done = await run(service, "webhook", "add", "https://8.8.8.8/", *given)
    assert done.exit_code == 2
    assert await said(service, "webhook", "list") == []


async def test_what_is_refused(service: Service) -> None:
    """Exit code 1, and the service's reason."""
    done = await run(service, "webhook", "add", "http://10.0.0.1/")
    assert (done.exit_code, "not public" in done.stderr) == (1, True)

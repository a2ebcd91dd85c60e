"""backup: one line, or JSON; exit codes as of the other commands."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sanic_dispatch.config.settings import Mode
from tests.support.backup_gate import BackupGate
from tests.support.commands import ended, run, run_here, start
from tests.support.server import Service, running_service

TOKEN = "operator-token"


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    (tmp_path / "data").mkdir()
    values = {"data_dir": tmp_path / "data", "operator_tokens": (TOKEN,), "submit_wait_s": 0.1}
    async with running_service(mode=Mode.SQLITE, **values) as service:
        await service.submit({"drink": "mojito"})
        yield service


def at(service: Service) -> tuple[str, ...]:
    return ("--url", service.base_url, "--token", TOKEN)


async def test_a_line(service: Service, tmp_path: Path) -> None:
    """The folder, and what the backup has; a relative path is of where the command runs."""
    done = await run("backup", "copy", *at(service), cwd=tmp_path)
    folder = tmp_path / "copy"
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"{folder}: jobs: 1, workers: 0, events: 1, ")
    assert done.out.endswith(" kB\n")
    checked = await run_here("check", "--data-dir", str(folder))
    assert (checked.code, "waiting: 1" in checked.out) == (0, True)


async def test_as_json(service: Service, tmp_path: Path) -> None:
    """The answer of the service."""
    done = await run_here("backup", str(tmp_path / "copy"), "--json", *at(service))
    assert json.loads(done.out.splitlines()[-1])["folder"] == str(tmp_path / "copy")


async def test_ctrl_c(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The backup is called off, and nothing is left of it."""
    gate = BackupGate(monkeypatch)
    process = await start("backup", str(tmp_path / "copy"), *at(service))
    await gate.reached()
    process.send_signal(signal.SIGINT)
    assert (await ended(process)).code == 130
    await gate.called_off()
    gate.open()
    await service.app.ctx.backup.close()
    assert not (tmp_path / "copy").exists()


async def test_refusals(service: Service, tmp_path: Path) -> None:
    """Exit code 1 and the reason; 3 where nobody answers."""
    refused = await run_here("backup", str(tmp_path / "data"), *at(service))
    assert (refused.code, refused.out) == (1, "")
    assert "is in the data folder" in refused.err
    assert (await run_here("backup", "copy", "--url", "http://127.0.0.1:9/")).code == 3
    assert (await run_here("backup", *at(service))).code == 2

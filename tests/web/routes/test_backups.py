"""Backups over HTTP: who may make them, and the answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sanic_dispatch.config.settings import Mode
from tests.support.backup_gate import BackupGate
from tests.support.http_requests import Answer, ask
from tests.support.server import Service, running_service

TOKEN = "operator-token"
ONE_MEMBER = "send one member, folder: the absolute path of a new or empty folder"


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    (tmp_path / "data").mkdir()
    async with running_on(tmp_path / "data") as service:
        yield service


def running_on(folder: Path) -> Any:
    return running_service(
        mode=Mode.CACHED_JSON_FILE, data_dir=folder, operator_tokens=(TOKEN,), submit_wait_s=0.1
    )


async def back_up(service: Service, body: Any, token: str | None = TOKEN) -> Answer:
    return await ask(service, "POST", "operator/backup", token, json=body)


async def cursor_of(service: Service) -> tuple[str, int]:
    """Epoch and number of the last event, as a page has them."""
    epoch, _, number = (await ask(service, "GET", "state")).body["at"].rpartition(":")
    return epoch, int(number)


async def test_another_service_goes_on_from_there(service: Service, tmp_path: Path) -> None:
    """In an epoch of its own, and with the next ticket."""
    _, _, job_id = await service.submit({"drink": "mojito"})
    answer = await back_up(service, {"folder": str(tmp_path / "copy")})
    length = answer.body.pop("bytes")
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
    assert answer.body == {"folder": str(tmp_path / "copy"), "jobs": 1, "workers": 0, "events": 1}
    assert length > 0
    epoch, number = await cursor_of(service)
    await service.submit({"drink": "beer"})
    async with running_on(tmp_path / "copy") as copy:
        assert (await copy.job(job_id))["state"] == "waiting"
        found = await ask(copy, "GET", "operator/events", TOKEN)
        assert [event["ticket"] for event in found.body["events"]] == [1]
        its_epoch, its_number = await cursor_of(copy)
        assert (its_epoch != epoch, its_number) == (True, number)
        assert (await copy.submit({"drink": "soda"}))[1] == {"Queued": {"position": 2}}


@pytest.mark.parametrize("token", [None, "wrong"])
async def test_it_needs_the_operators_token(
    service: Service, token: str | None, tmp_path: Path
) -> None:
    """And writes nothing without."""
    answer = await back_up(service, {"folder": str(tmp_path / "copy")}, token)
    assert (answer.status, answer.body["Error"]) == (401, "Unauthorized")
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({}, ONE_MEMBER),
        ({"folder": 7}, ONE_MEMBER),
        ({"folder": "{data}/../copy", "compress": True}, ONE_MEMBER),
        ({"folder": ""}, ".: is no absolute path"),
        ({"folder": "copy"}, "copy: is no absolute path"),
        ({"folder": "{data}/copy"}, "{data}/copy: is in the data folder"),
        ({"folder": "{data}"}, "{data}: is in the data folder"),
        ([], "send a JSON object"),
    ],
)
async def test_folders_that_are_refused(
    service: Service, body: Any, detail: str, tmp_path: Path
) -> None:
    """400, with the reason."""
    data = str(tmp_path / "data")
    if "folder" in body and isinstance(body["folder"], str):
        body = body | {"folder": body["folder"].replace("{data}", data)}
    answer = await back_up(service, body)
    assert (answer.status, answer.body["Error"]) == (400, "InvalidRequest")
    assert answer.body["detail"] == detail.replace("{data}", data)
    assert not (tmp_path / "copy").exists()


async def test_no_topics_backup_is_in_the_data_folder(tmp_path: Path) -> None:
    """Not in that of the service, nor in another topic's, not even from one that writes nothing."""
    (data := tmp_path / "data").mkdir()
    topics: dict[str, dict[str, Any]] = {"tea": {}, "beer": {"mode": Mode.IN_MEMORY}}
    async with running_service(
        mode=Mode.SQLITE, data_dir=data, operator_tokens=(TOKEN,), topics=topics
    ) as service:
        for path in ("", "topics/tea/", "topics/beer/"):
            for folder in (data / "copy", data / "topics/tea/copy", data / "topics/wine"):
                body = {"folder": str(folder)}
                answer = await ask(service, "POST", f"{path}operator/backup", TOKEN, json=body)
                assert answer.status == 400, path
                assert answer.body["detail"] == f"{folder}: is in the data folder"
                assert not folder.exists()


async def test_one_at_a_time(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """409 for a second one; the first may take longer than other answers."""
    service.app.config.RESPONSE_TIMEOUT = 0.2
    await service.submit({"drink": "mojito"})
    gate = BackupGate(monkeypatch)
    first = asyncio.create_task(back_up(service, {"folder": str(tmp_path / "copy")}))
    await gate.reached()
    answer = await back_up(service, {"folder": str(tmp_path / "other")})
    assert (answer.status, answer.body["Error"]) == (409, "BackupUnderWay")
    asyncio.get_running_loop().call_later(0.6, gate.open)
    assert (await first).status == 200


async def test_a_client_that_is_gone(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its backup is called off, and nothing is left of it."""
    await service.submit({"drink": "mojito"})
    gate, backup = BackupGate(monkeypatch), service.app.ctx.backup
    request = asyncio.create_task(back_up(service, {"folder": str(tmp_path / "copy")}))
    await gate.reached()
    request.cancel()
    await gate.called_off()
    gate.open()
    await backup.close()
    assert not (tmp_path / "copy").exists()

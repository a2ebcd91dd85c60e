"""Forgetting by a real server: no file of its folder has the data, whatever kills it."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from secrets import token_bytes
from typing import Any

import aiohttp
import pytest

from tests.crash.server import DURABLE, TOKEN, Server
from tests.crash.shop import Shop
from tests.support.leftovers import files_with
from tests.support.seeds import IS_TORTURE
from tests.support.server import eventually

SECRETS = ("Ada-Lovelace", "Mary-Somerville")
KEPT = "Grace-Hopper"

ROBOTS = count(1)

ROUNDS = 50 if IS_TORTURE else 2

MINUTE_S = 60.0
"""Within which data has to be erased."""


class Client:
    """Orders, serves and forgets jobs."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http

    async def serve(self, name: str) -> None:
        """Have an order done by a robot, which returns a result."""
        async with self._http.post("submit-job", json={"name": name}) as answer:
            assert answer.status == 202
        number = next(ROBOTS)
        robot = {
            "CPEE-CALLBACK": f"http://127.0.0.1:9/callbacks/{number}/",
            "CPEE-INSTANCE-UUID": f"i{number}",
            "CPEE-ACTIVITY": "a1",
        }
        async with self._http.post("register-worker", headers=robot) as answer:
            job = (await answer.json())["Job"]
        assert job["data"] == {"name": name}
        path = f"jobs/{job['id']}/complete"
        async with self._http.post(path, json={"for": name}, headers=robot) as answer:
            assert answer.status == 200

    async def order_and_cancel(self, name: str) -> str:
        """Submit an order and cancel it; return its id."""
        async with self._http.post("submit-job", json={"name": name}) as answer:
            place = answer.headers["Location"]
        async with self._http.delete(place) as answer:
            assert answer.status == 204
        return place.removeprefix("jobs/")

    async def forget(self, job: int | str) -> int:
        """Forget a job, named by its ticket or its id; return the status."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with self._http.delete(f"operator/jobs/{job}/data", headers=headers) as answer:
            return answer.status

    async def events(self, ticket: int) -> list[str]:
        """Return the kinds of a job's events."""
        query = {"ticket": ticket, "token": TOKEN}
        async with self._http.get("operator/events", params=query) as answer:
            return [event["event"] for event in (await answer.json())["events"]]


@asynccontextmanager
async def client_of(server: Server) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession(server.url) as http:
        yield Client(http)


def leftovers(folder: Path) -> dict[str, Any]:
    """Return the files that have what was erased, or a name of before."""
    return {name: files for name in SECRETS if (files := files_with(folder, name.encode()))}


@pytest.fixture(params=DURABLE)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server in each mode that keeps jobs in its folder."""
    folder = tmp_path / "data"
    folder.mkdir()
    server = Server(folder, request.param)
    yield server
    server.kill()


@pytest.mark.timeout(180)
async def test_erased_data_is_in_no_file(server: Server) -> None:
    """One order of an earlier run and one of this one: while it runs, and over kill -9."""

    async def is_erased() -> bool:
        return not leftovers(server.folder)

    await server.start()
    async with client_of(server) as client:
        for name in (SECRETS[0], KEPT):
            await client.serve(name)
    assert await server.stop() == 0
    await server.start()
    async with client_of(server) as client:
        await client.serve(SECRETS[1])
        assert set(leftovers(server.folder)) == set(SECRETS)
        assert await client.forget(1) == 204
        assert await client.forget(3) == 204
        await eventually(is_erased, MINUTE_S)
        await client.serve(SECRETS[1])
        assert await client.forget(4) == 204
    server.kill()
    await server.start()
    await eventually(is_erased, MINUTE_S)
    async with client_of(server) as client:
        for ticket in (1, 3, 4):
            assert (await client.events(ticket))[-2:] == ["job.done", "job.forgotten"]
    assert await server.stop() == 0
    assert leftovers(server.folder) == {}
    assert files_with(server.folder, KEPT.encode())


def new_webhook(path: Path) -> None:
    """Write a settings file with a webhook's new secret, so that each start commits something."""
    secret = b64encode(token_bytes(24)).decode()
    path.write_text(f'[[webhooks]]\nurl = "http://127.0.0.1:9/"\nsecret = "whsec_{secret}"\n')


@pytest.mark.timeout(1800 if IS_TORTURE else 120)
async def test_batches_while_data_is_erased(server: Server, tmp_path: Path) -> None:
    """They are there after another kill -9, also where a start goes on with the erasing."""
    settings = tmp_path / "settings.toml"
    server.add_options("--config", str(settings), "--allow-webhook", "127.0.0.0/8")
    new_webhook(settings)
    await server.start()
    async with client_of(server) as client, Shop(server) as shop:
        for number in range(ROUNDS):
            job = await client.order_and_cancel(SECRETS[0])
            assert await client.forget(job) == 204
            if number % 2:
                assert await server.stop() == 0
            else:
                server.kill()
            new_webhook(settings)
            await server.start()
            await asyncio.gather(*(shop.order({"n": number, "at": n}) for n in range(3)))
            server.kill()
            await server.start()
            assert sorted(await shop.jobs()) == sorted(shop.accepted_ids)

"""Fixtures for the tests of the client: a real server, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sanic_dispatch.client import DispatchClient
from tests.support.server import Service, free_port, running_service

TOKEN = "an-operator-of-the-tests"


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """A server in memory, with an operator's token."""
    async with running_service(operator_tokens=(TOKEN,)) as service:
        yield service


@pytest.fixture
async def client(service: Service) -> AsyncIterator[DispatchClient]:
    """A client without a token."""
    async with DispatchClient(service.base_url) as client:
        yield client


@pytest.fixture
def no_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name a proxy in the environment that is not there."""
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("no_proxy", raising=False)

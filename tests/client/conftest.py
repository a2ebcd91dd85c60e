"""Fixtures for the tests of the client: a real server, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sanic_dispatch.client import DispatchClient
from tests.support.server import Service, running_service

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

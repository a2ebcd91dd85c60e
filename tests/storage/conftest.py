"""One store per backend: the same tests check the same contract for each."""

from __future__ import annotations

import pytest

from tests.storage.samples import DURABLE, EVERY, FILES, HISTORIES, MIXED, Backend


@pytest.fixture(params=EVERY, ids=lambda backend: backend.name)
def backend(request: pytest.FixtureRequest) -> Backend:
    """Every backend, including combinations."""
    param: Backend = request.param
    return param


@pytest.fixture(params=DURABLE, ids=lambda backend: backend.name)
def durable(request: pytest.FixtureRequest) -> Backend:
    """Every backend of which something survives the process."""
    param: Backend = request.param
    return param


@pytest.fixture(params=HISTORIES, ids=lambda backend: backend.name)
def keeps_history(request: pytest.FixtureRequest) -> Backend:
    """Every backend whose event log outlives the process."""
    param: Backend = request.param
    return param


@pytest.fixture(params=[*FILES, *MIXED], ids=lambda backend: backend.name)
def in_folder(request: pytest.FixtureRequest) -> Backend:
    """Every backend that keeps all in its folder: a copy of that is what a kill leaves."""
    param: Backend = request.param
    return param

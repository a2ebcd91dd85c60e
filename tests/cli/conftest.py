"""Fixtures for the tests of the command line."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import pytest

from sanic_dispatch.cli.env_option import PREFIX
from sanic_dispatch.config.settings import Settings


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    """Remove the settings of the environment in which the tests run."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)


@pytest.fixture
def called(monkeypatch):
    """The settings that serve and demo were called with, by name; nothing is started."""
    calls: dict[str, Settings] = {}
    for name, function in (("app", "serve"), ("cli.demo", "run")):
        module = SimpleNamespace(
            **{
                function: lambda settings, name=name: calls.update(
                    {name.removeprefix("cli."): settings}
                )
            }
        )
        monkeypatch.setitem(sys.modules, f"sanic_dispatch.{name}", module)
    return calls

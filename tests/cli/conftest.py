"""Fixtures for the tests of the command line."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from sanic_dispatch.config.settings import Settings
from tests.support.command_line import options_of


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    """Remove the settings of the environment in which the tests run."""
    for option in options_of("serve"):
        monkeypatch.delenv(option.envvar, raising=False)


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

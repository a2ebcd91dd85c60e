"""The command line in this process."""

from __future__ import annotations

import sys

from click.testing import CliRunner

from sanic_dispatch.cli.main import cli
from sanic_dispatch.cli.setting_option import SettingOption

PROGRAM = [sys.executable, "-m", "sanic_dispatch"]


def run(*arguments: str, **environment: str):
    """Run the command line in this process."""
    return CliRunner(env=environment).invoke(cli, arguments)


def options_of(command: str) -> list[SettingOption]:
    """Return the options of a command that are settings, and --config."""
    return [option for option in cli.commands[command].params if isinstance(option, SettingOption)]

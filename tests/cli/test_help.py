"""The texts of --help."""

from __future__ import annotations

import re
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from sanic_dispatch.cli.ctl import ctl
from sanic_dispatch.cli.main import cli
from sanic_dispatch.cli.remote import DEFAULT_URL
from sanic_dispatch.cli.webhook_commands import push, webhook
from sanic_dispatch.config.settings import DEFAULTS, Mode
from tests.support.command_line import options_of, run
from tests.support.paths import ROOT

README = ROOT / "README.md"


def test_the_help_has_what_a_man_page_has() -> None:
    """--help lists exit codes, environment, files, signals and further reading."""
    text = run("--help").output
    for part in ("Exit codes:", "Environment:", "Files:", "More:", *cli.commands):
        assert part in text
    assert "..." not in text.partition("Commands:")[2], "each line of the list is whole"
    assert "Signals:" in run("serve", "--help").output


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_every_command_explains_itself(name: str) -> None:
    """Each command's help names the command and has an example."""
    text = run(name, "--help").output
    assert f"sanic-dispatch {name}" in text.replace("Usage: cli", "")
    assert "Example" in text


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("cli.main", {"sanic", "aiohttp", "rich"}),
        ("app", {"aiohttp", "redis", "sanic_dispatch.simulation"}),
    ],
)
def test_what_is_slow_to_import_is_imported_late(module: str, heavy: set[str]) -> None:
    """--help loads no server, client or tables; a server nothing for callbacks by name or Redis."""
    program = f"import sys, sanic_dispatch.{module}; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_help_explains_every_setting(command):
    """--help has an example, the rule for variables, and text and default of each setting."""
    text = " ".join(run(command, "--help").output.split())
    assert f"sanic-dispatch {command}" in text
    assert "SANIC_DISPATCH_DATA_DIR" in text
    for option in options_of(command):
        assert option.setting.flag in text
        assert option.help
        assert option.help.endswith(".")
    assert text.count("[default: ") == len(options_of(command))


@pytest.mark.parametrize("mode", list(Mode))
def test_every_mode_is_explained(mode):
    """Each mode has a sentence in --help and a row in the README."""
    assert f"{mode}: " in " ".join(run("serve", "--help").output.split())
    assert f"\n| `{mode}`" in README.read_text()


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_help_restates_no_other_port(command):
    """Examples that name the default port have the declared one."""
    text = run(command, "--help").output
    assert set(re.findall(r"\bport (\d+)", text)) <= {str(DEFAULTS.port)}


@pytest.mark.parametrize("command", ["submit", "watch", "work"])
def test_help_of_client_commands(command: str) -> None:
    """Examples, the variable for the address, and a sentence for each option."""
    text = " ".join(CliRunner().invoke(cli, [command, "--help"]).output.split())
    assert "Examples: " in text
    assert "SANIC_DISPATCH_URL" in text
    assert DEFAULT_URL in text
    for option in cli.commands[command].params:
        if option.param_type_name == "option":
            assert option.help.endswith(".")


@pytest.mark.parametrize("name", ["import", "config", "health"])
def test_options_in_sections_have_a_text(name: str) -> None:
    """An argument, which the usage line has, is no line of the list of options."""
    options = run(name, "--help").output.partition("Settings:")[2]
    assert not re.search(r"^  \S+\n", options, re.M)


@pytest.mark.parametrize("group", [ctl, webhook, push])
def test_help_of_ctl_explains_each_command_and_option(group: click.Group) -> None:
    """Each command and each option has a text, and each line of the list is whole."""
    path = ["ctl"] if group is ctl else ["ctl", group.name]
    assert "..." not in run(*path, "--help").output.partition("Commands:")[2]
    for name, command in group.commands.items():
        done = CliRunner().invoke(cli, [*path, name, "--help"])
        assert done.exit_code == 0
        assert command.help
        options = [param for param in command.params if isinstance(param, click.Option)]
        assert all(option.help for option in options)

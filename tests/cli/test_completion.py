"""Shell completion in bash, zsh and fish."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from click.testing import CliRunner

from sanic_dispatch.cli.completion import PROGRAM, VARIABLE
from sanic_dispatch.cli.main import cli
from tests.support.command_line import run


def completed(*words: str) -> list[str]:
    """Return the completions that the program offers after these words."""
    asked = {
        VARIABLE: "bash_complete",
        "COMP_WORDS": " ".join(("sanic-dispatch", *words)),
        "COMP_CWORD": str(len(words)),
    }
    done = CliRunner(env=asked).invoke(cli, prog_name=PROGRAM)
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_script(shell: str) -> None:
    """The script passes the shell's own syntax check, if the shell is installed."""
    done = run("completion", shell)
    assert done.exit_code == 0
    assert VARIABLE in done.stdout
    if program := shutil.which(shell):
        checked = subprocess.run([program, "-n"], input=done.stdout, text=True, check=False)
        assert checked.returncode == 0


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("ser",), {"serve"}),
        (("serve", "--mo"), {"--mode"}),
        (("serve", "--mode", "Sq"), {"Sqlite"}),
        (("ctl", "pu"), {"push", "put-back"}),
        (("ctl", "pri"), {"priority"}),
        (("work", "--ma"), {"--match"}),
        (("work", "--no"), {"--not"}),
        (("submit", "--pri"), {"--priority"}),
        (("completion", "f"), {"fish"}),
    ],
)
def test_completes_commands_options_and_values(words: tuple[str, ...], offered: set[str]) -> None:
    """Commands, options, and values of options are completed."""
    assert set(completed(*words)) == offered

"""The tab key, in the shells that there are; and a --help that leaves nothing open."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from tests.support.command_line import PROGRAM, run


def completed(*words: str) -> list[str]:
    """What the tab key offers behind these words."""
    asked = {
        "_SANIC_DISPATCH_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(("sanic-dispatch", *words)),
        "COMP_CWORD": str(len(words)),
    }
    env = {**os.environ, **asked}
    done = subprocess.run(PROGRAM, env=env, capture_output=True, text=True, check=False)
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_script(shell: str) -> None:
    """One that the shell itself can read, where it is there."""
    done = run("completion", shell)
    assert done.exit_code == 0
    assert "_SANIC_DISPATCH_COMPLETE" in done.stdout
    if program := shutil.which(shell):
        checked = subprocess.run([program, "-n"], input=done.stdout, text=True, check=False)
        assert checked.returncode == 0


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("ser",), {"serve"}),
        (("serve", "--mo"), {"--mode"}),
        (("serve", "--mode", "Sq"), {"Sqlite"}),
        (("ctl", "pu"), {"put-back"}),
        (("completion", "f"), {"fish"}),
    ],
)
def test_the_tab_key_goes_on(words: tuple[str, ...], offered: set[str]) -> None:
    """Commands, options, and the words that an option may have."""
    assert set(completed(*words)) == offered

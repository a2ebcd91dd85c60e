"""The command line as a whole: what every command does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.commands import Done, run_unread


@pytest.mark.parametrize("command", ["--help", "ctl --help", "config", "check --json"])
async def test_a_command_whose_output_is_not_read(command: str, tmp_path: Path) -> None:
    """It ends quietly, and with 0: its reader had enough."""
    where = ("--data-dir", str(tmp_path)) if "help" not in command else ()
    assert await run_unread(*command.split(), *where) == Done(0, "", "")

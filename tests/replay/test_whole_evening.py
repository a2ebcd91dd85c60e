"""An evening of the whole service, with process instances as robots, run again."""

from __future__ import annotations

import asyncio
import json

from click.testing import CliRunner

from sanic_dispatch.cli.main import cli
from tests.browser.evenings import work_through
from tests.browser.served_bar import OPERATOR_TOKEN, open_bar


async def test_an_evening_of_the_service() -> None:
    """Failures, acts of the operator and the end of the day are in it; the pairing is the same."""
    async with open_bar() as bar:
        await work_through(bar, every=3)
        words = ("replay", "--url", bar.service.base_url, "--token", OPERATOR_TOKEN, "--json")
        done = await asyncio.to_thread(CliRunner().invoke, cli, words)
        more = await asyncio.to_thread(CliRunner().invoke, cli, [*words, "--robots", "+2"])
    assert (done.exit_code, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    assert said["recorded"]["orders"] > 20
    assert said["pairing"]["same"] == said["recorded"]["orders"]
    assert said["pairing"]["different"] == 0
    assert said["replayed"] == said["recorded"]
    fewer_wait = json.loads(more.stdout)["replayed"]["wait_s"]["mean"]
    assert fewer_wait < said["recorded"]["wait_s"]["mean"]

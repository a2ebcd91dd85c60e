"""--topic: commands for one topic of a service, or of a data folder."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from sanic_dispatch.cli.main import cli
from sanic_dispatch.cli.remote import base_url
from sanic_dispatch.cli.topic_option import topic_option
from sanic_dispatch.config.settings import Mode
from tests.storage.samples import names_in, used
from tests.support.commands import Done, ended, line_of, run, run_here, start
from tests.support.server import Service, running_service

TOKEN = "operator-token"
ROOF = ("--topic", "roof")
ORDER = '{"drink": "mojito", "name": "Ada"}'


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    values = {"operator_tokens": (TOKEN,), "submit_wait_s": 0.0, "topic_names": ("roof",)}
    async with running_service(**values) as service:
        yield service


async def called(*words: str) -> Result:
    """Run a command in a thread of its own: the service runs in this one's loop."""
    return await asyncio.to_thread(CliRunner().invoke, cli, words)


async def asked(service: Service, *words: str) -> Any:
    """Return the lines of JSON that an operator's command prints."""
    done = await called(*words, "--url", service.base_url, "--token", TOKEN)
    assert (done.exit_code, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("words", "url"),
    [
        (("http://bar.example",), "http://bar.example"),
        (("http://bar.example", *ROOF), "http://bar.example/topics/roof/"),
        ((*ROOF, "https://bar.example/drinks"), "https://bar.example/drinks/topics/roof/"),
        (
            (*ROOF, "http://[::1]:2567/drinks/?token=a%20b"),
            "http://[::1]:2567/drinks/topics/roof/?token=a%20b",
        ),
    ],
)
def test_the_url(words: tuple[str, ...], url: str) -> None:
    """The topic's path is behind any prefix and before a query, wherever the option stands."""

    @click.command(params=[topic_option()])
    @click.argument("url", callback=base_url)
    def show(url: str) -> None:
        click.echo(url)

    assert CliRunner().invoke(show, words).stdout == url + "\n"


async def test_what_asks_a_service(service: Service) -> None:
    """An order is submitted to its topic, and only there each command knows of it."""
    (submitted,) = await asked(service, "submit", ORDER, "--json", *ROOF)
    assert (submitted["state"], submitted["position"]) == ("waiting", 1)
    (job,) = await asked(service, "ctl", "jobs", "--json", *ROOF)
    assert job["id"] == submitted["id"]
    (step,) = await asked(service, "history", "1", "--json", *ROOF)
    assert step["event"] == "job.submitted"
    for name in ("events", "stats", "export-log"):
        as_json = () if name == "export-log" else ("--json",)
        assert len(await asked(service, name, *as_json, *ROOF)) == 1, name
        assert await asked(service, name, *as_json) == [], name
    assert await asked(service, "ctl", "jobs", "--json") == []


async def test_backup(service: Service, tmp_path: Path) -> None:
    """It has the records of the topic, and those of no other."""
    (submitted,) = await asked(service, "submit", ORDER, "--json", *ROOF)
    at = ("--url", service.base_url, "--token", TOKEN)
    for name, topic in (("roof", ROOF), ("house", ())):
        assert (await called("backup", str(tmp_path / name), *topic, *at)).exit_code == 0
        exported = await called("export", "--data-dir", str(tmp_path / name))
        assert (submitted["id"] in exported.stdout) is (name == "roof")


async def test_work_and_watch(service: Service) -> None:
    """Robots of a topic mix its orders, and watch shows them."""
    working = await start("work", service.base_url, "-s", "0.01", *ROOF)
    watching = await start("watch", "--json", "--url", service.base_url, *ROOF)
    try:
        await asked(service, "submit", ORDER, "--json", *ROOF)
        await line_of(working.stdout, lambda line: "is done with mojito for Ada" in line)
        await line_of(watching.stdout, lambda line: '"state":"done"' in line)
    finally:
        for process in (working, watching):
            process.send_signal(signal.SIGINT)
    for process in (working, watching):
        done = await ended(process)
        assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize(
    "words",
    [
        ("submit", ORDER),
        ("watch",),
        ("work",),
        ("ctl", "pause"),
        ("history", "1"),
        ("events",),
        ("stats",),
        ("export-log",),
        ("backup", "copy"),
        ("export",),
        ("import",),
        ("check",),
    ],
)
def test_a_name_that_is_none(words: tuple[str, ...]) -> None:
    """One line, exit code 2."""
    done = CliRunner().invoke(cli, [*words, "--topic", "../roof"])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == (
        "sanic-dispatch: --topic '../roof' is no name of a topic: "
        "1 to 63 of a-z, 0-9 and -, not - first\n"
    )


async def test_a_topic_that_is_not_there(service: Service) -> None:
    """One line, with the name that was probably meant."""
    wrong = ("--url", service.base_url, "--topic", "rof")
    for words in (("submit", ORDER), ("ctl", "pause"), ("events",)):
        refused(await run_here(*words, *wrong))
    refused(await run("watch", *wrong))


def refused(done: Done) -> None:
    """Check that a command ended with one line about the topic that was probably meant."""
    assert (done.code, done.out) == (1, "")
    assert done.err.count("\n") == 1
    assert "there is no topic 'rof'; did you mean 'roof'?" in done.err


async def test_data_folders(tmp_path: Path) -> None:
    """export and import are for one topic, in the modes that its section sets."""
    config = tmp_path / "dispatch.toml"
    config.write_text("mode = 'JsonFile'\n[topics.roof]\nmode = 'Sqlite'\nmax-jobs = 9\n")
    old, new = tmp_path / "old", tmp_path / "new"
    (old / "topics").mkdir(parents=True)
    new.mkdir()
    await used(old / "topics" / "roof", Mode.SQLITE)
    roof = ("--config", str(config), *ROOF)
    exported = await run_here("export", *roof, "--data-dir", str(old))
    assert (exported.code, exported.err) == (0, "")
    imported = await run_here("import", *roof, "--data-dir", str(new), stdin=exported.out.encode())
    assert imported.err == "stored: workers: 8, jobs: 6, finished: 2\n"
    assert names_in(new) == {"topics"}
    assert "dispatch.sqlite3" in names_in(new / "topics" / "roof")
    for words in (("export", *roof[:2]), ("export", "--topic", "cellar")):
        nothing = await run_here(*words, "--data-dir", str(new))
        assert (nothing.code, nothing.out, nothing.err.count("\n")) == (1, "", 1)
    assert names_in(new / "topics") == {"roof"}


async def test_check(tmp_path: Path) -> None:
    """It looks at all topics, or at the one that is named."""
    (tmp_path / "topics" / "roof").mkdir(parents=True)
    await used(tmp_path / "topics" / "cellar", Mode.SQLITE)
    (tmp_path / "topics" / "roof" / "jobs.json").write_bytes(b"[{}]")
    (tmp_path / "jobs.json").write_bytes(b"[]")
    folder = ("--data-dir", str(tmp_path))
    done = await called("check", *folder)
    assert (done.exit_code, done.stderr) == (1, "")
    unnamed, cellar, roof = done.stdout.splitlines()
    assert unnamed == "jobs.json: waiting: 0, assigned: 0, in doubt: 0"
    assert cellar.startswith("topic cellar: dispatch.sqlite3: waiting: 2, assigned: 4")
    assert roof.startswith("topic roof: jobs.json: DAMAGED, entry 0")
    found = json.loads((await called("check", "--json", *folder)).stdout)
    assert (found["whole"], found["topics"]["roof"]["whole"]) == (False, False)
    assert found["topics"]["cellar"]["folder"] == str(tmp_path / "topics" / "cellar")
    for name, code in (("cellar", 0), ("roof", 1), ("attic", 1)):
        assert (await called("check", *folder, "--topic", name)).exit_code == code, name


async def test_the_history_of_a_folder(tmp_path: Path) -> None:
    """export-log reads the topic's folder."""
    values = {"mode": Mode.SQLITE, "data_dir": tmp_path, "topic_names": ("roof",)}
    async with running_service(**values) as service:
        await service.http.post(f"{service.base_url}topics/roof/submit-job", json=1)
    folder = ("export-log", "--data-dir", str(tmp_path))
    assert len((await called(*folder, *ROOF)).stdout.splitlines()) == 1
    assert (await called(*folder)).stdout == ""

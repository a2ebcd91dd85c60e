"""replay: an evening of a data folder run again, on a terminal and as JSON."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from shutil import copytree

import pytest
from click.testing import CliRunner, Result

from sanic_dispatch.cli import remote
from sanic_dispatch.cli.main import cli
from sanic_dispatch.config.settings import Mode
from sanic_dispatch.core.events import EventKind
from sanic_dispatch.core.timestamps import to_rfc3339
from sanic_dispatch.history.history_queries import RecordedPage
from sanic_dispatch.history.recording_page import recorded_in, recording_fields
from sanic_dispatch.replay.comparison import run_again
from sanic_dispatch.replay.evening_summary import EveningSummary
from sanic_dispatch.replay.recording import Recording
from sanic_dispatch.replay.scenario import Scenario
from sanic_dispatch.replay.virtual_run import Outcome
from sanic_dispatch.storage.data_folder import DataFolder
from sanic_dispatch.storage.event_log import Page
from sanic_dispatch.storage.event_record import (
    LoggedEvent,
    encode_event,
    logged,
    recorded,
    recorded_again,
)
from sanic_dispatch.storage.segment_log import SegmentLog
from tests.support.bar_evening import Bar, BarEvening
from tests.support.commands import run_unread
from tests.support.http_requests import CALLBACK
from tests.support.server import running_service


@pytest.fixture(scope="module")
def evening() -> BarEvening:
    return BarEvening(Bar.with_everything(orders=150), 3)


@pytest.fixture(scope="module")
def folder(evening: BarEvening, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the log of an evening with all features in it."""
    path = tmp_path_factory.mktemp("evening")
    evening.write(path)
    return path


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def replayed(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, ["replay", "--data-dir", str(folder), *words])


async def test_a_grid_that_is_not_read(folder: Path) -> None:
    """It ends quietly, as every command does."""
    done = await run_unread("replay", "--data-dir", str(folder), "--grid", "robots=1..2")
    assert (done.code, "Traceback" in done.err) == (0, False)


def test_ctrl_c_while_it_computes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends at once, and not after all scenarios."""
    computed: list[int] = []

    def interrupted(recording: Recording, scenario: Scenario) -> tuple[EveningSummary, Outcome]:
        computed.append(scenario.robots)
        signal.raise_signal(signal.SIGINT)
        return run_again(recording, scenario)

    monkeypatch.setattr("sanic_dispatch.replay.grid.run_again", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background
    try:
        assert replayed(folder, "--grid", "robots=1..3").exit_code == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(computed) == 1


def test_ctrl_c_in_the_background() -> None:
    """A script's background process ignores it: it is for what runs in the foreground."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with remote.interrupted_at_once():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_as_json(folder: Path) -> None:
    """What was, what would have been, and who got the same robots."""
    done = replayed(folder, "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    assert list(said) == ["recorded", "replayed", "pairing"]
    assert said["recorded"] == said["replayed"]
    assert list(said["recorded"]) == ["orders", "wait_s", "longest_line", "utilisation", "kept"]
    assert list(said["recorded"]["wait_s"]) == ["mean", "p50", "p90", "p99"]
    assert said["recorded"]["orders"] == 150
    assert said["pairing"]["different"] == 0
    assert said["pairing"]["same"] > 120
    assert said["pairing"]["faults"] > 0


def test_side_by_side(folder: Path) -> None:
    """On a terminal both stand side by side; who is left out is named."""
    done = replayed(folder, "--robots", "-1")
    assert (done.exit_code, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["recorded", "replayed"]
    assert lines[1].split() == ["orders", "150", "150"]
    assert [line.partition("  ")[0] for line in lines[2:9]] == [
        "wait, median", "wait, 90 %", "wait, 99 %", "wait, mean", "longest line", "utilisation",
        "promises kept",
    ]  # fmt: skip
    assert "pairing: " in lines[10]
    assert "a fault interfered with: " in lines[11]
    assert lines[12].startswith("without: Robot ")


def test_the_folder_stays_as_it_is(folder: Path, tmp_path: Path) -> None:
    """Nothing is written there, also where it could not be."""
    plot = tmp_path / "line.svg"
    before = fingerprint(folder)
    folder.chmod(0o500)
    try:
        done = replayed(folder, "--robots", "+1", "--plot", str(plot))
    finally:
        folder.chmod(0o700)
    assert done.exit_code == 0
    assert fingerprint(folder) == before
    root = ET.fromstring(plot.read_text())
    assert root.tag.endswith("svg")
    assert root.findtext("{*}title") == "Orders in line"


def fingerprint(folder: Path) -> dict[str, str]:
    """Return times and contents of all files."""
    return {
        str(path.relative_to(folder)): f"{path.stat().st_mtime_ns} "
        + (hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "")
        for path in sorted([folder, *folder.rglob("*")])
    }


def test_the_same_bytes_in_each_process(folder: Path) -> None:
    """Also with other hash seeds; another seed of the replay gives others."""
    words = ("--robots", "+1", "--slower", "1.2", "--fair-by", "", "--max-jobs", "9", "--json")
    command = (sys.executable, "-m", "sanic_dispatch", "replay", "--data-dir", str(folder), *words)
    said = {
        subprocess.run(
            command, capture_output=True, check=True, env={**os.environ, "PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("0", "1", "4711")
    }
    assert len(said) == 1
    assert replayed(folder, *words, "--seed", "2").stdout_bytes not in said


def test_a_span(folder: Path, evening: BarEvening) -> None:
    """From is inclusive, and to is not; what came before still has its effects."""
    submitted = sorted(
        {event.job.submitted_at for event in evening.events if event.job is not None}
    )
    begin, end = submitted[50], submitted[100]
    done = replayed(folder, "--from", begin, "--to", end, "--json")
    said = json.loads(done.stdout)
    assert said["recorded"]["orders"] == 50
    assert said["recorded"] == said["replayed"]
    assert said["pairing"]["different"] == 0


def test_a_grid(folder: Path) -> None:
    """All crews at all speeds, and the smallest crew that keeps a goal."""
    words = ("--grid", "robots=2..4,slower=1.0..1.1", "--goal", "p90 wait <= 5 min")
    said = json.loads(replayed(folder, *words, "--json").stdout)
    assert [(each["robots"], each["slower"]) for each in said["grid"]] == [
        (robots, slower) for slower in (1.0, 1.1) for robots in (2, 3, 4)
    ]
    for crew in said["smallest"]:
        for each in said["grid"]:
            if each["slower"] == crew["slower"]:
                is_kept = each["wait_s"]["p90"] <= 300
                assert is_kept == (crew["robots"] is not None and each["robots"] >= crew["robots"])
    shown = replayed(folder, *words).stdout
    assert len([line for line in shown.splitlines() if "%" in line]) == 6
    smallest = said["smallest"][0]["robots"]
    assert f"smallest crew: {smallest} robots" in shown


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--from", "2999-01-01"), "there are no orders in the log from 2999-"),
        (("--match", "Robot 9=drink=mojito"), "there was no robot 'Robot 9'"),
        (("--match", "mojito"), "is not like 'Robot 1=drink=mojito|negroni'"),
        (("--robots", "-3"), "there were 3, and one has to stay"),
        (("--robots", "many"), "'many': say +1 for one robot more, -1 for one fewer"),
        (("--robots", "4"), "'4': say +1 for one robot more"),
        (("--slower", "0"), "0.0 is not in the range"),
        (("--slower", "nan"), "'nan' is no number"),
        (("--fair-by", "name"), "a JSON pointer is like /guest/name"),
        (("--goal", "p90 wait <= 5 min"), "--goal needs --grid"),
        (("--grid", "robots=0..3"), "a range of positive numbers"),
        (("--grid", "waiters=1..3"), "a grid is like robots=1..5,slower=1.0..1.5"),
        (("--grid", "robots=1..3", "--goal", "no wait"), "a goal is like 'p90 wait <= 5 min'"),
        (("--grid", "robots=1..3", "--robots", "+1"), "--robots contradicts --grid"),
        (("--grid", "slower=1..2", "--slower", "2"), "--slower contradicts --grid"),
        (("--grid", "robots=1..3", "--plot", "x.svg"), "--plot draws one evening"),
        (("--from", "2024-11-25", "--to", "2024-11-24"), "--to is before --from"),
        (("--url", "http://localhost:1/"), "--data-dir contradicts --url"),
        (("--plot", "/nowhere/x.svg"), "No such file or directory"),
        (("--plot", "x.png"), "the plot is SVG: give it a name such as x.svg"),
    ],
)
def test_bad_input(folder: Path, words: tuple[str, ...], says: str) -> None:
    """One clear line, and exit code 2."""
    done = replayed(folder, *words)
    assert done.exit_code == 2
    assert says in done.stderr
    assert "Traceback" not in done.output


def test_folders_without_an_evening(tmp_path: Path) -> None:
    """No history; no folder."""
    done = replayed(tmp_path)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.endswith("holds no history\n")
    done = replayed(tmp_path / "none")
    assert done.exit_code == 1
    assert done.stderr.endswith("does not exist\n")


def test_a_folder_in_use(folder: Path, tmp_path: Path) -> None:
    """A dispatcher that runs there is asked instead."""
    owner = DataFolder(tmp_path)
    owner.claim()
    try:
        done = replayed(tmp_path)
    finally:
        owner.release()
    assert done.exit_code == 1
    assert "is used by another dispatcher" in done.stderr


def test_a_hole(evening: BarEvening, tmp_path: Path) -> None:
    """It is said, with its times; an evening after it can be run again."""
    events = list(evening.events)
    hole = events[200:240]
    evening.events[200:240] = []
    try:
        evening.write(tmp_path)
    finally:
        evening.events[:] = events
    done = replayed(tmp_path)
    assert done.exit_code == 2
    assert done.stderr.startswith("sanic-dispatch: events 201 to 240 are missing, from 2024-")
    assert to_rfc3339(events[240].at_s) in done.stderr
    after = to_rfc3339(events[600].at_s)
    assert hole[-1].at_s < events[600].at_s
    done = replayed(tmp_path, "--from", after, "--json")
    assert done.exit_code == 0


def test_a_damaged_file(evening: BarEvening, tmp_path: Path) -> None:
    """It is named where it is, not where it was read."""
    evening.write(tmp_path)
    (segment,) = (tmp_path / "history").glob("*.gz")
    whole = segment.read_bytes()
    segment.write_bytes(whole[: len(whole) // 2])
    done = replayed(tmp_path)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"sanic-dispatch: {segment}: damaged at byte ")


def test_orders_without_data(evening: BarEvening, tmp_path: Path) -> None:
    """It is said how many have lost it, since the line may then be another one."""
    log = SegmentLog(tmp_path, fsync=False)
    log.load()
    events = [logged(event) for event in evening.events]
    log.add([recorded_again(event, encode_event(event), None) for event in events])
    log.flush()
    says = "orders whose data was erased or is not kept, so that the line may differ: 150\n"
    assert replayed(tmp_path).stderr == f"sanic-dispatch: {says}"
    done = CliRunner().invoke(cli, ["estimates", "--data-dir", str(tmp_path)])
    assert done.stderr == f"sanic-dispatch: {says}"


def test_a_log_that_ends_before_its_orders(evening: BarEvening, tmp_path: Path) -> None:
    """It is said how many orders still wait then."""
    log = SegmentLog(tmp_path, fsync=False)
    log.load()
    of_orders = [event.number for event in evening.events if event.job]
    came = (event.number for event in evening.events if event.kind is EventKind.JOB_SUBMITTED)
    waits = next(number for number in came if number + 1 not in of_orders)
    log.add(list(map(recorded, evening.events[:waits])))
    log.flush()
    says = "orders that wait when the log ends, and have a wait only in the replay: "
    for words in ((), ("--grid", "robots=3")):
        assert replayed(tmp_path, *words).stderr.startswith(f"sanic-dispatch: {says}")


def test_a_log_of_a_later_version(evening: BarEvening, tmp_path: Path) -> None:
    """It is refused: what its events mean is not known."""
    evening.write(tmp_path)
    log, last = SegmentLog(tmp_path, fsync=False), evening.events[-1]
    log.load()
    praised = LoggedEvent(last.number + 1, last.at_s, "job.praised")
    log.add([recorded_again(praised, encode_event(praised), None)])
    log.flush()
    done = replayed(tmp_path)
    assert done.exit_code == 2
    assert done.stderr == ("sanic-dispatch: the log is of a later version: it has 'job.praised'\n")


async def test_asking_a_running_dispatcher(folder: Path, tmp_path: Path) -> None:
    """It tells the same as its folder."""
    copied = copytree(folder, tmp_path / "served")
    settings = {"mode": Mode.CACHED_JSON_FILE, "data_dir": copied, "keep_history_s": 3e8}
    async with running_service(operator_tokens=("operator-token",), **settings) as service:
        words = ["replay", "--url", service.base_url, "--json", "--robots", "+1"]
        with_token = [*words, "--token", "operator-token"]
        done = await asyncio.to_thread(CliRunner().invoke, cli, with_token)
        refused = await asyncio.to_thread(CliRunner().invoke, cli, words)
    assert (done.exit_code, done.stderr) == (0, "")
    there = await asyncio.to_thread(replayed, folder, "--json", "--robots", "+1")
    assert done.stdout == there.stdout
    assert refused.exit_code == 1
    assert "(401)" in refused.stderr


@pytest.mark.parametrize("words", [("estimates",), ("replay",), ("replay", "--robots", "-1")])
async def test_an_evening_without_robots(words: tuple[str, ...]) -> None:
    """The line names no option that was not given, and that one command does not have."""
    async with running_service(operator_tokens=("operator-token",)) as service:
        await service.submit(1)
        address = ("--url", service.base_url, "--token", "operator-token")
        done = await asyncio.to_thread(CliRunner().invoke, cli, [*words, *address])
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1] == "sanic-dispatch: there was no robot"


async def test_no_secrets_in_a_recording(evening: BarEvening) -> None:
    """Neither ids of jobs and requests nor callbacks; they can still be told apart."""
    events = [each.event for each in evening.log()][:200]
    secret = [
        each._replace(callback=each.callback and f"{each.callback}?key=s3cret") for each in events
    ]
    said = json.dumps(recording_fields(RecordedPage(Page(secret))))
    assert "s3cret" not in said
    assert "callbacks" not in said
    assert not any(each.job in said for each in events if each.job)
    read = [event.callback for event, _ in recorded_in(json.loads(said))]
    assert len(set(read)) == len({each.callback for each in events})


def test_estimates(folder: Path) -> None:
    """Promises, judged in all and by hour, drink and place."""
    words = ["estimates", "--data-dir", str(folder)]
    said = json.loads(CliRunner().invoke(cli, [*words, "--json"]).stdout)
    assert list(said) == ["recorded", "replayed", "hour", "drink", "place"]
    assert said["recorded"] == said["replayed"]
    assert list(said["drink"][0]) == [
        "drink", "promises", "kept", "early", "late", "width_s", "error_s", "score_s",
    ]  # fmt: skip
    shown = CliRunner().invoke(cli, words).stdout
    assert shown.splitlines()[0].split() == [
        "promises", "kept", "early", "late", "range", "error", "score",
    ]  # fmt: skip
    tried = json.loads(CliRunner().invoke(cli, [*words, "--try", "miss_rate=0.3", "--json"]).stdout)
    assert tried["recorded"] == said["recorded"]
    assert tried["replayed"]["kept"] < said["replayed"]["kept"]
    refused = CliRunner().invoke(cli, [*words, "--try", "luck=7"])
    assert refused.exit_code == 2
    assert "'luck=7' names no parameter; there are service_samples" in refused.stderr


@pytest.mark.parametrize("mode", [Mode.CACHED_JSON_FILE, Mode.JSON_FILE, Mode.SQLITE], ids=str)
async def test_folders_of_every_mode(mode: Mode, tmp_path: Path) -> None:
    """What a replay needs is in each, also after a kill; the folder stays as it is."""
    folder, killed = tmp_path / "data", tmp_path / "killed"
    folder.mkdir()
    settings = {
        "mode": mode,
        "data_dir": folder,
        "operator_tokens": ("operator-token",),
        "priorities": True,
    }
    async with running_service(**settings, priority_tokens=("priority-token",)) as service:
        urgent = {"Job-Priority": "0", "Authorization": "Bearer priority-token"}
        for drink, headers in (("gin", {}), ("beer", {}), ("gin", urgent)):
            await service.submit({"drink": drink}, **headers)
        url = f"{service.base_url}register-worker?match.drink=gin"
        for number in range(3):
            who = {"CPEE_INSTANCE_UUID": "i", "CPEE_ACTIVITY": "a", "CPEE_LABEL": "Ada"}
            headers = {"CPEE-CALLBACK": f"{CALLBACK}{number}/"}
            headers |= {name.replace("_", "-"): value for name, value in who.items()}
            async with service.http.post(url, headers=headers) as answer:
                assert answer.status == (200 if number < 2 else 202)
            await service.app.ctx.dispatcher.batches.idle()
        asked = ["replay", "--url", service.base_url, "--token", "operator-token", "--json"]
        served = await asyncio.to_thread(CliRunner().invoke, cli, asked)
        copytree(folder, killed)
    assert json.loads(served.stdout)["pairing"] == {"same": 2, "different": 0, "faults": 0}
    for each in (folder, killed):
        before = fingerprint(each)
        done = await asyncio.to_thread(replayed, each, "--json")
        assert (done.exit_code, done.stdout) == (0, served.stdout)
        assert fingerprint(each) == before

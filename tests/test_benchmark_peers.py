"""Other job queues are measured beside ours; what is not installed is named."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.drive.plan import QUICK
from benchmarks.measure import peers
from benchmarks.peers import parts
from benchmarks.peers.parts import Part, debian_program, npm_packages, python_package
from benchmarks.peers.running import running
from benchmarks.peers.sides import ALL, OTHERS, Peer
from benchmarks.report import goals
from sanic_dispatch.config.settings import Mode
from tests.support.redis import program

PART_OF_NOBODY = Part("something", lambda: None, "install something")


def side(name: str) -> Peer:
    """Return the side of this name."""
    return next(peer for peer in ALL if peer.name == name)


def check(name: str, data: dict[str, dict[str, dict[str, list[float]]]], *kinds: str) -> None:
    """Check that each process of a side took part in each round."""
    assert [kind for kind, sides in data.items() if sides] == list(kinds)
    for kind in kinds:
        numbers = data[kind][name]
        assert all(len(values) == peers.ROUNDS_EACH for values in numbers.values())
        assert all(value > 0 for values in numbers.values() for value in values)
        parts_us = zip(
            numbers["server_us"], numbers["worker_us"], numbers["submitter_us"], strict=True
        )
        assert [pytest.approx(sum(us)) for us in parts_us] == numbers["all_us"]


@pytest.mark.parametrize("mode", [mode for mode in Mode if mode is not Mode.JSON_FILE])
def test_our_modes_are_measured(mode: Mode) -> None:
    """Redis both ways, the others as they are."""
    if mode.is_shared:
        program()
    kinds = [kind for kind, is_synced in peers.KINDS.items() if is_synced in side(mode).kinds]
    report = peers.measure(QUICK, [side(mode)])
    check(mode, report.data, *kinds)
    assert len(kinds) == (2 if mode.is_shared else 1)


@pytest.mark.parametrize("peer", OTHERS, ids=lambda peer: peer.name)
def test_a_peer_that_is_installed_is_measured(peer: Peer) -> None:
    """Synced and not."""
    if missing := peer.missing():
        pytest.skip(f"not installed: {', '.join(part.name for part in missing)}")
    check(peer.name, peers.measure(QUICK, [peer]).data, *peers.KINDS)


def test_a_peer_that_is_not_installed_is_named() -> None:
    """With the command that installs it; it is not started."""
    peer = replace(side("dramatiq"), libraries=[PART_OF_NOBODY], servers=[])
    report = peers.measure(QUICK, [peer])
    assert report.data == {"synced": {}, "not synced": {}}
    (table,) = report.tables
    assert list(table.rows) == [["dramatiq", "something", "`install something`"]]


def test_a_side_that_fails_says_what_it_printed() -> None:
    """Not only that it does not go on."""
    peer = replace(side(Mode.IN_MEMORY), worker=[sys.executable, "-c", "print(6 * 7); exit(1)"])
    with (
        running(peer, is_synced=False) as started,
        pytest.raises(RuntimeError, match=r"InMemory: a process has ended(?s:.*)(?m:^42$)"),
    ):
        started.round(0.1)


def test_versions_of_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None where it is not installed."""
    assert python_package("sanic-dispatch").version()
    assert python_package("no-such-package").version() is None
    monkeypatch.setattr(parts, "NODE_MODULES", tmp_path)
    found, absent = npm_packages("bullmq", "ioredis")
    (tmp_path / "bullmq").mkdir()
    (tmp_path / "bullmq" / "package.json").write_text('{"version": "6.7.0"}')
    assert (found.show(), absent.version()) == ("bullmq 6.7.0", None)
    assert found.installation == absent.installation


def test_versions_of_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older one than will do is not installed."""
    server = tmp_path / "a-server"
    server.write_text("#!/bin/sh\n[ $1 = -v ] && echo a-server: v2.9.10\n")
    server.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert debian_program("a-server", "-v").version() == "2.9.10"
    assert debian_program("a-server", "-v", least=(2, 9)).version() == "2.9.10"
    too_old = debian_program("a-server", "-v", least=(2, 10))
    assert (too_old.version(), too_old.wanted) == (None, "a-server 2.10 or later")
    assert debian_program("no-such-server", "-v").version() is None


def test_what_is_missing_is_installed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts with the same command are installed together."""
    monkeypatch.setattr(parts, "ROOT", tmp_path)
    one = PART_OF_NOBODY._replace(installation="echo x >> installed")
    parts.install_parts([one, one._replace(name="another")])
    assert (tmp_path / "installed").read_text() == "x\n"


def test_our_goals_beside_the_peers() -> None:
    """Ratios of rounds that took turns."""
    synced = {"Sqlite": {"all_us": [90.0, 200.0]}, "dramatiq": {"all_us": [100.0, 200.0]}}
    (table,) = goals.report({"peers": {"synced": synced}}).tables
    assert [row[1:] for row in table.rows] == [["≤ 0.9", "0.95", "**no**"]]

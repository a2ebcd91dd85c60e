"""Files are replaced as a whole."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sanic_dispatch.storage.atomic_file import replace_file

CALLS = ["open", "fchmod", "writev", "fsync", "close", "rename"]


def break_call(monkeypatch: pytest.MonkeyPatch, name: str, after: int, times: int) -> None:
    """Fail ``times`` system calls of this name, after so many."""
    module: Any = Path if name == "rename" else os
    name = "replace" if name == "rename" else name
    real: Callable[..., Any] = getattr(module, name)
    count = 0

    def breaking(*args: Any, **named: Any) -> Any:
        nonlocal count
        count += 1
        if after < count <= after + times:
            if name == "close":
                real(*args, **named)
            raise OSError(5, "Input/output error")
        return real(*args, **named)

    monkeypatch.setattr(module, name, breaking)


def test_a_file_is_replaced(tmp_path: Path) -> None:
    """It has the new content, and there are no other files."""
    path = tmp_path / "x.json"
    for pieces in ([b"one"], [b"t", b"", b"wo"], [b"%d," % n for n in range(5000)]):
        replace_file(path, pieces)
        assert path.read_bytes() == b"".join(pieces)
    assert os.listdir(tmp_path) == ["x.json"]


def test_a_short_write_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the system writes a part, the rest is written too."""
    monkeypatch.setattr(os, "writev", lambda fd, pieces: os.write(fd, b"".join(pieces)[:3]))
    replace_file(tmp_path / "x", [b"12", b"3456", b"7"])
    assert (tmp_path / "x").read_bytes() == b"1234567"


def test_modes(tmp_path: Path) -> None:
    """A new file can be read by its owner only; a replaced file keeps its mode."""
    path = tmp_path / "x"
    replace_file(path, [b"1"])
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    replace_file(path, [b"2"])
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("call", CALLS)
def test_the_old_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """If a call before the rename fails, the old file is unchanged, and the new one is removed."""
    path = tmp_path / "x"
    replace_file(path, [b"old"])
    break_call(monkeypatch, call, after=0, times=1)
    with pytest.raises(OSError, match="Input/output error"):
        replace_file(path, [b"new"])
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("fsync", [True, False], ids=["fsync", "no fsync"])
def test_synced_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fsync: bool) -> None:
    """The file is synced before the rename and the folder after it; without fsync neither is."""
    steps: list[str] = []
    real = Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: steps.append("fsync"))
    monkeypatch.setattr(
        Path, "replace", lambda self, to: (steps.append("rename"), real(self, to))[1]
    )
    replace_file(tmp_path / "x", [b"1"], fsync=fsync)
    assert steps == (["fsync", "rename", "fsync"] if fsync else ["rename"])

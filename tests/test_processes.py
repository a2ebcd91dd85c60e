"""The parent of several processes: whom it replaces, and how it stops them."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

PATIENCE_S = 60.0

BEGINNING = """
import os, signal, sys
from pathlib import Path
from sanic_dispatch import processes

def say(*words):
    os.write(1, (" ".join(map(str, words)) + chr(10)).encode())

parent = os.getpid()
"""

STOPPED_WHILE_FORKING = """
forking = os.fork

def fork():
    pid = forking()
    if pid:
        say("forked")
        os.kill(parent, signal.SIGTERM)
    return pid

os.fork = fork
processes.share(3)
while True:
    signal.pause()
"""

WITH_REPLACEMENTS_THAT_FAIL = """
processes.PAUSE_S = 0.01
number = processes.share(2)
lives = Path(sys.argv[1]) / str(number)
life = len(lives.read_text()) if lives.exists() else 0
lives.write_text("x" * (life + 1))
say("life", number, life)
if number == 1 and life == 0:
    os.kill(os.getpid(), signal.SIGKILL)
if number == 1 and life in (1, 2):
    sys.exit(3)
while True:
    signal.pause()
"""

NEVER_STARTS = """
number = processes.share(2)
if number == 1:
    sys.exit(3)
while True:
    signal.pause()
"""


def started(script: str, folder: Path) -> subprocess.Popen[str]:
    """A process that becomes several."""
    words = [sys.executable, "-c", BEGINNING + script, str(folder)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def test_told_to_stop_while_it_forks(tmp_path: Path) -> None:
    """A child that was just made is told too, and no other is made."""
    with started(STOPPED_WHILE_FORKING, tmp_path) as process:
        out, _ = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (0, "forked\n")


def test_a_replacement_that_cannot_start(tmp_path: Path) -> None:
    """It is tried again, and the other children go on."""
    with started(WITH_REPLACEMENTS_THAT_FAIL, tmp_path) as process:
        assert process.stdout
        said: list[str] = []
        while not {"life 1 3\n", "life 0 0\n"} <= set(said):
            said.append(process.stdout.readline())
            assert said[-1], said
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert sum(line.startswith("life 0") for line in (*said, *rest.splitlines())) == 1


def test_one_of_the_first_that_cannot_start(tmp_path: Path) -> None:
    """All end, with its exit code."""
    with started(NEVER_STARTS, tmp_path) as process:
        process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 3

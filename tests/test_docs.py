"""The tutorial and the README: their commands are run, and print what the pages show.

And the versions of Python are the same wherever they are named.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

from tests.support.commands import CLEAN, heed_ctrl_c
from tests.support.paths import DOCS, ROOT
from tests.support.ports import free_port

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
JOB_ID = re.compile(r"""(?:jobs/|"id":"|\bid )([0-9a-f]{32})""")
WITHIN_S = 40.0


class Terminal:
    """What was typed into a terminal, and its output that was not expected yet."""

    def __init__(self, folder: Path, environment: dict[str, str], name: str) -> None:
        self._folder = folder
        self._environment = environment
        self._output = folder / f".terminal-{name}"
        self._process: subprocess.Popen[bytes] | None = None
        self._seen = 0
        self.shown = ""

    def type(self, command: str) -> None:
        """Start a command."""
        assert self._process is None or self._process.poll() is not None, "the terminal is busy"
        self._seen, self.shown = 0, ""
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                ["bash", "-c", command],
                cwd=self._folder,
                env=self._environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=heed_ctrl_c,
            )

    def expect(self, lines: str) -> None:
        """Wait until these lines are printed next; ``…`` matches anything."""
        assert self._process is not None
        parts = map(re.escape, lines.strip("\n").split("…"))
        pattern = re.compile(r"\n*" + ".*?".join(parts) + r"(?=(\n)|\Z)", re.DOTALL)
        deadline = monotonic() + WITHIN_S
        while True:
            has_ended = self._process.poll() is not None
            self.shown = self._output.read_text().replace("\r", "")
            match = pattern.match(self.shown, self._seen)
            if match and (has_ended or (lines and match[1])):
                self._seen = match.end()
                return
            is_over = has_ended or monotonic() > deadline
            assert not is_over, f"expected: {lines}\nshown: {self.shown[self._seen :]}"
            sleep(0.05)

    def wait(self) -> None:
        """Wait until the command has ended; check that it prints no more."""
        assert self._process is not None
        self._process.wait(WITHIN_S)
        shown = self._output.read_text().replace("\r", "")
        assert shown[self._seen :].strip() == ""

    def end(self, with_signal: int = signal.SIGINT) -> None:
        """Press Ctrl-C, if a command runs."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, with_signal)
            self._process.wait(WITHIN_S)


class Reader:
    """Follows a page from top to bottom."""

    def __init__(self, folder: Path, terminals: dict[str, Terminal], words: dict[str, str]) -> None:
        self._folder = folder
        self._terminals = terminals
        self._words = words

    def follow(self, page: str) -> None:
        """Write its files and run its commands; check that each prints what the page shows."""
        terminal, last, job_id = "1", 0, "ID"
        for block in BLOCK.finditer(page):
            before, language, text = page[last : block.start()], block[1], block[2]
            last = block.end()
            terminal = (re.findall(r"[Tt]erminal (\d)", before) or [terminal])[-1]
            for ours, theirs in self._words.items():
                text = text.replace(ours, theirs)
            if language in ("python", "html", "js"):
                path = self._folder / re.findall(r"`([\w./]+)`", before)[-1]
                path.parent.mkdir(exist_ok=True)
                path.write_text(text)
            elif language == "console":
                self._run(self._terminals[terminal], text.replace("/ID", f"/{job_id}"))
                found = JOB_ID.findall(self._terminals[terminal].shown)
                job_id = found[0] if found else job_id

    def _run(self, terminal: Terminal, text: str) -> None:
        if text == "^C\n":
            terminal.end()
            return
        shown, *commands = re.split(r"^\$ ", text, flags=re.MULTILINE)
        if shown:
            terminal.expect(shown)
        for command in commands:
            line, _, shown = command.partition("\n")
            terminal.type(line)
            terminal.expect(shown)
            if not re.match(r"sanic-dispatch serve|python3 worker", line):
                terminal.wait()


@contextmanager
def reader(folder: Path, words: dict[str, str]) -> Iterator[Reader]:
    """A reader in an empty folder, with three terminals and the program installed."""
    programs = folder.parent / "programs"
    programs.mkdir()
    for name, module in (("sanic-dispatch", "-m sanic_dispatch"), ("python3", "")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {module} "$@"\n')
        program.chmod(0o755)
    environment = {
        **CLEAN,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "SANIC_DISPATCH_LOG_FORMAT": "human",
        "SANIC_DISPATCH_PORT": words["2567"],
        "SANIC_DISPATCH_URL": f"http://localhost:{words['2567']}/",
    }
    terminals = {name: Terminal(folder, environment, name) for name in "123"}
    try:
        yield Reader(folder, terminals, words)
    finally:
        for terminal in terminals.values():
            terminal.end(signal.SIGKILL)


def test_the_tutorial(tmp_path: Path) -> None:
    """Each command of docs/tutorial.md prints what the page shows."""
    folder = tmp_path / "my-bar"
    folder.mkdir()
    with reader(folder, {"2567": str(free_port()), "9000": str(free_port())}) as somebody:
        somebody.follow((DOCS / "tutorial.md").read_text())
    assert (folder / "pages/bar.js").exists()


def test_the_readme(tmp_path: Path) -> None:
    """Each command of README.md prints what the page shows."""
    folder = tmp_path / "folder"
    folder.mkdir()
    with reader(folder, {"2567": str(free_port())}) as somebody:
        somebody.follow((ROOT / "README.md").read_text())


def test_make_takes_the_pythons_that_the_package_names() -> None:
    """Those of pyproject.toml's classifiers, the newest first."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    name = "Programming Language :: Python :: "
    named = [each.removeprefix(name) for each in project["classifiers"] if each.startswith(name)]
    (taken,) = re.findall(r"foreach python,python3 ([^,]+),", (ROOT / "Makefile").read_text())
    assert taken.split() == [f"python{version}" for version in reversed(named)]
    assert project["requires-python"] == f">={named[0]}"

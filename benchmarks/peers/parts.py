"""What has to be installed for a side: in which version it is here, and how to install it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from benchmarks.drive.servers import ROOT

NPM = ".benchmark-npm"
"""The folder, in the checkout, where npm installs packages for the peers in JavaScript."""

NODE_MODULES = ROOT / NPM / "node_modules"

_VERSION = re.compile(r"\d+(?:\.\d+)+")


class Part(NamedTuple):
    """A package or a program; ``version`` returns None if it is not installed.

    ``installation`` is a shell command that installs it, to be run in the checkout.
    """

    name: str
    version: Callable[[], str | None]
    installation: str
    least: tuple[int, ...] = ()
    """The oldest version that will do, if that matters."""

    @property
    def wanted(self) -> str:
        """Its name, with the oldest version that will do."""
        return f"{self.name} {'.'.join(map(str, self.least))} or later" if self.least else self.name

    def show(self) -> str:
        """Return its name and version."""
        return f"{self.name} {self.version()}"


def python_package(name: str) -> Part:
    """Return a package of the extra ``peers``."""

    def found() -> str | None:
        try:
            return version(name)
        except PackageNotFoundError:
            return None

    return Part(name, found, "pip install --editable '.[peers]'")


def npm_packages(*names: str) -> list[Part]:
    """Return packages that npm installs together."""

    def found(name: str) -> str | None:
        about = NODE_MODULES / name / "package.json"
        return str(json.loads(about.read_text())["version"]) if about.exists() else None

    installation = f"npm install --prefix {NPM} {' '.join(names)}"
    return [Part(name, partial(found, name), installation) for name in names]


def debian_program(name: str, flag: str, package: str = "", least: tuple[int, ...] = ()) -> Part:
    """Return a program that prints its version with this flag; none before ``least`` counts."""

    def found() -> str | None:
        path = program_path(name)
        if path is None:
            return None
        done = subprocess.run([path, flag], capture_output=True, text=True, check=False)
        said = _VERSION.search(done.stdout + done.stderr)
        if said is None or tuple(map(int, said[0].split("."))) < least:
            return None
        return said[0]

    return Part(name, found, f"apt-get install --yes {package or name}", least)


def program_path(name: str) -> str | None:
    """Return the path of a program: on the PATH, or beside this Python."""
    beside = Path(sys.executable).parent
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}{os.pathsep}{beside}")


def install_parts(parts: Sequence[Part]) -> None:
    """Install parts. Raises CalledProcessError if a command fails."""
    beside = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{beside}{os.pathsep}{os.environ.get('PATH', '')}"}
    for command in dict.fromkeys(part.installation for part in parts):
        subprocess.run(["bash", "-c", command], check=True, cwd=ROOT, env=environment)

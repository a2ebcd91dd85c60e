"""The rooms of docs/design.md: imports go down only, and the core is pure."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.paths import DOCS, ROOT

PACKAGE = ROOT / "sanic_dispatch"
NAME = PACKAGE.name

LAYERS = [
    {"errors", "clock", "garbage_collection", "strict_json"},
    {"core"},
    {"config"},
    {"cluster", "callbacks", "observability"},
    {"storage", "simulation"},
    {"dispatch"},
    {"live", "history"},
    {"observability.metrics", "client"},
    {"web"},
    {"server"},
    {"app"},
    {"cli", "__main__"},
]
"""From the bottom to the top; a room may import its own layer and those below."""

FILES = sorted(PACKAGE.rglob("*.py"))
IN_CORE = sorted((PACKAGE / "core").glob("*.py"))

IMPURE = {
    "asyncio", "concurrent", "contextvars", "fcntl", "http", "io", "logging", "multiprocessing",
    "os", "pathlib", "queue", "random", "sched", "secrets", "select", "selectors", "shutil",
    "signal", "socket", "socketserver", "sqlite3", "ssl", "subprocess", "sys", "tempfile",
    "threading", "time", "urllib", "uuid", "_thread",
}  # fmt: skip
"""Modules of the standard library that wait, read a clock, are random or do I/O."""

PURE_PARTS = ("urllib.parse.",)
"""What works with text alone, of packages that are impure as a whole."""

IMPURE_CALLS = {"open", "print", "input", "now", "utcnow", "today"}
"""Functions that a pure module does not call; the last three are datetime's clocks."""


def room(path: Path) -> str:
    return room_of(path.relative_to(PACKAGE).with_suffix("").parts)


def room_of(parts: Sequence[str]) -> str:
    """Return the room of a module: a room within another one counts for itself."""
    inner = ".".join(parts[:2])
    return inner if any(inner in rooms for rooms in LAYERS) else parts[0]


def layer(name: str) -> int:
    return next(level for level, rooms in enumerate(LAYERS) if name in rooms)


def imported(path: Path) -> Iterator[str]:
    """Yield the modules that a file imports; those of this package without its name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == NAME:
            yield from (f"{NAME}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            yield from (f"{module}.{alias.name}" for alias in node.names)


def imported_rooms(path: Path) -> set[str]:
    """Return the rooms of this package that a file imports."""
    parts = [name.split(".") for name in imported(path)]
    return {room_of(part[1:]) for part in parts if part[0] == NAME and part[1] != "__version__"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_only(path: Path) -> None:
    """A room imports its own layer and those below, never one above."""
    if room(path) == "__init__":
        return
    for name in imported_rooms(path):
        assert layer(name) <= layer(room(path)), f"{path} imports {name}"


@pytest.mark.parametrize("path", IN_CORE, ids=lambda path: path.name)
def test_the_core_is_pure(path: Path) -> None:
    """No asyncio, Sanic, storage, network, randomness or clock: only rules over tables."""
    for name in imported(path):
        top, _, rest = name.partition(".")
        if top == NAME:
            assert rest.split(".")[0] in ("core", "errors"), name
        elif top not in ("msgspec", "sortedcontainers") and not name.startswith(PURE_PARTS):
            assert top in sys.stdlib_module_names - IMPURE, name
    for node in ast.walk(ast.parse(path.read_text())):
        assert not isinstance(node, ast.AsyncFunctionDef | ast.Await), path.name
        if isinstance(node, ast.Call):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            assert called not in IMPURE_CALLS, f"{path.name}: {called}()"


def test_what_the_core_imports_is_pure_too() -> None:
    """The errors import nothing of this package."""
    assert not imported_rooms(PACKAGE / "errors.py")


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if room(path) in ("storage", "callbacks", "cluster")],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_only_records_are_stored_and_called(path: Path) -> None:
    """Storage and callbacks know the core's records, and none of its rules."""
    rules = (
        "state_machine", "commands", "effects", "lifecycle", "transitions", "registration_meaning",
        "matching", "evidence",
    )  # fmt: skip
    for name in imported(path):
        assert not name.startswith(tuple(f"{NAME}.core.{each}" for each in rules)), name


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_dispatcher_has_a_state_machine(path: Path) -> None:
    """A topic is changed through dispatch/ only, and so with a commit."""
    if room(path) not in ("core", "dispatch"):
        assert f"{NAME}.core.state_machine.StateMachine" not in set(imported(path))


@pytest.mark.parametrize("name", sorted(set().union(*LAYERS) - {"__main__"}))
def test_every_room_is_in_the_design(name: str) -> None:
    """docs/design.md names each room."""
    path = name.replace(".", "/")
    path = f"{path}/" if (PACKAGE / path).is_dir() else f"{path}.py"
    assert f"`{path}`" in (DOCS / "design.md").read_text()


@pytest.mark.parametrize("name", [path.name for path in IN_CORE if path.stem != "__init__"])
def test_every_module_of_the_core_is_in_the_design(name: str) -> None:
    """docs/design.md names each module of the core."""
    assert f"`{name}`" in (DOCS / "design.md").read_text()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_web_knows_sanic(path: Path) -> None:
    """Nothing below web/ imports Sanic; web/ imports no store."""
    names = set(imported(path))
    if room(path) not in ("web", "server", "app", "cli"):
        assert not [name for name in names if name.split(".")[0] == "sanic"]
    if room(path) == "web":
        assert not [name for name in names if name.startswith(f"{NAME}.storage")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_are_absolute(path: Path) -> None:
    """Each module is imported by one name."""
    tree = ast.parse(path.read_text())
    assert not [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.level]

"""The rooms of docs/design.md: imports go down only, and the core is pure."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from tests.support.paths import DOCS, ROOT

PACKAGE = ROOT / "sanic_dispatch"
NAME = PACKAGE.name

LAYERS = [
    {"errors", "clock", "enum_lookup", "garbage_collection", "strict_json"},
    {"core"},
    {"config"},
    {"cluster", "callbacks", "observability"},
    {"storage"},
    {"dispatch"},
    {"live", "history"},
    {"outbox", "replay"},
    {"observability.metrics", "client"},
    {"simulation"},
    {"web"},
    {"server"},
    {"app"},
    {"cli", "__main__"},
]
"""From the bottom to the top; a room may import its own layer and those below."""

FILES = sorted(PACKAGE.rglob("*.py"))
IN_CORE = sorted((PACKAGE / "core").glob("*.py"))
DESIGN = (DOCS / "design.md").read_text()

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


@cache
def tree_of(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(path.read_text())


@cache
def imported(path: Path) -> set[str]:
    """Return what a file imports, by full names; what is of this package begins with its name."""
    names = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module or ''}.{alias.name}" for alias in node.names}
    return names


def imported_rooms(path: Path) -> set[str]:
    """Return the rooms of this package that a file imports."""
    parts = [name.split(".") for name in imported(path)]
    return {room_of(part[1:]) for part in parts if part[0] == NAME and part[1] != "__version__"}


def where(path: Path) -> str:
    """Return the name of a file in the package."""
    return str(path.relative_to(PACKAGE))


def test_imports_go_down_only() -> None:
    """A room imports its own layer and those below, never one above."""
    wrong = [
        f"{where(path)} imports {name}"
        for path in FILES
        if room(path) != "__init__"
        for name in imported_rooms(path)
        if layer(name) > layer(room(path))
    ]
    assert wrong == []


def test_the_core_is_pure() -> None:
    """No asyncio, Sanic, storage, network, randomness or clock: only rules over tables."""
    wrong = [f"{where(path)}: {found}" for path in IN_CORE for found in impurities(path)]
    assert wrong == []


def impurities(path: Path) -> Iterator[str]:
    """Yield what a pure module does not import, call or contain."""
    for name in imported(path):
        top, _, rest = name.partition(".")
        if top == NAME:
            is_pure = rest.split(".")[0] in ("core", "errors")
        else:
            pure = {"msgspec", "sortedcontainers", *sys.stdlib_module_names} - IMPURE
            is_pure = top in pure or name.startswith(PURE_PARTS)
        if not is_pure:
            yield name
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await):
            yield type(node).__name__
        if isinstance(node, ast.Call):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in IMPURE_CALLS:
                yield f"{called}()"


def test_what_the_core_imports_is_pure_too() -> None:
    """The errors import nothing of this package."""
    assert not imported_rooms(PACKAGE / "errors.py")


def test_only_records_are_stored_and_called() -> None:
    """Storage, callbacks and cluster know the core's records, and none of its rules."""
    rules = (
        "state_machine", "commands", "effects", "lifecycle", "transitions", "registration_meaning",
        "matching", "evidence",
    )  # fmt: skip
    refused = tuple(f"{NAME}.core.{each}" for each in rules)
    wrong = [
        f"{where(path)} imports {name}"
        for path in FILES
        if room(path) in ("storage", "callbacks", "cluster")
        for name in imported(path)
        if name.startswith(refused)
    ]
    assert wrong == []


def test_only_the_dispatcher_has_a_state_machine() -> None:
    """A topic is changed through dispatch/ only, and so with a commit; a replay has no topic."""
    name = f"{NAME}.core.state_machine.StateMachine"
    having = {room(path) for path in FILES if name in imported(path)}
    assert having <= {"core", "dispatch", "replay"}


def test_every_room_is_in_the_design() -> None:
    """docs/design.md names each room, and each module of the core."""
    paths = [name.replace(".", "/") for name in set().union(*LAYERS) - {"__main__"}]
    rooms = [f"{path}/" if (PACKAGE / path).is_dir() else f"{path}.py" for path in paths]
    modules = [path.name for path in IN_CORE if path.stem != "__init__"]
    assert [name for name in (*rooms, *modules) if f"`{name}`" not in DESIGN] == []


def test_only_the_web_knows_sanic() -> None:
    """Nothing below web/ imports Sanic; web/ imports no store."""
    knowing = {
        room(path) for path in FILES if "sanic" in {name.split(".")[0] for name in imported(path)}
    }
    assert knowing <= {"web", "server", "app", "cli"}
    in_web = [path for path in FILES if room(path) == "web"]
    stores = f"{NAME}.storage"
    assert [
        where(path) for path in in_web if any(n.startswith(stores) for n in imported(path))
    ] == []


def test_imports_are_absolute() -> None:
    """Each module is imported by one name."""
    relative = [
        where(path)
        for path in FILES
        if any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(tree_of(path)))
    ]
    assert relative == []


def test_names_of_modules_are_unique() -> None:
    """No two modules of the package have one name, so that each is found at the first guess."""
    names = Counter(path.name for path in FILES if path.stem != "__init__")
    assert [name for name, count in names.items() if count > 1] == []


def test_names_of_classes_are_unique() -> None:
    """No two classes of the package have one name, be they private or not."""
    names = Counter(
        node.name.lstrip("_")
        for path in FILES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in names.items() if count > 1] == []

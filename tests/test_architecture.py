"""The rooms of docs/design.md: imports go down only, and files stay small."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "sanic_dispatch"

LAYERS = [
    {"job", "worker", "outcome", "events", "errors", "settings", "clock", "strict_json", "tasks",
     "turns", "tokens", "origins", "menu", "public_url", "redis_url", "signals", "tally",
     "request_id", "collector", "log_stream"},
    {"lifecycle", "rules", "evidence", "callbacks", "queues", "listen", "processes", "logs",
     "banner", "tls", "client", "simulation"},
    {"steps", "seal", "proof", "control", "deliveries", "submissions", "registrations", "reports",
     "dispatcher", "supervisor", "probing", "live", "listing", "metrics", "watchdog", "trail",
     "readiness", "exchange", "transfer", "original", "inspection", "mending"},
    {"web"},
    {"serving"},
    {"app", "demo"},
    {"cli", "commands", "__main__"},
]  # fmt: skip
"""From the bottom to the top; a room may import its own layer and those below."""

FILES = sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def layer(name: str) -> int:
    return next(level for level, rooms in enumerate(LAYERS) if name in rooms)


def imported_rooms(path: Path) -> set[str]:
    """The rooms of this package that a file imports."""
    tree = ast.parse(path.read_text())
    modules = [n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    names = [
        alias.name
        for n in ast.walk(tree)
        if isinstance(n, ast.ImportFrom) and n.module == "sanic_dispatch"
        for alias in n.names
    ]
    inside = [m.removeprefix("sanic_dispatch.") for m in modules if m.startswith("sanic_dispatch.")]
    return {m.split(".")[0] for m in inside} | {n for n in names if n != "__version__"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_only(path: Path) -> None:
    """A room imports its own layer and those below, never one above."""
    if room(path) == "__init__":
        return
    for imported in imported_rooms(path):
        assert layer(imported) <= layer(room(path)), f"{path.name} imports {imported}"


@pytest.mark.parametrize("name", sorted(set().union(*LAYERS) - {"__main__"}))
def test_every_room_is_in_the_plan(name: str) -> None:
    """A newcomer finds each room in docs/design.md."""
    path = f"{name}/" if (PACKAGE / name).is_dir() else f"{name}.py"
    assert f"`{path}`" in (PACKAGE.parent / "docs/design.md").read_text()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_web_knows_sanic(path: Path) -> None:
    """Nothing below web/ imports Sanic; web/ imports no concrete backend."""
    source = path.read_text()
    if room(path) not in ("web", "serving", "app", "demo"):
        assert "import sanic\n" not in source
        assert "from sanic " not in source
        assert "from sanic." not in source
    if room(path) == "web":
        assert "sanic_dispatch.queues" not in source


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_are_absolute(path: Path) -> None:
    """One way to name a module."""
    tree = ast.parse(path.read_text())
    assert not [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.level]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_stay_small(path: Path) -> None:
    """Under 300 lines: what is longer is two things."""
    assert len(path.read_text().splitlines()) < 300

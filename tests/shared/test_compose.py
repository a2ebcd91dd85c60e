"""compose.yaml: what it names is there, and compose itself takes it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def compose() -> list[str]:
    """Debian's docker-compose, or docker's own. Without it the test is skipped, but not in CI."""
    for command in (["docker-compose"], ["docker", "compose"]):
        if shutil.which(command[0]):
            done = subprocess.run([*command, "version"], capture_output=True, check=False)
            if done.returncode == 0:
                return command
    if os.environ.get("CI"):
        pytest.fail("docker-compose is missing")
    pytest.skip("docker-compose is not installed")


def test_compose_takes_it() -> None:
    """By the compose specification, as its own program reads it; a token has to be given."""
    given = {**os.environ, "SANIC_DISPATCH_OPERATOR_TOKEN": "a-token-of-the-tests"}
    command = [*compose(), "--file", str(ROOT / "compose.yaml"), "config", "--quiet"]
    done = subprocess.run(command, env=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    given.pop("SANIC_DISPATCH_OPERATOR_TOKEN")
    done = subprocess.run(command, env=given, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "give the operator a token" in done.stderr


def test_all_files_are_there() -> None:
    """Each file and folder that a container gets is in the repository."""
    sources = {
        source
        for service in SERVICES.values()
        for source, _, _ in (volume.partition(":") for volume in service.get("volumes", ()))
    }
    files = {source for source in sources if source.startswith("./")}
    assert len(files) >= 5
    assert [source for source in files if not (ROOT / source).exists()] == []
    assert sources - files == set(COMPOSE["volumes"])


@pytest.mark.parametrize("name", SERVICES)
def test_each_comes_back(name: str) -> None:
    """Every service is started again when it dies, and says whether it is well."""
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert "healthcheck" in service or service.get("build") == "."

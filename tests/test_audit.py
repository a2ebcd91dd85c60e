"""The check for known vulnerabilities in ``make check``, with a simulated pip-audit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT

AUDIT = ROOT / ".ci/audit"

SAFE = {"name": "sanic", "version": "25.3", "vulns": []}
UNKNOWN = {"name": "click", "skip_reason": "Dependency not found"}
VULNERABLE = {
    "name": "aiohttp",
    "version": "3.8",
    "vulns": [{"id": "PYSEC-2024-24", "fix_versions": ["3.9.2"]}],
}


def audit(folder: Path, printed: str) -> tuple[int, str]:
    """Return exit code and output if pip-audit prints this."""
    (folder / "pip_audit.py").write_text(f"print({printed!r})")
    env = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run([sys.executable, AUDIT], env=env, capture_output=True, text=True,
                          check=False)  # fmt: skip
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    ("packages", "code", "words"),
    [
        ([SAFE], 0, "audit: 1 packages, no known vulnerability\n"),
        ([SAFE, UNKNOWN], 0, "audit: 1 packages, no known vulnerability\n"),
        ([SAFE, VULNERABLE], 1, "audit: aiohttp 3.8: PYSEC-2024-24, mended in 3.9.2\n"),
        ([UNKNOWN], 0, "audit: nothing is known, the index here has no vulnerability service\n"),
    ],
)
def test_only_what_is_vulnerable_is_an_error(
    tmp_path: Path, packages: list[dict[str, Any]], code: int, words: str
) -> None:
    """With the version that fixes it; unknown packages are listed."""
    assert audit(tmp_path, json.dumps({"dependencies": packages})) == (code, words)


def test_an_unreachable_service_is_no_error(tmp_path: Path) -> None:
    """Offline, make check goes on."""
    code, words = audit(tmp_path, "")
    assert (code, "could not be asked" in words) == (0, True)

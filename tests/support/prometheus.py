"""Debian's Prometheus with the files of deploy/, scraping the servers of a test every second."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tests.support.paths import ROOT
from tests.support.server import eventually, free_port

DEPLOY = ROOT / "deploy"
RULES = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())["groups"][0]["rules"]
PATIENCE_S = 60.0
"""The longest time until a query is true, on a busy machine."""


def need(program: str) -> str:
    """Return the program's path; without it skip the test, except in CI, where it fails."""
    path = shutil.which(program)
    if path is None:
        if "CI" in os.environ:
            pytest.fail(f"{program} is not installed")
        pytest.skip(f"{program} is not installed")
    return path


class Prometheus:
    """A running Prometheus."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url, self.http = url, http

    async def ask(self, path: str, **query: str) -> Any:
        """Return what its API answers."""
        async with self.http.get(f"{self.url}api/v1/{path}", params=query) as response:
            return (await response.json())["data"]

    async def is_ready(self) -> bool:
        """Return whether it answers."""
        with suppress(aiohttp.ClientError):
            async with self.http.get(self.url + "-/ready") as response:
                return response.status == 200
        return False

    async def fires(self, alert: str, port: int) -> bool:
        """Return whether the alert's query is true for the server on this port."""
        (expression,) = [rule["expr"] for rule in RULES if rule["alert"] == alert]
        found = (await self.ask("query", query=expression))["result"]
        return any(each["metric"]["instance"] == f"127.0.0.1:{port}" for each in found)

    async def has_seen(self, port: int) -> bool:
        """Return whether it has scraped the server twice, as a rate needs."""
        query = f'count_over_time(dispatch_info{{instance="127.0.0.1:{port}"}}[1m])'
        found = (await self.ask("query", query=query))["result"]
        return bool(found) and float(found[0]["value"][1]) >= 2


@asynccontextmanager
async def watching(folder: Path, ports: Sequence[int], path: str = "") -> AsyncIterator[Prometheus]:
    """Run one that scrapes these ports, under this path prefix."""
    program, port = need("prometheus"), free_port()
    config = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (job,) = config["scrape_configs"]
    job["static_configs"] = [{"targets": [f"127.0.0.1:{each}" for each in ports]}]
    job["metrics_path"] = f"{path}/metrics"
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    shutil.copy(DEPLOY / "prometheus/alerts.yml", folder)
    command = [program, "--config.file", folder / "prometheus.yml", "--log.level", "error",
               "--storage.tsdb.path", folder / "tsdb",
               "--web.listen-address", f"127.0.0.1:{port}"]  # fmt: skip
    process = subprocess.Popen(command)  # noqa: ASYNC220
    try:
        async with aiohttp.ClientSession() as http:
            prometheus = Prometheus(f"http://127.0.0.1:{port}/", http)
            await eventually(prometheus.is_ready, PATIENCE_S)
            yield prometheus
    finally:
        process.kill()
        process.wait()

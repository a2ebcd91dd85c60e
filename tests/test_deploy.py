"""The files of deploy/: queries use existing metrics, and each alert has a runbook entry."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from sanic_dispatch.cli.options import all_setting_options
from sanic_dispatch.config.settings import ROLES, Mode, Settings
from sanic_dispatch.errors import SettingsError
from tests.observability.metrics.scraping import scrape
from tests.support.paths import ROOT
from tests.support.server import running_service

DEPLOY = ROOT / "deploy"
RULES = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())["groups"][0]["rules"]
DASHBOARD = json.loads((DEPLOY / "grafana/dashboards/dispatch.json").read_text())
OPERATIONS = (ROOT / "docs/operations.md").read_text()

NOT_YET = {"dispatch_promise_hit_ratio"}
"""Metrics that are missing until the first promise was due."""


def queries() -> list[str]:
    """Return every query of the dashboard and the alerts."""
    of_panels = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    of_variables = [variable["query"] for variable in DASHBOARD["templating"]["list"]]
    return [*of_panels, *of_variables, *(rule["expr"] for rule in RULES)]


def names_in(query: str) -> set[str]:
    """Return the metrics in a query."""
    return set(re.findall(r"\b(?:dispatch|process)_\w+", re.sub(r'"[^"]*"', "", query)))


async def test_every_queried_metric_exists(tmp_path: Path) -> None:
    """Queries of the dashboard and the alerts use existing metrics."""
    async with (
        running_service(mode=Mode.CACHED_JSON_FILE, data_dir=tmp_path) as service,
        service.http.ws_connect(service.base_url + "live"),
    ):
        await scrape(service)
        scraped = await scrape(service)
    asked = {name for query in queries() for name in names_in(query)}
    assert len(asked) > 20
    assert asked - scraped.names() <= NOT_YET


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_has_an_entry_in_the_runbook(rule: dict[str, Any]) -> None:
    """The entry has its name, and the alert a severity and a summary."""
    assert f"\n### {rule['alert']}\n" in OPERATIONS
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["summary"]


def test_the_runbook_has_no_other_entries() -> None:
    """Every entry belongs to an alert."""
    entries = re.findall(r"^### (Dispatch\w+)$", OPERATIONS, re.MULTILINE)
    assert entries == [rule["alert"] for rule in RULES]


def test_prometheus_accepts_the_files() -> None:
    """promtool accepts the configuration and its rules."""
    if (promtool := shutil.which("promtool")) is None:
        pytest.skip("promtool is not installed")
    command = [promtool, "check", "config", "prometheus.yml"]
    checked = subprocess.run(command, cwd=DEPLOY / "prometheus", capture_output=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_the_dashboard_uses_the_datasource_that_is_provisioned() -> None:
    """Every panel uses the provisioned one."""
    path = DEPLOY / "grafana/provisioning/datasources/prometheus.yml"
    (source,) = yaml.safe_load(path.read_text())["datasources"]
    used = {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]}
    assert used == {source["uid"]}


def test_the_unit_waits_longer_than_the_service() -> None:
    """systemd waits longer than a stop may take, and allows a descriptor per page."""
    unit = ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / "systemd/sanic-dispatch.service")
    service = unit["Service"]
    assert float(service["TimeoutStopSec"]) > Settings().stop_grace_s + 1
    assert int(service["LimitNOFILE"]) > Settings().max_connections
    assert service["RestartPreventExitStatus"] == str(SettingsError.exit_code)


UNIT = (DEPLOY / "systemd/sanic-dispatch.service").read_text()
WHOLE_UNIT = re.sub(r"^# (LoadCredential|Environment)=", r"\1=", UNIT, flags=re.MULTILINE)
"""The unit with its optional lines enabled."""


def test_variables_and_credentials_of_the_unit() -> None:
    """Each variable belongs to a setting, and each file that it names is a loaded credential."""
    given = dict(re.findall(r"^Environment=(SANIC_DISPATCH_\w+)=(.*)$", WHOLE_UNIT, re.MULTILINE))
    loaded = set(re.findall(r"^LoadCredential=([^:]+):/etc/", WHOLE_UNIT, re.MULTILINE))
    assert given.keys() <= {setting.envvar for setting in all_setting_options()[1:]}
    assert {value[3:] for value in given.values() if value.startswith("%d/")} == loaded
    assert loaded == {f"{role}.token" for role in ROLES} | {"tls.crt", "tls.key"}


@pytest.mark.parametrize("unit", [UNIT, WHOLE_UNIT], ids=["as it is", "with all"])
def test_systemd_accepts_the_unit(tmp_path: Path, unit: str) -> None:
    """systemd-analyze accepts it, except that the program is not installed there."""
    if (program := shutil.which("systemd-analyze")) is None:
        pytest.skip("systemd-analyze is not installed")
    path = tmp_path / "sanic-dispatch.service"
    path.write_text(unit.replace("/opt/sanic-dispatch/bin/sanic-dispatch", sys.executable))
    done = subprocess.run([program, "verify", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "path", sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]), ids=lambda path: path.name
)
def test_links_in_the_docs_lead_somewhere(path: Path) -> None:
    """Each links to an existing file and heading."""
    text = path.read_text()
    for target, anchor in _links_in(text):
        linked = (path.parent / target).resolve() if target else path
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", linked.read_text(), re.MULTILINE)
            known = {re.sub(r"[^\w\- ]", "", each).lower().replace(" ", "-") for each in headings}
            assert anchor in known, f"{target}#{anchor}"


def _links_in(text: str) -> list[tuple[str, str]]:
    """Return file and heading of each link and picture within the site."""
    linked = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", text)
    return [*linked, *((source, "") for source in re.findall(r'<img src="([^"]+)"', text))]

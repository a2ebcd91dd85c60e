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
from sanic_dispatch.web.polls import MAX_WAIT_S
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


FAULTY = {
    'storage_failing{queue="both"}': "1x30",
    'commit_failures_total{queue="both"}': "0+1x30",
    'commit_duration_seconds_bucket{queue="both",le="0.25"}': "0x30",
    'commit_duration_seconds_bucket{queue="both",le="1"}': "0+10x30",
    'commit_duration_seconds_bucket{queue="both",le="+Inf"}': "0+10x30",
    "history_failing": "1x30",
    "pairing_stuck_seconds": "60x30",
    "paused": "1x30",
    'webhooks{state="disabled"}': "1x30",
    'push_subscriptions{state="retrying"}': "2x30",
    'push_messages_total{outcome="delivered"}': "0x30",
    'jobs{state="waiting"}': "90x30",
    'jobs{state="in_doubt"}': "1x30",
    "jobs_unconsumed": "1x30",
    'jobs_finished_total{state="failed"}': "0+1x30",
    'deliveries_total{way="put",outcome="refused"}': "0+10x30",
    'deliveries_total{way="put",outcome="accepted"}': "0+10x30",
    'workers{state="waiting"}': "0x30",
    'workers{state="assigned"}': "0x30",
    'workers{state="aside"}': "3x30",
    "oldest_waiting_job_age_seconds": "1000x30",
    'live_clients{transport="websocket",view="board"}': "9x30",
    'limit{of="jobs"}': "100x30",
    'limit{of="live_clients"}': "10x30",
}
"""The metrics of a topic that has every fault, minute by minute."""

HEALTHY = dict.fromkeys(FAULTY, "0x30") | {
    'commit_duration_seconds_bucket{queue="both",le="0.25"}': "0+100x30",
    'commit_duration_seconds_bucket{queue="both",le="1"}': "0+100x30",
    'commit_duration_seconds_bucket{queue="both",le="+Inf"}': "0+100x30",
    'deliveries_total{way="put",outcome="accepted"}': "0+100x30",
    'workers{state="waiting"}': "50x30",
    'push_messages_total{outcome="delivered"}': "0+1x30",
    'limit{of="jobs"}': "1000x30",
    'limit{of="live_clients"}': "1000x30",
}
"""Those of a topic that is so well that both together would seem to be."""

OF_THE_SERVICE = {"DispatchDown", "DispatchSlowLoop", "DispatchErrors"}
"""Alerts about what topics share."""


@pytest.mark.parametrize("faulty", ["", "roof"])
def test_alerts_tell_topics_apart(tmp_path: Path, faulty: str) -> None:
    """Each fires for the topic that has the fault, also if another is well, and only for that."""
    if (promtool := shutil.which("promtool")) is None:
        pytest.skip("promtool is not installed")
    topics = {faulty: FAULTY, "" if faulty else "roof": HEALTHY}
    firing = sorted({rule["alert"] for rule in RULES} - OF_THE_SERVICE)
    of_topic = f', topic="{faulty}"' if faulty else ""
    check = {
        "expr": 'count by (alertname, topic) (ALERTS{alertstate="firing"})',
        "eval_time": "25m",
        "exp_samples": [
            {"labels": f'{{alertname="{alert}"{of_topic}}}', "value": 1} for alert in firing
        ],
    }
    series = [
        {"series": _series(metric, topic), "values": values}
        for topic, of_one in topics.items()
        for metric, values in of_one.items()
    ]
    tests = {
        "rule_files": [str(DEPLOY / "prometheus/alerts.yml")],
        "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": [check]}],
    }
    (tmp_path / "topics.yml").write_text(yaml.safe_dump(tests))
    command = [promtool, "test", "rules", tmp_path / "topics.yml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _series(metric: str, topic: str) -> str:
    """Return a series of a topic, as it is scraped."""
    name, _, labels = metric.rstrip("}").partition("{")
    known = {"instance": "bar:2567", "job": "dispatch"} | ({"topic": topic} if topic else {})
    given = ",".join(filter(None, [labels, *(f'{key}="{each}"' for key, each in known.items())]))
    return f"dispatch_{name}{{{given}}}"


def test_the_dashboard_can_show_one_topic() -> None:
    """Every query of what topics do not share is for the topics that are chosen."""
    selected = [
        found
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
        for found in re.findall(r"\b(?:dispatch|process)_\w+\{[^}]*\}", target["expr"])
    ]
    shared = ("dispatch_event_loop_lag", "dispatch_http_responses", "process_")
    assert len(selected) > 20
    for each in selected:
        assert ('topic=~"$topic"' in each) is not each.startswith(shared), each


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
    assert service["ExecStartPre"].startswith("-")  # that setting knows the code of ExecStart only


def test_nginx_waits_longer_than_a_poll() -> None:
    """A poll that waits as long as it may gets its answer, and not a 504 of the proxy."""
    site = (DEPLOY / "nginx/dispatch.conf").read_text()
    (timeout_s,) = re.findall(r"proxy_read_timeout (\d+)s;", site)
    assert int(timeout_s) >= MAX_WAIT_S + 10


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

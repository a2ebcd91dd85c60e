"""Schemathesis: all answers to random requests are documented, and never a 500.

SCHEMATHESIS_SEED repeats the random numbers of an earlier run; TORTURE makes it 1,000 requests per
operation.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, seed, settings
from schemathesis import Case
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from tests.support.seeds import IS_TORTURE, seed_of
from tests.support.server import free_port, server_process
from tests.web.openapi.operations import the_document

REQUESTS = 1000 if IS_TORTURE else 20
"""Random requests to each operation, after some thirty that are made from its schemas."""

SEED = seed_of("SCHEMATHESIS_SEED", in_a_check=1)
TOKEN = "schemathesis-operator-token"

UNSAYABLE = {
    "jobs_submit": "a key that was used for another job",
    "live_follow": "either view or order, and the upgrade",
    "worker_channel_converse": "the upgrade",
    "live_look": "either view or order",
    "events_find": "to is before from",
    "events_statistics": "to is before from",
    "events_recording": "to is before from",
    "workers_register": "a callback, or a name and a wait",
    "workers_withdraw": "a callback, or a name",
    "holder_report_progress": "a printable text",
    "holder_complete": "a field of a form that is JSON as text",
    "backups_back_up": "a folder that can be created",
    "push_put_subscription": "a point of the curve P-256",
    "qr_code": "an address of this very host",
}
"""Operations with rules that no schema can express: they may refuse valid data."""

DOCUMENT: dict[str, Any] = the_document()
schema = schemathesis.openapi.from_dict(DOCUMENT)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server in memory, with an operator's token."""
    port = free_port()
    folder: Path = tmp_path_factory.mktemp("schemathesis")
    arguments = ("--mode", "InMemory", "--operator-token", TOKEN, "--log-level", "error",
                 "--submit-wait", "0.05", "--callback-timeout", "0.05",
                 "--priorities", "--max-rules", "10000")  # fmt: skip
    with server_process(*arguments, port=port, cwd=folder) as process:
        yield f"http://127.0.0.1:{port}"
        assert process.poll() is None


@pytest.fixture(autouse=True)
def say_the_seed() -> None:
    """Print the seed once for each operation."""
    print(f"SCHEMATHESIS_SEED={SEED}")  # noqa: T201 - pytest shows it where the test fails


@schema.parametrize()
@seed(SEED)
@settings(max_examples=REQUESTS, suppress_health_check=list(HealthCheck))
@pytest.mark.timeout(1800 if IS_TORTURE else 120)
def test_every_operation(case: Case, url: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Status, media type, headers and schema of each answer are documented; no 500."""
    if case.query and "wait" in case.query:
        case.query["wait"] = 0
    keep_within(tmp_path_factory.getbasetemp(), case)
    name, parameters = case.operation.definition.raw["operationId"], case.operation.query
    body = case.operation.definition.raw.get("requestBody", {})
    excluded = [negative_data_rejection] if parameters else []  # unknown ones are ignored
    if name in UNSAYABLE or "reason" in str(body):  # a reason is printable, as Unicode has it
        excluded.append(positive_data_acceptance)
    is_operators = "/operator/" in case.path or name == "jobs_submit"  # who may choose a priority
    headers = {"Authorization": f"Bearer {TOKEN}"} if is_operators else {}
    case.call_and_validate(base_url=url, headers=headers, excluded_checks=excluded)


def keep_within(folder: Path, case: Case) -> None:
    """Let the service write backups below this folder only."""
    name = case.body.get("folder") if isinstance(case.body, dict) else None
    if isinstance(name, str) and name.startswith("/"):
        case.body["folder"] = f"{folder}{name.replace('..', '')}"

"""The examples: models are what an engine and its cockpit read, and a plain worker loses no job."""

from __future__ import annotations

import asyncio
import json
import runpy
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit
from xml.etree import ElementTree

import pytest

from tests.support.commands import line_of, run
from tests.support.paths import CPEE_EXAMPLES, DOCS, ROOT
from tests.support.proxy import Proxy
from tests.support.server import (
    Service,
    eventually,
    free_port,
    running_service,
    server_process,
)

MODELS = sorted(CPEE_EXAMPLES.glob("*.xml"))
RESOURCES = sorted((CPEE_EXAMPLES / "resources").iterdir())
P, D = "{http://cpee.org/ns/properties/2.0}", "{http://cpee.org/ns/description/1.0}"
RNG = "{http://relaxng.org/ns/structure/1.0}"

every_model = pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
every_resource = pytest.mark.parametrize("folder", RESOURCES, ids=lambda folder: "resource")


def root(path: Path) -> ElementTree.Element:
    return ElementTree.parse(path).getroot()


def endpoints(path: Path) -> dict[str, str]:
    found = root(path).find(f"{P}endpoints")
    assert found is not None
    return {entry.tag.removeprefix(P): entry.text or "" for entry in found}


def test_there_are_four_models_and_a_resource_for_each_endpoint() -> None:
    """One robot, two, one with rescue code, one that reports; and how the cockpit shows them."""
    assert [path.stem for path in MODELS] == ["report", "rescue", "two-robots", "worker"]
    fixed = {address for path in MODELS for address in endpoints(path).values() if address}
    described = {unquote(folder.name) for folder in RESOURCES}
    assert fixed - described == {"http-post://127.0.0.1:2567/jobs/"}
    assert described <= fixed


@every_model
def test_a_model_is_a_testset(path: Path) -> None:
    """A model has the parts of a testset, in the engine's namespaces and order."""
    testset = root(path)
    assert testset.tag == f"{P}testset"
    assert [part.tag.removeprefix(P) for part in testset] == [
        "executionhandler",
        "dataelements",
        "endpoints",
        "attributes",
        "description",
        "transformation",
    ]
    assert testset.findtext(f"{P}executionhandler") == "ruby"
    assert testset.findtext(f"{P}attributes/{P}modeltype") == "CPEE"
    assert testset.find(f"{P}description/{D}description") is not None


@every_model
def test_endpoints(path: Path) -> None:
    """Endpoints are called by POST, on a host that engines take; those that are empty are made."""
    addresses = endpoints(path)
    assert addresses["dispatcher"] == "http-post://127.0.0.1:2567/register-worker"
    for name, address in addresses.items():
        url = urlsplit(address)
        assert url.scheme == "http-post" or f"endpoints.{name} = " in path.read_text()
        assert "." in (url.hostname or ".")
        assert url.query in ("", "lost")


@every_model
def test_every_call_to_the_dispatcher_shows_the_token(path: Path) -> None:
    """The token travels in a header, where no log and no folder of the cockpit has it."""
    for call in root(path).iter(f"{D}call"):
        token = call.findtext(f"{D}parameters/{D}arguments/{D}__H_Authorization")
        assert token == (None if call.get("endpoint") == "robot" else "Bearer WORKER-TOKEN")


@every_model
def test_no_code_sleeps(path: Path) -> None:
    """Code that sleeps holds up all instances of the engine; what takes time is a call."""
    for code in (*root(path).iter(f"{D}code"), *root(path).iter(f"{D}manipulate")):
        assert "sleep" not in "".join(code.itertext())


@every_model
def test_activities(path: Path) -> None:
    """Activity ids are unique, endless loops hold them, and calls name endpoints that exist."""
    calls = list(root(path).iter(f"{D}call"))
    ids = [each.get("id") for each in (*calls, *root(path).iter(f"{D}manipulate"))]
    assert len(ids) == len(set(ids))
    assert {call.get("endpoint") for call in calls} <= endpoints(path).keys()
    in_loops = [call for loop in root(path).iter(f"{D}loop") for call in loop.iter(f"{D}call")]
    assert {call.get("id") for call in in_loops} == {call.get("id") for call in calls}
    for call in calls:
        assert call.findtext(f"{D}parameters/{D}method") == ":post"
        assert [part.tag.removeprefix(D) for part in call.findall(f"{D}code/*")] == [
            "prepare",
            "finalize",
            "update",
            "rescue",
        ]


def test_no_loop_is_empty() -> None:
    """A loop that only registers would empty the queue: each has its work in it."""
    for path in MODELS:
        for loop in root(path).iter(f"{D}loop"):
            assert [call for call in loop.iter(f"{D}call") if call.get("endpoint") == "robot"]


def test_two_robots_are_two_branches() -> None:
    """Parallel branches each have a call with an id of its own."""
    branches = list(root(CPEE_EXAMPLES / "two-robots.xml").iter(f"{D}parallel_branch"))
    ids = [call.get("id") for branch in branches for call in branch.iter(f"{D}call")]
    assert (len(branches), len(set(ids))) == (2, 4)


@every_resource
def test_a_resource_is_named_after_its_endpoint(folder: Path) -> None:
    """The folder's name is the whole endpoint, its query included, URL-escaped."""
    assert folder.name == quote(unquote(folder.name), safe="")
    assert sorted(file.name for file in folder.iterdir()) == [
        "properties.json",
        "schema.rng",
        "symbol.svg",
    ]


@every_resource
def test_what_the_cockpit_reads(folder: Path) -> None:
    """The properties are CPEE's, the schema is of arguments, the symbol is a group of SVG."""
    properties = json.loads((folder / "properties.json").read_text())
    assert properties == {"type": "event", "resource": "automatic"}
    schema = root(folder / "schema.rng")
    assert (schema.tag, schema.get("name")) == (f"{RNG}element", "arguments")
    assert schema.get("{http://rngui.org}version") == "1.2"
    assert root(folder / "symbol.svg").tag == "{http://www.w3.org/2000/svg}g"


def test_the_guide_names_every_example() -> None:
    """docs/cpee.md leads to each of them."""
    guide = (DOCS / "cpee.md").read_text()
    for path in (*MODELS, CPEE_EXAMPLES / "robot.py"):
        assert f"../examples/cpee/{path.name}" in guide


async def test_the_subscriber_in_ten_lines() -> None:
    """The example of docs/monitoring.md runs as it stands, and has ten lines or fewer."""
    guide = (DOCS / "monitoring.md").read_text()
    code = guide.partition("```python\n")[2].partition("```")[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    async with running_service() as service:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-u",
            "-c",
            code.replace("http://localhost:2567/", service.base_url),
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
        )
        assert process.stdout
        line = await asyncio.wait_for(process.stdout.readline(), 20)
        process.kill()
        await process.communicate()
    assert line.endswith(b"ready: []\n")


# ---- examples/http/worker.py: a worker that is no process instance


@asynccontextmanager
async def plain_worker(url: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The example as a process of its own; killed at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / "examples/http/worker.py"),
        url,
        *("--seconds", "0.01", *arguments),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def has(words: str) -> Callable[[str], bool]:
    return lambda line: words in line


async def ends(service: Service, job_id: str) -> dict[str, Any]:
    """The job, once it is done or failed."""

    async def is_final() -> bool:
        return (await service.job(job_id))["state"] in ("done", "failed")

    await eventually(is_final, 20)
    return await service.job(job_id)


async def test_a_plain_worker_works_on_what_waits_and_on_what_comes() -> None:
    """The first job comes in the answer, the second by PUT; both are reported, with a result."""
    async with running_service(unconsumed_after_s=0.1) as service:
        _, _, waited = await service.submit("one")
        async with plain_worker(service.base_url, "--seconds", "0.5") as process:
            assert (await ends(service, waited))["result"] == {"made": "one"}
            await line_of(process.stdout, has("done"))
            await line_of(process.stdout, has("waiting"))
            _, _, came = await service.submit("two")
            assert (await ends(service, came))["result"] == {"made": "two"}


async def test_a_plain_worker_that_died_gets_its_job_again() -> None:
    """After a restart it asks with ?lost, under the same name."""
    async with running_service() as service:
        _, _, job_id = await service.submit("one")
        async with plain_worker(service.base_url, "--seconds", "60") as process:
            await line_of(process.stdout, has("working"))
            assert (await service.job(job_id))["state"] == "assigned"
        async with plain_worker(service.base_url) as process:
            await line_of(process.stdout, has('working on "one"'))
            assert (await ends(service, job_id))["result"] == {"made": "one"}


async def test_a_plain_worker_outlives_lost_answers() -> None:
    """Of a registration that brought a job, and of a report: each is repeated."""
    async with (
        running_service() as service,
        Proxy(urlsplit(service.base_url).port or 0) as proxy,
    ):
        _, _, job_id = await service.submit("one")
        proxy.loses_answer_to = "POST /register-worker?lost"
        async with plain_worker(proxy.url, "--seconds", "1") as process:
            await line_of(process.stdout, has("no answer"))
            await line_of(process.stdout, has('working on "one"'))
            proxy.loses_answer_to = f"POST /jobs/{job_id}/complete"
            await line_of(process.stdout, has("no answer"))
            await line_of(process.stdout, has("done"))
        assert (await service.job(job_id))["result"] == {"made": "one"}


async def test_a_plain_worker_waits_for_its_dispatcher(tmp_path: Path) -> None:
    """It may be started first."""
    port = free_port()
    async with plain_worker(f"http://127.0.0.1:{port}/") as process:
        await line_of(process.stdout, has("no answer"))
        with server_process(port=port, cwd=tmp_path):
            await run("submit", '"one"', env={"SANIC_DISPATCH_URL": f"http://127.0.0.1:{port}/"})
            await line_of(process.stdout, has('working on "one"'))


async def test_a_plain_worker_says_why_it_may_not() -> None:
    """A wrong token is said, and nothing is tried again."""
    async with (
        running_service(worker_tokens=("a-token-of-workers",)) as service,
        plain_worker(service.base_url) as process,
    ):
        assert await asyncio.wait_for(process.wait(), 20) == 1


async def test_a_plain_worker_reports_failures() -> None:
    """A job that it cannot do may be done by another, until it was tried often enough."""
    worker = runpy.run_path(str(ROOT / "examples/http/worker.py"))
    async with running_service(max_attempts=1) as service:
        _, _, job_id = await service.submit("one")
        robot = worker["Worker"](service.base_url, "Robot 1", worker["Inbox"]("127.0.0.1", 0))
        job = await asyncio.to_thread(robot.next_job)
        await asyncio.to_thread(robot.fail, job, "no ice")
        ended = await ends(service, job_id)
    assert ended["state"] == "failed"
    assert "no ice" in ended["reason"]

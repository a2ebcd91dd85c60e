"""The examples: models that are valid for an engine and its cockpit, and a plain worker."""

from __future__ import annotations

import asyncio
import json
import re
import runpy
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit
from xml.etree import ElementTree

import pytest

from tests.support.commands import heed_ctrl_c, line_of, run
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


def test_there_are_five_models_and_a_resource_for_each_endpoint() -> None:
    """One that reports, with rescue code, with three drinks, two robots, one; and resources."""
    names = ["report", "rescue", "three-drinks", "two-robots", "worker"]
    assert [path.stem for path in MODELS] == names
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
    """Endpoints use POST, on a host that engines accept; others are set by the model itself."""
    addresses = endpoints(path)
    register, _, rule = addresses["dispatcher"].partition("?")
    assert register == "http-post://127.0.0.1:2567/register-worker"
    assert ("match." in rule) is (path.stem == "three-drinks")
    for name, address in addresses.items():
        url = urlsplit(address)
        assert url.scheme == "http-post" or f"endpoints.{name} = " in path.read_text()
        assert "." in (url.hostname or ".")
        assert url.query in ("", "lost", rule)


@every_model
def test_names_of_arguments(path: Path) -> None:
    """The engine makes a Ruby symbol of each, so there is no dot in any; it quotes hyphens."""
    for arguments in root(path).iter(f"{D}arguments"):
        assert all(re.fullmatch(r"[\w-]+", each.tag.removeprefix(D)) for each in arguments)


@every_model
def test_every_call_to_the_dispatcher_has_the_token(path: Path) -> None:
    """The token is a header, which is neither in logs nor in the cockpit's folders."""
    for call in root(path).iter(f"{D}call"):
        token = call.findtext(f"{D}parameters/{D}arguments/{D}__H_Authorization")
        assert token == (None if call.get("endpoint") == "robot" else "Bearer WORKER-TOKEN")


@every_model
def test_no_code_sleeps(path: Path) -> None:
    """Code that sleeps would block all instances of the engine."""
    for code in (*root(path).iter(f"{D}code"), *root(path).iter(f"{D}manipulate")):
        assert "sleep" not in "".join(code.itertext())


@every_model
def test_activities(path: Path) -> None:
    """Ids are unique, loops are endless and hold the activities, and all endpoints exist."""
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
    """Each loop does work: one that only registered would empty the queue."""
    for path in MODELS:
        for loop in root(path).iter(f"{D}loop"):
            assert [call for call in loop.iter(f"{D}call") if call.get("endpoint") == "robot"]


def test_two_robots_are_two_branches() -> None:
    """Each parallel branch has a call with an id of its own."""
    branches = list(root(CPEE_EXAMPLES / "two-robots.xml").iter(f"{D}parallel_branch"))
    ids = [call.get("id") for branch in branches for call in branch.iter(f"{D}call")]
    assert (len(branches), len(set(ids))) == (2, 4)


@every_resource
def test_a_resource_is_named_after_its_endpoint(folder: Path) -> None:
    """The folder is named by the whole endpoint with its query, URL-escaped."""
    assert folder.name == quote(unquote(folder.name), safe="")
    assert sorted(file.name for file in folder.iterdir()) == [
        "properties.json",
        "schema.rng",
        "symbol.svg",
    ]


@every_resource
def test_what_the_cockpit_reads(folder: Path) -> None:
    """Properties are CPEE's, the schema has the arguments, and the symbol is an SVG group."""
    properties = json.loads((folder / "properties.json").read_text())
    assert properties == {"type": "event", "resource": "automatic"}
    schema = root(folder / "schema.rng")
    assert (schema.tag, schema.get("name")) == (f"{RNG}element", "arguments")
    assert schema.get("{http://rngui.org}version") == "1.2"
    assert root(folder / "symbol.svg").tag == "{http://www.w3.org/2000/svg}g"


def test_the_guide_names_every_example() -> None:
    """docs/cpee.md links to each of them."""
    guide = (DOCS / "cpee.md").read_text()
    for path in (*MODELS, CPEE_EXAMPLES / "robot.py"):
        assert f"../examples/cpee/{path.name}" in guide


async def test_the_subscriber_in_ten_lines() -> None:
    """The example of docs/monitoring.md runs unchanged, and has at most ten lines."""
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


# ---- examples/http/worker.py: a worker that is not a process instance


@asynccontextmanager
async def plain_worker(url: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the example as a process; it is killed at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / "examples/http/worker.py"),
        url,
        *("--seconds", "0.01", *arguments),
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=heed_ctrl_c,
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
    """Return the job once it is done or failed."""

    async def is_final() -> bool:
        return (await service.job(job_id))["state"] in ("done", "failed")

    await eventually(is_final, 20)
    return await service.job(job_id)


async def test_a_plain_worker_gets_jobs_by_answer_and_by_put() -> None:
    """The first job comes in the answer, the second by PUT; both are completed with a result."""
    async with running_service(unconsumed_after_s=0.1) as service:
        _, _, waited = await service.submit("one")
        async with plain_worker(service.base_url, "--seconds", "0.5") as process:
            assert (await ends(service, waited))["result"] == {"made": "one"}
            await line_of(process.stdout, has("done"))
            await line_of(process.stdout, has("waiting"))
            _, _, came = await service.submit("two")
            assert (await ends(service, came))["result"] == {"made": "two"}


async def test_a_plain_worker_that_died_gets_its_job_again() -> None:
    """After a restart it registers with ?lost, under the same name."""
    async with running_service() as service:
        _, _, job_id = await service.submit("one")
        async with plain_worker(service.base_url, "--seconds", "60") as process:
            await line_of(process.stdout, has("working"))
            assert (await service.job(job_id))["state"] == "assigned"
        async with plain_worker(service.base_url) as process:
            await line_of(process.stdout, has('working on "one"'))
            assert (await ends(service, job_id))["result"] == {"made": "one"}


async def test_a_plain_worker_leaves_the_line() -> None:
    """At Ctrl-C: the next order is not sent to a callback that nobody answers."""
    async with running_service() as service, plain_worker(service.base_url) as process:
        workers = service.app.ctx.dispatcher.queries.workers

        async def waits() -> bool:
            return len(await workers()) == 1

        await eventually(waits, 20)
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 20) == 0
        assert await workers() == []


async def test_a_plain_worker_outlives_lost_answers() -> None:
    """It repeats a registration that brought a job, and a report."""
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
    """It can be started before the dispatcher."""
    port = free_port()
    async with plain_worker(f"http://127.0.0.1:{port}/") as process:
        await line_of(process.stdout, has("no answer"))
        with server_process(port=port, cwd=tmp_path):
            await run("submit", '"one"', env={"SANIC_DISPATCH_URL": f"http://127.0.0.1:{port}/"})
            await line_of(process.stdout, has('working on "one"'))


async def test_a_plain_worker_with_a_wrong_token() -> None:
    """It prints the refusal and does not try again."""
    async with (
        running_service(worker_tokens=("a-token-of-workers",)) as service,
        plain_worker(service.base_url) as process,
    ):
        assert await asyncio.wait_for(process.wait(), 20) == 1


async def test_a_plain_worker_whose_result_is_refused() -> None:
    """The job fails, or the worker would get it again, and make it again and again."""
    async with (
        running_service(max_body_bytes=1024) as service,
        plain_worker(service.base_url) as process,
    ):
        _, _, large = await service.submit("x" * 1020)
        assert (await ends(service, large))["reason"] == "its result was refused"
        _, _, job_id = await service.submit("one")
        assert (await ends(service, job_id))["result"] == {"made": "one"}
        assert process.returncode is None


async def test_a_plain_worker_that_is_not_heard_now() -> None:
    """It asks again, and reports again: the job is done, and does not fail."""
    async with running_service() as service, Proxy(service.app.ctx.settings.port) as proxy:
        _, _, job_id = await service.submit("one")
        proxy.not_now = {
            "POST /register-worker": "429 Too Many Requests",
            f"POST /jobs/{job_id}/complete": "408 Request Timeout",
        }
        async with plain_worker(proxy.url):
            assert (await ends(service, job_id))["state"] == "done"
        assert proxy.not_now == {}


async def test_a_plain_worker_reports_failures() -> None:
    """A failed job is tried by others until max_attempts; the reason may be any text."""
    worker = runpy.run_path(str(ROOT / "examples/http/worker.py"))
    async with running_service(max_attempts=1) as service:
        _, _, job_id = await service.submit("one")
        robot = worker["Worker"](service.base_url, "Robot 1", worker["Inbox"]("127.0.0.1", 0))
        job = await asyncio.to_thread(robot.next_job)
        await asyncio.to_thread(robot.fail, job, "no ice\n" * 100)
        ended = await ends(service, job_id)
    assert ended["state"] == "failed"
    assert "no ice" in ended["reason"]

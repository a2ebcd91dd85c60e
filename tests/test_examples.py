"""The examples for modellers: what is in them is what an engine and its cockpit read."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import pytest

from tests.kit.server import running_service

EXAMPLES = Path(__file__).parent.parent / "examples" / "cpee"
MODELS = sorted(EXAMPLES.glob("*.xml"))
RESOURCES = sorted((EXAMPLES / "resources").iterdir())
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


def test_there_are_three_models_and_a_resource() -> None:
    """One robot, two robots, one with rescue code; and how the cockpit shows the service."""
    assert [path.stem for path in MODELS] == ["rescue", "two-robots", "worker"]
    assert len(RESOURCES) == 1


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
    """Endpoints are the registration by POST, on a host that engines take, with a token."""
    for endpoint in endpoints(path).values():
        url = urlsplit(endpoint)
        assert url.scheme == "http-post"
        assert url.path == "/register-worker"
        assert "." in (url.hostname or "")
        assert "token=WORKER-TOKEN" in url.query.split("&")


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
            assert list(loop.iter(f"{D}manipulate"))


def test_two_robots_are_two_branches() -> None:
    """Parallel branches each have a call with an id of its own."""
    branches = list(root(EXAMPLES / "two-robots.xml").iter(f"{D}parallel_branch"))
    ids = [call.get("id") for branch in branches for call in branch.iter(f"{D}call")]
    assert len(branches) == len(set(ids)) == 2


def test_rescue_registers_again_with_lost() -> None:
    """The rescue code turns to the endpoint with ?lost, the next answer turns back."""
    path = EXAMPLES / "rescue.xml"
    assert urlsplit(endpoints(path)["again"]).query.startswith("lost&")
    code = next(root(path).iter(f"{D}code"))
    assert "endpoints.again" in (code.findtext(f"{D}rescue") or "")
    assert "endpoints.normally" in (code.findtext(f"{D}finalize") or "")
    condition = next(root(path).iter(f"{D}alternative")).get("condition", "")
    assert "data.mixed" in condition


@every_resource
def test_a_resource_is_named_after_its_endpoint(folder: Path) -> None:
    """The folder's name is the URL-escaped endpoint, without the query."""
    assert unquote(folder.name) == endpoints(EXAMPLES / "worker.xml")["dispatcher"].split("?")[0]
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
    guide = (EXAMPLES.parent.parent / "docs" / "cpee.md").read_text()
    for path in MODELS:
        assert f"../examples/cpee/{path.name}" in guide


async def test_the_subscriber_in_ten_lines() -> None:
    """The example of docs/monitoring.md runs as it stands, and has ten lines or fewer."""
    guide = (EXAMPLES.parent.parent / "docs" / "monitoring.md").read_text()
    code = guide.partition("```python\n")[2].partition("```")[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    async with running_service() as service:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-u",
            "-c",
            code.replace("http://localhost:2567/", service.base_url),
            stdout=asyncio.subprocess.PIPE,
            cwd=EXAMPLES.parent.parent,
        )
        assert process.stdout
        line = await asyncio.wait_for(process.stdout.readline(), 20)
        process.kill()
        await process.communicate()
    assert line.endswith(b"ready: []\n")

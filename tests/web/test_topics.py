"""Topics: several lines in one service, each under its own path."""

from __future__ import annotations

import asyncio
import io
import json
from dataclasses import replace
from itertools import product
from urllib.parse import urljoin

import aiohttp
import pytest
from yarl import URL

from sanic_dispatch.config.settings import LogFormat, Mode
from sanic_dispatch.errors import DataFolderInUse, NotAQueue
from sanic_dispatch.observability.log import configure
from tests.observability.metrics.scraping import Scrape
from tests.support.server import eventually, running_service
from tests.support.tablet import tablet

TOPICS = {
    "roof": {"title": "The roof", "operator_tokens": ("operator-of-the-roof",), "max_jobs": 1},
    "cellar": {"listed": False, "submit_tokens": ("submit-in-the-cellar",)},
}
OPERATOR = "operator-of-the-house"


@pytest.fixture
async def house():
    """A service with the unnamed topic and two others."""
    values = {"operator_tokens": (OPERATOR,), "submit_wait_s": 0.0, "topics": TOPICS}
    async with running_service(**values) as service:
        yield service


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def waiting(service, path: str, token: str = OPERATOR) -> list[str]:
    """Return the ids of the jobs that a topic lists."""
    url = f"{service.base_url}{path}operator/jobs"
    async with service.http.get(url, headers=bearer(token), raise_for_status=True) as answer:
        return [job["id"] for job in (await answer.json())["jobs"]]


async def test_each_topic_has_a_line_of_its_own(house):
    """An order waits where it was submitted, and its Location is relative to that."""
    placed = {}
    for path in ("", "topics/roof/"):
        url = house.base_url + path
        async with house.http.post(url + "submit-job", json={"drink": "beer"}) as answer:
            assert answer.status == 202
            place = placed[path] = answer.headers["Location"]
        async with house.http.get(url + place) as answer:
            assert (answer.status, (await answer.json())["ticket"]) == (200, 1)
    for path in ("", "topics/roof/"):
        assert await waiting(house, path) == [placed[path].removeprefix("jobs/")]
    assert await waiting(house, "topics/cellar/") == []


async def test_the_topics_are_listed(house):
    """The unnamed one first, without those that are not listed; paused ones say so."""
    url = house.base_url + "topics/roof/operator/pause"
    async with house.http.post(url, headers=bearer(OPERATOR)) as answer:
        assert answer.status in (200, 204)
    for path in ("topics", "topics/"):
        async with house.http.get(house.base_url + path) as answer:
            assert await answer.json() == {
                "topics": [
                    {"name": "", "title": "", "orders": "open"},
                    {"name": "roof", "title": "The roof", "orders": "paused"},
                ]
            }


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("topics/rof/jobs/1", "there is no topic 'rof'; did you mean 'roof'?"),
        ("topics/cella/", "there is no topic 'cella'"),
        *(
            (f"topics/rof/{path}", "there is no topic 'rof'; did you mean 'roof'?")
            for path in ("public/monitor.html", "docs", "openapi.json", "state", "topics", "")
        ),
    ],
)
async def test_an_unknown_topic(house, path, detail):
    """404 with the nearest of the listed names, whatever is asked."""
    async with house.http.get(house.base_url + path) as answer:
        problem = await answer.json()
        assert (answer.status, problem["Error"]) == (404, "UnknownTopic")
        assert problem["detail"] == detail
    async with house.http.post(f"{house.base_url}topics/rof/submit-job", json={}) as answer:
        assert (answer.status, (await answer.json())["Error"]) == (404, "UnknownTopic")
    with pytest.raises(aiohttp.WSServerHandshakeError, match="404"):
        await house.http.ws_connect(f"{house.base_url}topics/rof/live")


@pytest.mark.parametrize(("method", "path"), [("GET", "jobs/1"), ("POST", "submit-job")])
async def test_a_name_that_is_percent_encoded(house, method, path):
    """It is unknown, also on the fast path: names are compared as they are sent."""
    url = URL(f"{house.base_url}topics/r%6fof/{path}", encoded=True)
    async with house.http.request(method, url, json={}) as answer:
        assert (answer.status, (await answer.json())["Error"]) == (404, "UnknownTopic")


async def test_tokens(house):
    """An operator's token of a topic is good only there, that of the service everywhere."""
    assert await waiting(house, "topics/roof/", "operator-of-the-roof") == []
    for path in ("", "topics/cellar/"):
        with pytest.raises(aiohttp.ClientResponseError, match="401"):
            await waiting(house, path, "operator-of-the-roof")
    async with house.http.post(f"{house.base_url}topics/cellar/submit-job", json={}) as answer:
        assert answer.status == 401


@pytest.mark.parametrize(
    ("token", "names"),
    [(OPERATOR, ["", "roof", "cellar"]), ("operator-of-the-roof", ["roof"])],
)
async def test_what_a_token_opens(house, token, names):
    """The service's opens all topics, also those that are not listed; a topic's own only that.

    The URLs lead to their pages from wherever they are asked for.
    """
    paths = {"": "", "roof": "topics/roof/", "cellar": "topics/cellar/"}
    titles = {"": "", "roof": "The roof", "cellar": "cellar"}
    for name, slash in product(names, ("", "/")):
        url = f"{house.base_url}{paths[name]}operator/topics{slash}"
        async with house.http.get(url, headers=bearer(token)) as answer:
            found = (await answer.json())["topics"]
        assert [(each["name"], each["title"]) for each in found] == [
            (each, titles[each]) for each in names
        ]
        assert [urljoin(url, each["url"]) for each in found] == [
            house.base_url + paths[each] for each in names
        ]
    for refused in paths.keys() - names:
        url = f"{house.base_url}{paths[refused]}operator/topics"
        async with house.http.get(url, headers=bearer(token)) as answer:
            assert answer.status == 401


async def test_own_limits(house):
    """A topic's limit is its own."""
    for status in (202, 503):
        async with house.http.post(f"{house.base_url}topics/roof/submit-job", json={}) as answer:
            assert answer.status == status
    assert (await house.submit({}))[0] == 202


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("", {}),
        ("topics/roof/", {"title": "The roof"}),
        ("topics/cellar/", {"title": "cellar", "submit_token": True}),
    ],
)
async def test_what_pages_have_to_know(house, path, more):
    """The port, the title or else the name, and whether an order needs a token."""
    async with house.http.get(f"{house.base_url}{path}public/config.json") as answer:
        config = await answer.json()
    port = house.base_url.rstrip("/").rpartition(":")[2]
    assert config == {"server_port": int(port), **more}


async def test_pages_and_live_channel(house):
    """Pages, documents and the live channel are there below each topic."""
    url = house.base_url + "topics/roof"
    async with house.http.get(url + "/", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (302, "public/order_drink.html")
    async with house.http.get(url, allow_redirects=False) as answer:
        assert answer.headers["Location"] == "roof/public/order_drink.html"
    for path in ("/public/board.html", "/menu", "/docs", "/openapi.json", "/health", "/ready"):
        async with house.http.get(url + path) as answer:
            assert answer.status == 200, path
    async with house.http.ws_connect(url + "/live") as channel:
        first = await channel.receive_json()
        await house.submit({})
        async with house.http.post(f"{url}/submit-job", json={"drink": "beer"}):
            pass
        async with asyncio.timeout(10):
            while "patch" not in (then := await channel.receive_json()):
                """Heartbeats come, too."""
    assert first["state"]["bar"]["waiting"] == 0
    assert then["patch"]["bar"]["waiting"] == 1


async def test_the_document_of_a_topic(house):
    """It has all operations but the list of topics, relative to the topic's path."""
    documents = []
    for path in ("", "topics/roof/"):
        async with house.http.get(f"{house.base_url}{path}openapi.json") as answer:
            documents.append(await answer.json())
    service, roof = documents
    assert roof["servers"] == [{"url": "./", "description": "relative to this document"}]
    assert service["paths"].pop("/topics")
    assert roof == service
    async with house.http.get(house.base_url + "topics/roof/topics") as answer:
        assert (answer.status, (await answer.json())["Error"]) == (404, "NotFound")


async def test_metrics_have_the_topic(house):
    """A named topic is a label; what belongs to the unnamed one has none."""
    await house.submit({})
    for path in ("", "topics/roof/"):
        async with house.http.get(f"{house.base_url}{path}metrics") as answer:
            scraped = Scrape(await answer.text())
        assert scraped.value("dispatch_jobs", state="waiting") == 1
        for topic in TOPICS:
            assert scraped.value("dispatch_jobs", state="waiting", topic=topic) == 0
        assert scraped.text.count("# TYPE dispatch_jobs gauge") == 1
        assert not [each for each in scraped.samples() if each.labels.get("topic") == ""]
        responses = [each for each in scraped.samples() if "http_responses" in each.name]
        assert responses
        assert not [each for each in responses if "topic" in each.labels]


async def test_files_of_a_topic(tmp_path):
    """A topic's files are in a folder of its own, and are there after a restart."""
    values = {
        "mode": Mode.SQLITE,
        "data_dir": tmp_path,
        "topics": {"roof": {}},
        "operator_tokens": (OPERATOR,),
        "submit_wait_s": 0.0,
    }
    async with running_service(**values) as service:
        url = f"{service.base_url}topics/roof/submit-job"
        async with service.http.post(url, json=[7]) as answer:
            job_id = answer.headers["Location"].removeprefix("jobs/")
    assert (tmp_path / "topics" / "roof" / "dispatch.sqlite3").is_file()
    async with running_service(**values) as service:
        assert await waiting(service, "topics/roof/") == [job_id]
        assert await waiting(service, "") == []


async def test_two_topics_in_one_folder(tmp_path):
    """The second is refused: a folder belongs to one topic."""
    (tmp_path / "topics" / "cellar").mkdir(parents=True)
    (tmp_path / "topics" / "roof").symlink_to(tmp_path / "topics" / "cellar")
    values = {"mode": Mode.SQLITE, "data_dir": tmp_path, "topic_names": ("cellar", "roof")}
    with pytest.raises(DataFolderInUse):
        async with running_service(**values):
            """It does not start."""


async def test_a_topic_that_cannot_be_opened(tmp_path):
    """The topics opened before it are closed as at a stop: with whole files, and no journal."""
    damaged = tmp_path / "topics" / "roof" / "jobs.json"
    damaged.parent.mkdir(parents=True)
    damaged.write_text("[")
    values = {"mode": Mode.CACHED_JSON_FILE, "data_dir": tmp_path}
    with pytest.raises(NotAQueue):
        async with running_service(**values, topics={"roof": {}}):
            pass
    assert json.loads((tmp_path / "dispatch.json").read_text())["version"] == 1
    async with running_service(**values) as service:
        assert await waiting(service, "", service.app.ctx.settings.operator_tokens[0]) == []


async def test_workers_without_an_address_are_of_their_topic(house):
    """A websocket and a poll get the jobs of the topic in their path, and no others."""
    at_the_roof = replace(house, base_url=house.base_url + "topics/roof/")
    for service, name in ((house, "house"), (at_the_roof, "roof")):
        async with tablet(service) as worker:
            await worker.ok(register={"worker": "tablet-1"})
            await house.http.post(service.base_url + "submit-job", json=name)
            job = await worker.hear("job")
            assert job["data"] == name
        poll = service.base_url + "register-worker?wait=5"
        async with house.http.post(poll, headers={"Worker-Id": "shell-1"}) as answer:
            assert (await answer.json())["Job"]["data"] == name


@pytest.fixture
def log():
    """All that the service logs, as JSON."""
    stream = io.StringIO()
    configure(LogFormat.JSON, stream=stream)
    yield stream
    configure()


async def test_lines_of_the_log(log, tmp_path):
    """Those of storage, erasures and backups name their topic, too, if it has a name."""
    data = tmp_path / "data"
    for folder in (data / "history", data / "topics" / "roof" / "history"):
        folder.mkdir(parents=True)
        (folder / "epochs.json").write_text("damaged")
    values = {"operator_tokens": (OPERATOR,), "data_dir": data, "topics": {"roof": {}}}

    async def are_erased() -> bool:
        return log.getvalue().count("data.erased") == 2

    async with running_service(mode=Mode.JSON_FILE, submit_wait_s=0.0, **values) as service:

        async def act(method: str, url: str, **body: str) -> str:
            """Make a request as the operator; return where the answer leads."""
            made = service.http.request(method, url, json=body, headers=bearer(OPERATOR))
            async with made as answer:
                assert answer.status < 300
                return answer.headers.get("Location", "")

        for path in ("", "topics/roof/"):
            base = service.base_url + path
            job = await act("POST", base + "submit-job")
            await act("DELETE", base + job)
            await act("DELETE", f"{base}operator/{job}/data")
            await act("POST", base + "operator/backup", folder=f"{tmp_path / 'backup'}{len(path)}")
        await eventually(are_erased)
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    for event in ("history.damaged", "job.forgotten", "data.erased", "backup.made"):
        topics = [line.get("topic", "") for line in lines if line["event"] == event]
        assert sorted(topics) == ["", "roof"], event

"""The routes of jobs: POST /submit-job, GET and DELETE, literally."""

from __future__ import annotations

from collections.abc import AsyncIterator
from io import BytesIO

import aiohttp
import pytest
from yarl import URL

from tests.support.server import Service, running_service


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running_service() as service:
        yield service


async def post(
    service: Service, body: bytes, media_type: str | None = "application/json"
) -> tuple[int, dict[str, object]]:
    headers = {"Content-Type": media_type} if media_type else {}
    url = service.base_url + "submit-job"
    async with service.http.post(
        url, data=BytesIO(body), headers=headers, skip_auto_headers=["Content-Type"]
    ) as response:
        assert response.status < 300 or response.content_type == "application/problem+json"
        return response.status, await response.json(content_type=None)


async def test_without_workers_it_waits(service: Service) -> None:
    """202 with the position, counting this job, and a Location."""
    for position in (1, 2):
        async with service.http.post(service.base_url + "submit-job", json={"n": 1}) as response:
            assert response.status == 202
            assert await response.read() == b'{"Queued":{"position":%d}}' % position
            assert response.content_type == "application/json"
            assert response.headers["Location"].startswith("jobs/")


async def test_the_location_leads_to_the_job(service: Service) -> None:
    """Also from a path with a slash at its end, which the original's clients may use."""
    for path in ("submit-job", "submit-job/"):
        async with service.http.post(service.base_url + path, json={}) as response:
            assert response.status == 202
            location = response.url.join(URL(response.headers["Location"]))
        async with service.http.get(location) as response:
            assert response.status == 200


@pytest.mark.parametrize(
    "body",
    [b"null", b"0", b'""', b"[]", b' {"a" : 1.50}\n', b'{"a":1,"a":2}', b"9007199254740993",
     b"-0.0", b"1E400".replace(b"400", b"4"), '"\u00fc\U0001f378"'.encode(), b'"\\ud83c\\udf78"',
     b"[" * 127 + b"]" * 127],
    ids=repr,
)  # fmt: skip
async def test_any_json_is_accepted(service: Service, body: bytes) -> None:
    """Any JSON up to a depth of 127."""
    assert (await post(service, body))[0] == 202


@pytest.mark.parametrize(
    "body",
    [b"", b" ", b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-", b"01", b"1.", b".5", b"+1",
     b'"\n"', b'"\\ud800"', b'"\\udc00\\ud800"', b"{} {}", b"\xef\xbb\xbf{}", b'"\xff"',
     b"{'a':1}", b"[1,]", b'{"a"}', b"tru", b"[" * 128 + b"]" * 128, b"[" * 100_000, b"1" * 5000,
     b"\x00"],
    ids=lambda body: repr(body[:20]),
)  # fmt: skip
async def test_what_is_not_strict_json_is_refused(service: Service, body: bytes) -> None:
    """400 InvalidJson, and nothing is queued."""
    status, problem = await post(service, body)
    assert (status, problem["Error"], problem["status"]) == (400, "InvalidJson", 400)
    assert (await post(service, b"1"))[1] == {"Queued": {"position": 1}}


@pytest.mark.parametrize(
    ("media_type", "status"),
    [
        ("application/json", 202),
        ("application/json; charset=utf-8", 202),
        ("APPLICATION/JSON", 202),
        ("application/vnd.bar+json", 202),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/jsonx", 415),
        (None, 415),
    ],
)
async def test_only_json_media_types(service: Service, media_type: str | None, status: int) -> None:
    """415 for other media types."""
    assert (await post(service, b"{}", media_type))[0] == status


async def test_two_mebibytes_and_no_more(service: Service) -> None:
    """2 MiB are accepted; one byte more is 413, and the client receives it."""
    limit = 2 * 2**20
    assert (await post(service, b'"%b"' % (b"x" * (limit - 2))))[0] == 202
    status, problem = await post(service, b'"%b"' % (b"x" * (limit - 1)))
    assert (status, problem["status"]) == (413, 413)


async def test_the_media_type_is_checked_before_the_size(service: Service) -> None:
    """Order of the checks: media type, size, JSON."""
    assert (await post(service, b"x" * (2 * 2**20 + 1), "text/plain"))[0] == 415
    assert (await post(service, b"x" * (2 * 2**20 + 1)))[0] == 413


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_another_method_is_a_problem_document(service: Service, method: str) -> None:
    """405, as a problem document."""
    async with service.http.request(method, service.base_url + "submit-job") as response:
        assert response.status == 405
        assert response.content_type == "application/problem+json"


async def test_an_unknown_path_is_a_problem_document(service: Service) -> None:
    """404 as a problem document."""
    async with service.http.get(service.base_url + "nope<script>") as response:
        assert response.status == 404
        problem = await response.json(content_type="application/problem+json")
        assert problem["Error"] == "NotFound"
        assert "script" not in str(problem)


async def test_a_job_can_be_looked_up_and_cancelled(service: Service) -> None:
    """By GET and DELETE of its Location."""
    _, _, first = await service.submit({"drink": "mojito"})
    _, _, second = await service.submit(2)
    shown = await service.job(second)
    assert shown == {
        "id": second,
        "ticket": 2,
        "state": "waiting",
        "position": 2,
        "submitted_at": shown["submitted_at"],
        "eta": None,
        "priority": 3,
        "why": {"reason": "no_worker"},
    }
    async with service.http.delete(f"{service.base_url}jobs/{first}") as response:
        assert response.status == 204
    assert (await service.job(second))["position"] == 1
    cancelled = await service.job(first)
    assert (cancelled["state"], cancelled["position"]) == ("cancelled", None)
    async with service.http.delete(f"{service.base_url}jobs/{first}") as response:
        problem = await response.json(content_type="application/problem+json")
        assert (response.status, problem["Error"]) == (409, "WrongState")
        assert problem["state"] == "cancelled"


async def test_an_unknown_job_is_404(service: Service) -> None:
    """Unknown ids are 404."""
    async with service.http.get(f"{service.base_url}jobs/{'0' * 32}") as response:
        assert response.status == 404
        assert (await response.json(content_type=None))["Error"] == "UnknownJob"


async def test_expect_continue_is_answered(service: Service) -> None:
    """A client that sends Expect: 100-continue gets 100."""
    async with service.http.post(
        service.base_url + "submit-job",
        data=b"1",
        headers={"Content-Type": "application/json"},
        expect100=True,
        timeout=aiohttp.ClientTimeout(total=5),
    ) as response:
        assert response.status == 202

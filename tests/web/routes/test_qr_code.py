"""The QR code of the order page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest

from sanic_dispatch.config.settings import Settings
from sanic_dispatch.errors import SettingsError
from sanic_dispatch.web.routes.qr_code import draw
from tests.support.http_requests import Answer, ask
from tests.support.server import Service, running_service

PAGE = "public/order_drink.html"


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running_service() as service:
        yield service


async def code_of(service: Service, url: str, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await ask(service, "GET", f"qr.svg?url={quote(url, safe='')}", headers=named)


async def test_the_code_of_the_pages_own_address(service: Service) -> None:
    """A scalable SVG that may be cached for five minutes, with conditional requests."""
    url = service.base_url + "ports/2567/" + PAGE
    answer = await code_of(service, url)
    assert (answer.status, answer.raw) == (200, draw(url))
    assert answer.raw.startswith(b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ')
    assert answer.headers["Content-Type"] == "image/svg+xml"
    assert answer.headers["Cache-Control"] == "max-age=300"
    again = await code_of(service, url, If_None_Match=answer.headers["ETag"])
    assert (again.status, again.raw) == (304, b"")


async def test_another_address_has_another_code(service: Service) -> None:
    """The code depends on the URL."""
    one, two = [await code_of(service, service.base_url + path) for path in (PAGE, PAGE + "?a=b")]
    assert one.raw != two.raw


@pytest.mark.parametrize(
    "url",
    ["", "/" + PAGE, "https://evil.example/" + PAGE, "javascript:alert(1)", "ftp://{host}/",
     "http://{host}@evil.example/", "http://evil.example/?{host}", "http://a@{host}/",
     "http://{host}.evil.example/", "http://{host}/#x", "http://{host}/a b", "http://{host}/\u00fc",
     "http://{host}/" + "x" * 300, "http://[{host}/", "//{host}/", "http:{host}"],
)  # fmt: skip
async def test_no_code_of_anything_else(service: Service, url: str) -> None:
    """Only http and https on this host, so that it makes no codes of other sites."""
    host = service.base_url.removeprefix("http://").strip("/")
    answer = await code_of(service, url.format(host=host))
    assert (answer.status, answer.body["Error"]) == (400, "InvalidRequest")


async def test_the_host_that_a_trusted_proxy_names() -> None:
    """Behind a proxy, host and scheme are those that the browser requested."""
    url = "https://bar.example/" + PAGE
    forwarded = {"X_Forwarded_Host": "bar.example"}
    async with running_service(trusted_proxies=("127.0.0.1",)) as service:
        assert (await code_of(service, url, **forwarded)).raw == draw(url)
    async with running_service() as service:
        assert (await code_of(service, url, **forwarded)).status == 400


@pytest.mark.parametrize(
    ("public_url", "page"),
    [
        ("https://bar.example", "https://bar.example/" + PAGE),
        ("http://bar.example:81/ports/1/", "http://bar.example:81/ports/1/" + PAGE),
        ("https://bar.example/?token=abcdefgh", f"https://bar.example/{PAGE}?token=abcdefgh"),
    ],
)
async def test_public_url(public_url: str, page: str) -> None:
    """--public-url replaces the URL of the page; its query is kept."""
    async with running_service(public_url=public_url) as service:
        assert (await ask(service, "GET", "qr.svg")).raw == draw(page)
        assert (await code_of(service, service.base_url + PAGE)).raw == draw(page)


async def test_public_url_of_a_topic() -> None:
    """A topic's code leads to its own order page, also if only the service has a --public-url."""
    topics = {"roof": {}, "cellar": {"public_url": "https://cellar.example/"}}
    async with running_service(public_url="https://bar.example/p/?a=b", topics=topics) as service:
        for path, page in (
            ("", f"https://bar.example/p/{PAGE}?a=b"),
            ("topics/roof/", f"https://bar.example/p/topics/roof/{PAGE}?a=b"),
            ("topics/cellar/", f"https://cellar.example/{PAGE}"),
        ):
            assert (await ask(service, "GET", f"{path}qr.svg")).raw == draw(page)


@pytest.mark.parametrize(
    "public_url", ["bar.example", "ftp://bar.example", "https://a@bar.example", "https://b/#x",
                   "https://", "https://b\n.example", "https://b/" + "x" * 300, "https://[b"]
)  # fmt: skip
def test_an_invalid_public_url(public_url: str) -> None:
    """It is refused at the start, in one line."""
    with pytest.raises(SettingsError, match="^--public-url must be a URL such as https://"):
        Settings(public_url=public_url)

"""Pages as files: which one is sent, and when it need not be sent again."""

from __future__ import annotations

import asyncio
import gzip
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession

from sanic_dispatch.web.routes.pages import shipped_files
from tests.support.http_requests import address_of, ask
from tests.support.server import Service, running_service

PAGE = "public/order_drink.html"
OLD, NEW = "Mon, 01 Jan 2001 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"
PATHS = ["", PAGE, "public/config.json", "health", "ready", "menu"]


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running_service() as service:
        yield service


async def test_a_page_is_the_file(service: Service) -> None:
    """Its very bytes, its type, and validators; a browser asks before it uses it again."""
    answer = await ask(service, "GET", PAGE)
    assert answer.raw == (shipped_files() / "order_drink.html").read_bytes()
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["ETag"].strip('"').isalnum()
    assert answer.headers["Last-Modified"].endswith(" GMT")


@pytest.mark.parametrize("taken", ["gzip", "br, GZIP;q=0.5", "deflate,gzip ; q = 1.0"])
async def test_a_text_is_packed_for_who_takes_it(service: Service, taken: str) -> None:
    """Far fewer bytes, with a tag of their own, that make the very file again."""
    url = service.base_url + PAGE
    async with ClientSession(auto_decompress=False) as http:
        async with http.get(url, headers={"Accept-Encoding": taken}) as answer:
            packed = await answer.read()
            assert answer.headers["Content-Encoding"] == "gzip"
            assert answer.headers["Vary"] == "Accept-Encoding"
        async with http.get(url, headers={"Accept-Encoding": "identity"}) as plain:
            assert plain.headers["ETag"] != answer.headers["ETag"]
        known = {"Accept-Encoding": taken, "If-None-Match": answer.headers["ETag"]}
        async with http.get(url, headers=known) as again:
            assert again.status == 304
    page = (shipped_files() / "order_drink.html").read_bytes()
    assert gzip.decompress(packed) == page
    assert len(packed) < len(page) / 2


@pytest.mark.parametrize("path", ["docs", "openapi.json"])
async def test_the_interface_is_packed_too(service: Service, path: str) -> None:
    """What is written on the fly comes compressed like a file."""
    async with ClientSession(auto_decompress=False) as http:
        url, gzipped = service.base_url + path, {"Accept-Encoding": "gzip"}
        async with http.get(url, headers=gzipped) as answer:
            packed = await answer.read()
            assert answer.headers["Content-Encoding"] == "gzip"
            assert answer.headers["Vary"] == "Accept-Encoding"
        known = {**gzipped, "If-None-Match": answer.headers["ETag"]}
        async with http.get(url, headers=known) as again:
            assert again.status == 304
    assert len(packed) < len(gzip.decompress(packed)) / 4


@pytest.mark.parametrize("page", ["order", "board"])
async def test_a_page_copied_from_an_earlier_version_finds_its_script(
    service: Service, page: str
) -> None:
    """Its old address leads to the new one."""
    script = (await ask(service, "GET", f"public/js/{page}_page.js")).raw
    assert f"import './{page}/page.js';".encode() in script


@pytest.mark.parametrize("taken", ["", "identity", "br", "gzip;q=0", "gzip; q=0.000", "xgzip"])
async def test_nothing_is_packed_for_who_does_not_take_it(service: Service, taken: str) -> None:
    """The file as it is; and whoever keeps it for others is told what it depends on."""
    answer = await ask(service, "GET", PAGE, headers={"Accept-Encoding": taken})
    assert "Content-Encoding" not in answer.headers
    assert answer.headers["Vary"] == "Accept-Encoding"


async def test_what_does_not_get_smaller_is_not_packed(tmp_path: Path) -> None:
    """Pictures and tiny files."""
    (tmp_path / "photo.png").write_bytes(bytes(2000))
    (tmp_path / "tiny.txt").write_text("tiny")
    async with running_service(public=tmp_path) as service:
        for path in ("photo.png", "tiny.txt"):
            answer = await ask(service, "GET", f"public/{path}")
            assert "Content-Encoding" not in answer.headers


@pytest.mark.parametrize(
    ("path", "kind"),
    [("css/base.css", "text/css; charset=utf-8"),
     ("js/order/page.js", "text/javascript; charset=utf-8"),
     ("img/robot.svg", "image/svg+xml"), ("notes.unheard-of", "text/plain; charset=utf-8")],
)  # fmt: skip
async def test_a_file_says_what_it_is(tmp_path: Path, path: str, kind: str) -> None:
    """By its name; what nobody knows is text, since no browser may guess."""
    (tmp_path / "notes.unheard-of").write_text("<script>")
    async with running_service(public=tmp_path) as service:
        answer = await ask(service, "GET", f"public/{path}")
        assert (answer.status, answer.headers["Content-Type"]) == (200, kind)


async def test_what_is_known_is_not_sent_again(service: Service) -> None:
    """304 without a body for the same tag, a weak one too, or for a time that is not before."""
    first = (await ask(service, "GET", PAGE)).headers
    tag, date = first["ETag"], first["Last-Modified"]
    for known in (
        {"If-None-Match": tag},
        {"If-None-Match": f'"other", W/{tag}'},
        {"If-None-Match": "*"},
        {"If-Modified-Since": date},
        {"If-Modified-Since": NEW},
    ):
        answer = await ask(service, "GET", PAGE, headers=known)
        assert (answer.status, answer.raw) == (304, b""), known
        assert answer.headers["ETag"] == tag
        assert "Content-Security-Policy" in answer.headers


async def test_what_is_not_known_is_sent(service: Service) -> None:
    """Another tag counts more than any time; what is no date is not looked at."""
    for known in (
        {"If-None-Match": '"other"'},
        {"If-None-Match": '"other"', "If-Modified-Since": NEW},
        {"If-Modified-Since": OLD},
        {"If-Modified-Since": "yesterday"},
        {"If-Modified-Since": "Mon, 01 Jan 0000 00:00:00 GMT"},
    ):
        assert (await ask(service, "GET", PAGE, headers=known)).status == 200, known


async def test_an_edit_is_seen(tmp_path: Path) -> None:
    """Another content has another tag, also when it is as long and as old."""
    page = tmp_path / "order_drink.html"
    async with running_service(public=tmp_path) as service:
        tags = set()
        for content in ("<p>one</p>", "<p>two</p>"):
            page.write_text(content)
            os.utime(page, (1_000_000_000, 1_000_000_000))
            tags.add((await ask(service, "GET", PAGE)).headers["ETag"])
        assert len(tags) == 2


@pytest.mark.parametrize("path", PATHS)
async def test_head_is_get_without_the_body(service: Service, path: str) -> None:
    """The same status and headers, the length too, and not a byte of the body."""
    name = {"X-Request-ID": "the-same"}
    got = await ask(service, "GET", path, headers=name)
    head = await ask(service, "HEAD", path, headers=name)
    assert (head.status, head.raw) == (got.status, b"")
    assert dict(head.headers) == dict(got.headers)


async def test_head_of_nothing(service: Service) -> None:
    """404 there too."""
    async with service.http.head(service.base_url + "public/nothing.html") as answer:
        assert answer.status == 404


@pytest.mark.parametrize("path", ["public/", "public/js", "public/js/", "public/" + "x" * 5000])
async def test_only_files_are_sent(service: Service, path: str) -> None:
    """404 for a folder, and for what can be no file at all."""
    assert (await ask(service, "GET", path)).status == 404


async def test_what_cannot_be_read_is_not_there(tmp_path: Path) -> None:
    """The page that ships is sent in its place: the visitor still gets one."""
    (tmp_path / "order_drink.html").symlink_to("/proc/self/mem")
    (tmp_path / "board.html").symlink_to(tmp_path / "board.html")
    async with running_service(public=tmp_path) as service:
        for page in ("order_drink.html", "board.html"):
            assert (await ask(service, "GET", f"public/{page}")).status == 200


async def test_a_visitor_who_leaves_leaves_nothing_open(service: Service) -> None:
    """A connection that breaks while a file is sent keeps none of the server's files open."""
    for _ in range(20):
        _, writer = await asyncio.open_connection(*address_of(service))
        writer.write(f"GET /{PAGE} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        writer.transport.abort()
    assert (await ask(service, "GET", "health")).status == 200
    assert not [name for name in open_files() if name.endswith(".html")]


def open_files() -> list[str]:
    """What this process has open."""
    return [os.path.realpath(one) for one in Path("/proc/self/fd").iterdir()]

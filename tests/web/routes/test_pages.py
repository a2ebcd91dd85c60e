"""The pages as files: headers, compression, and conditional requests."""

from __future__ import annotations

import asyncio
import gzip
import os
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest
from aiohttp import ClientSession

from sanic_dispatch.web.routes.pages import shipped_files
from tests.support.http_requests import address_of, ask
from tests.support.server import Service, running_service

PAGE = "public/order_drink.html"
OLD, NEW = "Mon, 01 Jan 2001 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"
PATHS = ["", PAGE, "public/config.json", "public/manifest.webmanifest", "health", "ready", "menu"]


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with running_service() as service:
        yield service


async def test_a_page_is_the_file(service: Service) -> None:
    """Its bytes, type and validators; browsers revalidate it."""
    answer = await ask(service, "GET", PAGE)
    assert answer.raw == (shipped_files() / "order_drink.html").read_bytes()
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["ETag"].strip('"').isalnum()
    assert answer.headers["Last-Modified"].endswith(" GMT")


@pytest.mark.parametrize("taken", ["gzip", "br, GZIP;q=0.5", "deflate,gzip ; q = 1.0"])
async def test_texts_are_compressed(service: Service, taken: str) -> None:
    """If accepted: far fewer bytes, with an ETag of their own, for the same content."""
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
async def test_generated_documents_are_compressed(service: Service, path: str) -> None:
    """Like files."""
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


@pytest.mark.parametrize(
    ("path", "name", "language"),
    [("", "Robot Bar", "en"), ("?lang=de", "Roboter-Bar", "de"), ("?lang=fr", "Robot Bar", "en")],
)
async def test_the_manifest(service: Service, path: str, name: str, language: str) -> None:
    """Relative addresses, the order page only, and a name in the page's language."""
    answer = await ask(service, "GET", f"public/manifest.webmanifest{path}")
    assert answer.headers["Content-Type"] == "application/manifest+json"
    assert answer.headers["Cache-Control"] == "no-cache"
    assert (answer.body["name"], answer.body["lang"]) == (name, language)
    page = PAGE.removeprefix("public/")
    assert (answer.body["start_url"], answer.body["scope"]) == (page, page)
    for icon in answer.body["icons"]:
        picture = (await ask(service, "GET", f"public/{icon['src']}")).raw
        width, height = struct.unpack(">II", picture[16:24])
        assert icon["sizes"] == f"{width}x{height}"


async def test_the_manifest_of_an_app_that_starts_here(service: Service) -> None:
    """It does not say where the app starts: browsers then take the page's own address."""
    answer = await ask(service, "GET", "public/manifest.webmanifest?start=here")
    assert "start_url" not in answer.body


async def test_the_name_of_an_app() -> None:
    """Each topic's own: its title, or what it is called."""
    async with running_service(topics={"roof": {"title": "The roof"}, "cellar": {}}) as service:
        for topic, name in (("roof", "The roof"), ("cellar", "cellar")):
            answer = await ask(service, "GET", f"topics/{topic}/public/manifest.webmanifest")
            assert answer.body["name"] == name


@pytest.mark.parametrize("page", ["order", "board"])
async def test_a_page_copied_from_an_earlier_version_finds_its_script(
    service: Service, page: str
) -> None:
    """The script's old address leads to the new one."""
    script = (await ask(service, "GET", f"public/js/{page}_page.js")).raw
    assert f"import './{page}/page.js';".encode() in script


@pytest.mark.parametrize("taken", ["", "identity", "br", "gzip;q=0", "gzip; q=0.000", "xgzip"])
async def test_uncompressed_if_not_accepted(service: Service, taken: str) -> None:
    """The file unchanged, with Vary for caches."""
    answer = await ask(service, "GET", PAGE, headers={"Accept-Encoding": taken})
    assert "Content-Encoding" not in answer.headers
    assert answer.headers["Vary"] == "Accept-Encoding"


async def test_pictures_and_tiny_files_are_not_compressed(tmp_path: Path) -> None:
    """They would not become smaller."""
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
async def test_media_types(tmp_path: Path, path: str, kind: str) -> None:
    """By the name; unknown ones are text, since browsers must not guess."""
    (tmp_path / "notes.unheard-of").write_text("<script>")
    async with running_service(public=tmp_path) as service:
        answer = await ask(service, "GET", f"public/{path}")
        assert (answer.status, answer.headers["Content-Type"]) == (200, kind)


async def test_names_that_are_encoded_in_an_address(tmp_path: Path) -> None:
    """A picture may have any name, and still no address leads out of the folder."""
    (tmp_path / "Piña 100 %.svg").write_text("<svg/>")
    (tmp_path.parent / "secret.svg").write_text("<svg/>")
    async with running_service(public=tmp_path) as service:
        assert (await ask(service, "GET", "public/Pi%C3%B1a%20100%20%25.svg")).raw == b"<svg/>"
        for path in ("..%2fsecret.svg", quote(f"{tmp_path.parent}/secret.svg", safe="")):
            answer = await ask(service, "GET", f"public/{path}")
            assert answer.status == 404


async def test_not_modified(service: Service) -> None:
    """304 without a body for the same ETag, also a weak one, or for a time not before."""
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


async def test_modified(service: Service) -> None:
    """An ETag takes precedence over a time; malformed dates are ignored."""
    for known in (
        {"If-None-Match": '"other"'},
        {"If-None-Match": '"other"', "If-Modified-Since": NEW},
        {"If-Modified-Since": OLD},
        {"If-Modified-Since": "yesterday"},
        {"If-Modified-Since": "Mon, 01 Jan 0000 00:00:00 GMT"},
    ):
        assert (await ask(service, "GET", PAGE, headers=known)).status == 200, known


async def test_an_edit_is_seen(tmp_path: Path) -> None:
    """Another content has another ETag, also with the same size and time."""
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
    """The same status and headers, including the length."""
    name = {"X-Request-ID": "the-same"}
    got = await ask(service, "GET", path, headers=name)
    head = await ask(service, "HEAD", path, headers=name)
    assert (head.status, head.raw) == (got.status, b"")
    assert dict(head.headers) == dict(got.headers)


async def test_head_of_a_missing_file(service: Service) -> None:
    """404 too."""
    async with service.http.head(service.base_url + "public/nothing.html") as answer:
        assert answer.status == 404


@pytest.mark.parametrize("prefix", ["", "topics/roof/"])
async def test_a_page_is_no_folder(prefix: str) -> None:
    """With a slash after its name what it loads would not be found: 404, or a redirect."""
    async with running_service(topics={"roof": {}}) as service:
        assert (await ask(service, "GET", f"{prefix}{PAGE}/")).status == 404
        url = f"{service.base_url}{prefix}docs"
        async with service.http.get(f"{url}/") as answer:
            assert (answer.status, str(answer.url)) == (200, url)


@pytest.mark.parametrize("path", ["public/", "public/js", "public/js/", "public/" + "x" * 5000])
async def test_only_files_are_sent(service: Service, path: str) -> None:
    """404 for a folder, and for impossible names."""
    assert (await ask(service, "GET", path)).status == 404


async def test_an_unreadable_own_page(tmp_path: Path) -> None:
    """The built-in page is sent instead."""
    (tmp_path / "order_drink.html").symlink_to("/proc/self/mem")
    (tmp_path / "board.html").symlink_to(tmp_path / "board.html")
    async with running_service(public=tmp_path) as service:
        for page in ("order_drink.html", "board.html"):
            assert (await ask(service, "GET", f"public/{page}")).status == 200


async def test_a_visitor_who_leaves_leaves_nothing_open(service: Service) -> None:
    """A connection that breaks during a file leaves no file open."""
    for _ in range(20):
        _, writer = await asyncio.open_connection(*address_of(service))
        writer.write(f"GET /{PAGE} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        writer.transport.abort()
    assert (await ask(service, "GET", "health")).status == 200
    assert not [name for name in open_files() if name.endswith(".html")]


def open_files() -> list[str]:
    """Return the open files of this process."""
    return [os.path.realpath(one) for one in Path("/proc/self/fd").iterdir()]

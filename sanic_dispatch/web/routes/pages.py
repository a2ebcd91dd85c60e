"""The pages: the built-in files, overlaid by the user's own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from mimetypes import guess_type
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import unquote

from sanic import Blueprint, HTTPResponse, Request
from sanic.exceptions import NotFound
from sanic.response import redirect

from sanic_dispatch.config.public_url import ORDER_PAGE
from sanic_dispatch.web.browser_policy import PERMISSIONS
from sanic_dispatch.web.compression import gzipped
from sanic_dispatch.web.conditional import conditional_response
from sanic_dispatch.web.context import context_of, settings_of
from sanic_dispatch.web.openapi.operation import describe
from sanic_dispatch.web.openapi.operations import CONFIG, HOME, MANIFEST, PUBLIC_FILE
from sanic_dispatch.web.responses import GET_AND_HEAD, json_answer
from sanic_dispatch.web.web_manifest import LANGUAGES, MEDIA_TYPE, web_manifest

pages = Blueprint("pages")


class File(NamedTuple):
    """A file's content and modification time."""

    content: bytes
    modified_s: float

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file, with the modification time of the very bytes read."""
        with path.open("rb") as file:
            return cls(file.read(), os.fstat(file.fileno()).st_mtime)


def shipped_files() -> Path:
    """Return the folder of the built-in pages: in the package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[2]
    inside = package / "static"
    return inside if inside.is_dir() else package.parent / "static"


@describe(HOME)
async def home(request: Request) -> HTTPResponse:
    """Redirect to the order page, relatively, so it works behind a path prefix."""
    before, _, last = request.path.rpartition("/")
    return redirect(f"{last}/{ORDER_PAGE}" if before and last else ORDER_PAGE)


@describe(CONFIG)
async def config(request: Request) -> HTTPResponse:
    """Return the port, for the original's page, the title, and whether an order needs a token."""
    settings = settings_of(request)
    title = {"title": settings.display_title} if settings.display_title else {}
    needs = {"submit_token": True} if settings.submit_tokens else {}
    return json_answer({"server_port": settings.port, **title, **needs})


@describe(MANIFEST)
async def manifest(request: Request) -> HTTPResponse:
    """Return the web app manifest: the name of the bar, and how the order page is installed."""
    language = request.args.get("lang")
    return json_answer(
        web_manifest(
            settings_of(request).display_title,
            language if language in LANGUAGES else LANGUAGES[0],
            starts_here=request.args.get("start") == "here",
        ),
        headers={"Cache-Control": "no-cache"},
        media_type=MEDIA_TYPE,
    )


@describe(PUBLIC_FILE)
async def page(request: Request, path: str) -> HTTPResponse:
    """Return a file; the user's own replaces the built-in one."""
    if request.path.endswith("/"):  # no folder: what a page loads would be looked for below it
        raise NotFound("no such file")
    path = unquote(path)
    folders = filter(None, (settings_of(request).public, shipped_files()))
    file = await asyncio.to_thread(_find, folders, path)
    if file is None:
        raise NotFound("no such file")
    kind = _type_of(path)
    headers = context_of(request).page_headers
    if "html" in kind:  # or XHTML
        headers = {**headers, **PERMISSIONS}
    content, headers = await gzipped(request, file.content, kind, headers)
    return conditional_response(request, content, kind, headers, file.modified_s)


pages.add_route(home, "/", GET_AND_HEAD)
pages.add_route(config, "/public/config.json", GET_AND_HEAD)
pages.add_route(manifest, "/public/manifest.webmanifest", GET_AND_HEAD)
pages.add_route(page, "/public/<path:path>", GET_AND_HEAD)


def _type_of(path: str) -> str:
    """Return the media type by the file's extension; an unknown one is plain text, never run."""
    kind = guess_type(path)[0] or "text/plain"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind


def _find(folders: Iterable[Path], path: str) -> File | None:
    """Return the first file with this path. Blocks: call it in a thread."""
    return next(filter(None, (_inside(folder, path) for folder in folders)), None)


def _inside(folder: Path, path: str) -> File | None:
    """Return the regular file with this path, if it is inside the folder."""
    try:
        found = Path(os.path.realpath(folder / path))
        if not (found.is_relative_to(os.path.realpath(folder)) and found.is_file()):
            return None
        return File.read(found)
    except (OSError, ValueError):  # too long, not ours to read, or not a path at all
        return None

"""The pages: what ships with the service, and a user's own files over it."""

from __future__ import annotations

from pathlib import Path

from sanic import Blueprint, HTTPResponse, Request
from sanic.exceptions import NotFound
from sanic.response import file, redirect

from sanic_dispatch.web.answers import json_answer
from sanic_dispatch.web.context import settings_of

pages = Blueprint("pages")

ORDER_PAGE = "public/order_drink.html"


def shipped_files() -> Path:
    """The folder of the pages: inside the package when installed, beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "static"
    return inside if inside.is_dir() else package.parent / "static"


@pages.get("/")
async def home(_: Request) -> HTTPResponse:
    """The order page; relative, so that it works behind a path prefix."""
    return redirect(ORDER_PAGE)


@pages.get("/public/config.json")
async def config(request: Request) -> HTTPResponse:
    """What the original's page asked for."""
    return json_answer({"server_port": settings_of(request).port})


@pages.get("/public/<path:path>")
async def page(request: Request, path: str) -> HTTPResponse:
    """A file; the user's own comes before the one that ships."""
    for folder in (settings_of(request).public, shipped_files()):
        if folder and (found := _inside(folder, path)):
            headers = dict(request.app.ctx.page_headers)
            return await file(found, request_headers=request.headers, headers=headers)
    raise NotFound("no such file")


def _inside(folder: Path, path: str) -> Path | None:
    """The regular file of that path, if it is really inside the folder."""
    try:
        found = (folder / path).resolve()
        return found if found.is_relative_to(folder.resolve()) and found.is_file() else None
    except (OSError, ValueError):  # too long, or not a path at all
        return None

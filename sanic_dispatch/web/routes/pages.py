"""The pages: what ships with the service, and a user's own files over it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from mimetypes import guess_type
from pathlib import Path
from typing import NamedTuple, Self

from sanic import Blueprint, HTTPResponse, Request
from sanic.exceptions import NotFound
from sanic.response import redirect

from sanic_dispatch.config.public_url import ORDER_PAGE
from sanic_dispatch.web.compression import packed
from sanic_dispatch.web.conditional import validated
from sanic_dispatch.web.context import settings_of
from sanic_dispatch.web.openapi.operation import (
    NOT_MODIFIED,
    Answer,
    Parameter,
    describe,
    in_json,
)
from sanic_dispatch.web.responses import LOOKED_AT, json_answer

pages = Blueprint("pages")


class File(NamedTuple):
    """What is in a file, and when that was written."""

    content: bytes
    modified_s: float

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read it whole, with the time of what was really read."""
        with path.open("rb") as file:
            return cls(file.read(), os.fstat(file.fileno()).st_mtime)


def shipped_files() -> Path:
    """The folder of the pages: inside the package when installed, beside it in a checkout."""
    package = Path(__file__).resolve().parents[2]
    inside = package / "static"
    return inside if inside.is_dir() else package.parent / "static"


@describe(
    tag="pages",
    answers={
        302: Answer(
            "To the order page.",
            headers={"Location": {"const": ORDER_PAGE, "description": "relative"}},
        )
    },
)
async def home(_: Request) -> HTTPResponse:
    """The order page; relative, so that it works behind a path prefix."""
    return redirect(ORDER_PAGE)


@describe(
    tag="pages",
    answers={
        200: Answer(
            "The port.",
            in_json(
                {
                    "type": "object",
                    "required": ["server_port"],
                    "properties": {
                        "server_port": {"type": "integer"},
                        "submit_token": {"type": "boolean"},
                    },
                },
                {"server_port": 2567},
            ),
        )
    },
)
async def config(request: Request) -> HTTPResponse:
    """What the original's page asked for; and whether an order needs a token."""
    settings = settings_of(request)
    needs = {"submit_token": True} if settings.submit_tokens else {}
    return json_answer({"server_port": settings.port, **needs})


@describe(
    tag="pages",
    parameters=(
        Parameter(
            "path", "path", "a file", {"type": "string", "minLength": 1}, "order_drink.html", True
        ),
    ),
    answers={200: Answer("The file.", {"*/*": ({}, None)}), 304: NOT_MODIFIED},
    errors=("NotFound",),
)
async def page(request: Request, path: str) -> HTTPResponse:
    """A file; the user's own comes before the one that ships."""
    folders = filter(None, (settings_of(request).public, shipped_files()))
    file = await asyncio.to_thread(_find, folders, path)
    if file is None:
        raise NotFound("no such file")
    kind = _type_of(path)
    content, headers = await packed(request, file.content, kind, request.app.ctx.page_headers)
    return validated(request, content, kind, headers, file.modified_s)


pages.add_route(home, "/", LOOKED_AT)
pages.add_route(config, "/public/config.json", LOOKED_AT)
pages.add_route(page, "/public/<path:path>", LOOKED_AT)


def _type_of(path: str) -> str:
    """By the end of its name; what is not known is shown as text, and never run."""
    kind = guess_type(path)[0] or "text/plain"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind


def _find(folders: Iterable[Path], path: str) -> File | None:
    """The first file of that path. It blocks, so the event loop has it done by a thread."""
    return next(filter(None, (_inside(folder, path) for folder in folders)), None)


def _inside(folder: Path, path: str) -> File | None:
    """The regular file of that path, if it is really inside the folder."""
    try:
        found = Path(os.path.realpath(folder / path))
        if not (found.is_relative_to(os.path.realpath(folder)) and found.is_file()):
            return None
        return File.read(found)
    except (OSError, ValueError):  # too long, not ours to read, or not a path at all
        return None

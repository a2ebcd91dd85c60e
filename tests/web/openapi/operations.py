"""The OpenAPI document, without a server."""

from __future__ import annotations

from typing import Any

from sanic_dispatch.app import create_app
from sanic_dispatch.config.settings import Mode, Settings
from sanic_dispatch.web.openapi.document import openapi_document


def the_document() -> dict[str, Any]:
    """Return the document as in /openapi.json."""
    app = create_app(Settings.of(Mode.IN_MEMORY))
    app.router.finalize()
    return openapi_document(app)

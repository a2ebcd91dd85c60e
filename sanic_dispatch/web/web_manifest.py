"""The web app manifest, with which browsers install the order page."""

from __future__ import annotations

from typing import Any

from sanic_dispatch.config.public_url import ORDER_PAGE

MEDIA_TYPE = "application/manifest+json"

LANGUAGES = ("en", "de")

_START = ORDER_PAGE.rpartition("/")[2]
_BRANDS = {"en": "Robot Bar", "de": "Roboter-Bar"}
_GROUND = "#fff4e3"
"""The light ``--ground`` of static/css/tokens.css."""


def web_manifest(title: str, language: str, *, starts_here: bool = False) -> dict[str, Any]:
    """Return the manifest of a bar; its addresses are relative, so any path prefix works.

    An app starts with the form. With ``starts_here`` the manifest does not say so, and it starts
    with the address at which it was installed.
    """
    start = {} if starts_here else {"start_url": _START}
    return {
        "name": title or _BRANDS[language],
        "lang": language,
        **start,
        "scope": _START,
        "display": "standalone",
        "background_color": _GROUND,
        "theme_color": _GROUND,
        "icons": [
            _icon(192, "any"),
            _icon(512, "any"),
            _icon(512, "maskable"),
        ],
    }


def _icon(size_px: int, purpose: str) -> dict[str, str]:
    return {
        "src": f"img/app-{size_px}.png",
        "sizes": f"{size_px}x{size_px}",
        "type": "image/png",
        "purpose": purpose,
    }

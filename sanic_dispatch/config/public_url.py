"""The address that customers know: what a QR code leads to."""

from __future__ import annotations

from urllib.parse import urlsplit

from sanic_dispatch.config.origins import authority_of
from sanic_dispatch.errors import SettingsError

LONGEST_URL = 300
"""Characters; a code of more has squares too small for a camera."""

ORDER_PAGE = "public/order_drink.html"


def check_public_url(url: str) -> None:
    """Raises SettingsError for what is neither empty nor an address that a page can have.

    Without repeating it: a token or a password may be in it.
    """
    if url and not is_page_url(url):
        raise SettingsError("--public-url is no address as in https://bar.example/drinks/")


def is_page_url(url: str) -> bool:
    """Whether it is http or https, with a host, without a user's name and without a fragment."""
    if len(url) > LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url:
        return False
    return authority_of(origin_of(url)) is not None and "#" not in url


def origin_of(url: str) -> str:
    """``https://bar.example`` of an address; empty where it has none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}"


def order_page_of(public_url: str) -> str:
    """The order page's address under the service's own; a query goes along."""
    parts = urlsplit(public_url)
    return parts._replace(path=f"{parts.path.rstrip('/')}/{ORDER_PAGE}").geturl()

"""URLs of the service: for customers' QR codes, for other processes, and for push services."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from sanic_dispatch.config.origins import authority_of
from sanic_dispatch.errors import SettingsError

MAX_URL_CHARS = 300
"""The squares of a longer URL's QR code are too small for a camera."""

_MAILTO = re.compile(r"mailto:[!-?A-~]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")

ORDER_PAGE = "public/order_drink.html"


def check_public_url(flag: str, url: str) -> None:
    """Raise SettingsError unless it is empty or the URL of a page.

    The error does not repeat the URL: it may contain a token or a password.
    """
    if url and not is_page_url(url):
        raise SettingsError(f"{flag} must be a URL such as https://bar.example/drinks/")


def check_advertised_url(flag: str, url: str) -> None:
    """Raise SettingsError unless it is empty or a URL that ends with a slash, without a query."""
    if url and not (is_page_url(url) and url.endswith("/") and "?" not in url):
        raise SettingsError(f"{flag} must be a URL such as http://10.0.0.7:2567/")


def check_contact(flag: str, contact: str) -> None:
    """Raise SettingsError unless it is empty, a mailto: URI with an address, or an https URL."""
    is_url = contact.startswith("https://") and is_page_url(contact)
    if contact and not (is_url or _MAILTO.fullmatch(contact)):
        raise SettingsError(f"{flag} must be such as mailto:ada@bar.example or https://bar.example")


def is_page_url(url: str) -> bool:
    """Whether it is an http or https URL with a host, and without a user name or a fragment."""
    if len(url) > MAX_URL_CHARS or not url.isascii() or not url.isprintable() or " " in url:
        return False
    return authority_of(origin_of(url)) is not None and "#" not in url and _has_good_port(url)


def _has_good_port(url: str) -> bool:
    """Whether a server can listen on its port; without one it can."""
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def origin_of(url: str) -> str:
    """Return the URL's origin, such as ``https://bar.example``; empty if it cannot be parsed."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}"


def order_page_of(public_url: str) -> str:
    """Return the URL of the order page of the service at this URL; the query is kept."""
    return url_below(public_url, ORDER_PAGE)


def url_below(url: str, path: str) -> str:
    """Return the URL with a path below its own; the query is kept."""
    parts = urlsplit(url)
    return parts._replace(path=f"{parts.path.rstrip('/')}/{path}").geturl()

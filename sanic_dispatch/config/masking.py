"""Hide what is secret in settings that are printed; for the log see ``observability/log.py``."""

from __future__ import annotations

import re

MASK = "…"

_SECRET = re.compile(
    r"(?P<kept>://[^:/?#]*:)[^/?#]*(?=@)|(?P<key>[?&][^=&#]*(?:token|pass)[^=&#]*=)[^&#]*", re.I
)
"""A password before the host, or a token or password in the query. A port is neither."""


def mask_all(_: str) -> str:
    """Hide a text that is itself a secret."""
    return MASK


def mask_url(url: str) -> str:
    """Hide the passwords and tokens in a URL, and nothing else of it."""
    return _SECRET.sub(lambda found: (found["kept"] or found["key"]) + MASK, url)

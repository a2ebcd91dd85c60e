"""The names of topics."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from sanic_dispatch.errors import SettingsError

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def check_topic_names(flag: str, names: Iterable[str]) -> None:
    """Raise SettingsError unless all are names of topics: they are a part of URLs and of paths."""
    for name in names:
        if not _NAME.fullmatch(name):
            raise SettingsError(
                f"{flag} {name!r} is no name of a topic: 1 to 63 of a-z, 0-9 and -, not - first"
            )


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the name that is most like this one; None if none is like it."""
    found = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    return found[0] if found else None

"""Why an order waits, in words for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_WORDS = {
    "paused": "handing out orders is paused",
    "no_worker": "no worker is here",
    "no_able_worker": "no worker that is here takes it",
    "worker_aside": "all workers that take it are set aside",
    "matching": "the rules of workers that take it are new, and still being read",
}


def why_words(why: Mapping[str, Any]) -> str:
    """Return in words what a service says about why an order waits."""
    reason = str(why["reason"])
    if reason == "behind":
        ahead = why.get("ahead", 0)
        return f"{ahead} ahead" if ahead else "it is next"
    needs = ", ".join(f"{member}={value}" for member, value in why.get("needs", {}).items())
    return _WORDS.get(reason, reason) + (f" ({needs})" if needs else "")

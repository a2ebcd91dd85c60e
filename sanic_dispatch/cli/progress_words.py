"""How far an order is, in words for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def progress_words(order: Mapping[str, Any]) -> str:
    """Return how far an order is, by the words of its robot; empty if it has not said."""
    said = order.get("progress", order)  # the board has the percentage alone
    percent = f"{said['percent']:.0f} %" if "percent" in said else ""
    return ", ".join(filter(None, (percent, said.get("text", ""))))

"""Counts of deliveries by PUT, as plain numbers."""

from __future__ import annotations

from collections import Counter

from sanic_dispatch.callbacks.outcome import Accepted, InDoubt, Outcome, Refused
from sanic_dispatch.observability.histogram import QUICK_S, Histogram

WORDS = {Accepted: "accepted", Refused: "refused", InDoubt: "in_doubt"}


class DeliveryStats:
    """Outcomes and durations of a topic's deliveries."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter(dict.fromkeys(WORDS.values(), 0))
        self.seconds = Histogram(QUICK_S)

    def ended(self, outcome: Outcome, took_s: float) -> None:
        """Count a delivery that took ``took_s``."""
        self.seconds.observe(took_s)
        self.outcomes[WORDS[type(outcome)]] += 1

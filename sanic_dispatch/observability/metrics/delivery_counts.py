"""Count deliveries by PUT, as a wrapper around the callbacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from sanic_dispatch.callbacks.outcome import Accepted, InDoubt, Outcome, Refused
from sanic_dispatch.clock import Clock
from sanic_dispatch.dispatch.deliveries import Callbacks
from sanic_dispatch.observability.histogram import QUICK_S, Histogram

WORDS = {Accepted: "accepted", Refused: "refused", InDoubt: "in_doubt"}


class CountedCallbacks:
    """The wrapped callbacks, with counts of outcomes and durations of deliveries."""

    def __init__(self, callbacks: Callbacks, clock: Clock) -> None:
        self.outcomes: Counter[str] = Counter(dict.fromkeys(WORDS.values(), 0))
        self.seconds = Histogram(QUICK_S)
        self._callbacks = callbacks
        self._clock = clock

    async def deliver(self, callback_url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """PUT the body to a callback, exactly once, and count the outcome."""
        began_s = self._clock.monotonic_s()
        outcome = await self._callbacks.deliver(callback_url, body, headers)
        self.seconds.observe(self._clock.monotonic_s() - began_s)
        self.outcomes[WORDS[type(outcome)]] += 1
        return outcome

    async def is_pending(self, callback_url: str, if_silent: bool | None = None) -> bool | None:
        """Return whether the callback is pending; ``if_silent`` if there is no answer."""
        return await self._callbacks.is_pending(callback_url, if_silent)

    async def instance_state(self, instance_url: str) -> str | None:
        """Return the engine's word for the state of an instance."""
        return await self._callbacks.instance_state(instance_url)

    async def instance_uuid(self, instance_url: str) -> str | None:
        """Return the UUID of the instance that has this address now."""
        return await self._callbacks.instance_uuid(instance_url)

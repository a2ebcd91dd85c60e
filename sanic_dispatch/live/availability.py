"""Which drinks of the menu a robot that is here makes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence

from sanic_dispatch.core.rules import ANYTHING, rule_of
from sanic_dispatch.live.tracked_robots import Robots


class Availability:
    """Judge the rules of present robots on ``{"drink": id}``, by their conditions on that alone."""

    def __init__(self, drinks: Callable[[], Sequence[str]]) -> None:
        """``drinks`` returns the ids of the present menu, the same object until it changes."""
        self._drinks = drinks
        self._menu = drinks()
        self._judged: tuple[Sequence[str], frozenset[str]] = (), frozenset()
        self._unavailable: tuple[str, ...] = ()

    def take_menu(self) -> bool:
        """Note which drinks are on the menu now; return whether they are others than before."""
        before, self._menu = self._menu, self._drinks()
        return self._menu != before

    def unavailable(self, robots: Robots) -> tuple[str, ...]:
        """Return the drinks that none of the robots makes; none while there are no robots."""
        if not robots.rules or ANYTHING in robots.rules:
            return ()
        drinks, rules = self._drinks(), frozenset(robots.rules)
        if drinks is not self._judged[0] or rules != self._judged[1]:
            self._judged = drinks, rules
            self._unavailable = _not_made(drinks, rules)
        return self._unavailable


def _encoded(drink: str) -> bytes:
    return json.dumps(drink).encode()


def _not_made(drinks: Sequence[str], rules: Iterable[str]) -> tuple[str, ...]:
    read = [rule_of(text) for text in rules]
    orders = ((drink, {"drink": _encoded(drink)}) for drink in drinks)
    return tuple(
        drink for drink, order in orders if not any(rule.admits_in_part(order) for rule in read)
    )

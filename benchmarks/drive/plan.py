"""How much is measured: all of it, or just enough to try the tool."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.drive.servers import Side

MOST_OF = {
    "JsonFile": 1_000,
    "CachedJsonFile": 100_000,
    "original, JsonFile": 1_000,
    "original, CachedJsonFile": 100_000,
}
"""How deep a side is measured at most: deeper, one round would take minutes."""


@dataclass(frozen=True)
class Plan:
    """Rounds, seconds and sizes."""

    rounds: int = 3
    seconds: float = 1.0
    depths: tuple[int, ...] = (0, 1_000, 10_000, 100_000)
    per_s: float = 100.0
    """Orders in a second, where they come at fixed times."""
    many: int = 20_000
    """Jobs, or workers, of which the memory is measured."""
    crowds: tuple[int, ...] = (2_000, 5_000)
    """Subscribers; where one number is enough, the first."""
    phones: int = 200
    orders: int = 2_000
    """Orders in each simulated bar."""

    @property
    def crowd(self) -> int:
        """How many follow."""
        return self.crowds[0]

    def deepest(self, side: Side) -> int:
        """How deep that side is measured at most."""
        return MOST_OF.get(side.name, max(self.depths))


FULL = Plan()
QUICK = Plan(
    rounds=1,
    seconds=0.1,
    depths=(0, 200),
    per_s=50.0,
    many=500,
    crowds=(50,),
    phones=5,
    orders=100,
)

"""How much is measured: a full run, or just enough to try the tool."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.drive.servers import Side

MOST_OF = {
    "JsonFile": 1_000,
    "CachedJsonFile": 100_000,
    "original, JsonFile": 1_000,
    "original, CachedJsonFile": 100_000,
}
"""The largest depth at which a side is measured: deeper, one round would take minutes."""


@dataclass(frozen=True)
class Plan:
    """Rounds, seconds and sizes."""

    rounds: int = 3
    seconds: float = 1.0
    depths: tuple[int, ...] = (0, 1_000, 10_000, 100_000)
    per_s: float = 100.0
    """Orders per second where they are sent at fixed times."""
    many: int = 20_000
    """Number of jobs or workers whose memory is measured."""
    crowds: tuple[int, ...] = (2_000, 5_000)
    """Numbers of subscribers; measurements with one size use the first."""
    webhooks: int = 1_000
    phones: int = 200
    orders: int = 2_000
    """Orders in each simulated bar."""
    evenings: tuple[int, ...] = (10_000, 1_000_000)
    """Orders in each evening that is run again."""

    @property
    def crowd(self) -> int:
        """The number of subscribers."""
        return self.crowds[0]

    def deepest(self, side: Side) -> int:
        """Return the largest depth at which this side is measured."""
        return MOST_OF.get(side.name, max(self.depths))


FULL = Plan()
QUICK = Plan(
    rounds=1,
    seconds=0.1,
    depths=(0, 200),
    per_s=50.0,
    many=500,
    crowds=(50,),
    webhooks=20,
    phones=5,
    orders=100,
    evenings=(100,),
)

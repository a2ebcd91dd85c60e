"""The CPU time of a job in our modes and in other job queues, synced and not.

A job is submitted, worked by a worker that does nothing else, and acknowledged. A fixed number is
in flight: when one was worked, the next is submitted. All synced sides run at the same time and
take turns, then all others. Servers and worker share the server's core; what submits has the
load's.

The CPU time of a side is that of all its processes: its servers, its worker, and what submits,
which also counts the jobs that were worked. Ours has its own Python client at both ends, as the
peers have their libraries.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack

from benchmarks.drive.plan import Plan
from benchmarks.peers.in_flight import AT_A_TIME
from benchmarks.peers.running import Round, running
from benchmarks.peers.sides import Peer
from benchmarks.report.figures import Figure, ratio
from benchmarks.report.tables import Report, Table

YARDSTICKS = ("dramatiq", "BullMQ")
"""The peers to which all are compared."""

KINDS = {"synced": True, "not synced": False}
PARTS = {"server_us": "servers", "worker_us": "worker", "submitter_us": "what submits"}

ROUNDS_EACH = 3
"""Multiplies the number of rounds: they are short, and wait for the disk."""

Rounds = Mapping[str, Sequence[Round]]


def measure(plan: Plan, peers: Sequence[Peer]) -> Report:
    """Measure the peers that are installed; the report names the others."""
    present = [peer for peer in peers if not peer.missing()]
    taken = {
        kind: take_turns(
            plan, [peer for peer in present if is_synced in peer.kinds], is_synced=is_synced
        )
        for kind, is_synced in KINDS.items()
    }
    tables = [
        *(table_of(kind, rounds) for kind, rounds in taken.items() if rounds),
        *([composition(present)] if present else []),
        *absent(peers),
    ]
    title = (
        f"CPU time of a job, {AT_A_TIME} in flight; the machine's load average was "
        f"{os.getloadavg()[1]:.1f} meanwhile"
    )
    data = {
        kind: {name: data_of(one) for name, one in both.items()} for kind, both in taken.items()
    }
    return Report("peers", title, tables, data)


def take_turns(plan: Plan, peers: Sequence[Peer], *, is_synced: bool) -> Rounds:
    """Run all rounds; the first one warms up."""
    taken: dict[str, list[Round]] = {peer.name: [] for peer in peers}
    with ExitStack() as stack:
        sides = [stack.enter_context(running(peer, is_synced=is_synced)) for peer in peers]
        for number in range(plan.rounds * ROUNDS_EACH + 1):
            for side in sides:
                one = side.round(plan.seconds)
                if number:
                    taken[side.peer.name].append(one)
    return taken


def data_of(rounds: Sequence[Round]) -> dict[str, list[float]]:
    """Return the numbers of a side by round."""
    return {
        "all_us": [one.all_us for one in rounds],
        "server_us": [one.us(one.server_s) for one in rounds],
        "worker_us": [one.us(one.worker_s) for one in rounds],
        "submitter_us": [one.us(one.submitter_s) for one in rounds],
        "per_s": [one.per_s for one in rounds],
    }


def table_of(kind: str, taken: Rounds) -> Table:
    """Return one row per side."""
    numbers = {name: data_of(rounds) for name, rounds in taken.items()}
    yardsticks = [name for name in YARDSTICKS if name in taken]
    rows = [
        [
            name,
            *(ratio(mine["all_us"], numbers[other]["all_us"]).show(2) for other in yardsticks),
            f"{Figure.of(mine['all_us']).show()} µs",
            *(f"{Figure.of(mine[part]).median:,.0f}" for part in PARTS),
            Figure.of(mine["per_s"]).show(),
        ]
        for name, mine in numbers.items()
    ]
    heads = ["side", *(f"× {name}" for name in yardsticks), "CPU of all processes"]
    return Table([*heads, *PARTS.values(), "jobs/s"], rows, f"{kind.capitalize()}:")


def composition(peers: Sequence[Peer]) -> Table:
    """Say of what each side consists."""
    rows = [
        [
            peer.name,
            "; ".join(dict.fromkeys(peer.server_note(is_synced=kind) for kind in peer.kinds)),
            *peer.notes,
            ", ".join(part.show() for part in peer.parts),
        ]
        for peer in peers
    ]
    return Table(
        ["side", "servers, synced; not synced", "worker", "what submits", "versions"], rows
    )


def absent(peers: Sequence[Peer]) -> Iterator[Table]:
    """Name the sides that are not installed, if any, and say how to install them."""
    rows = []
    for peer in peers:
        if missing := peer.missing():
            commands = dict.fromkeys(f"`{part.installation}`" for part in missing)
            rows.append(
                [peer.name, ", ".join(part.wanted for part in missing), ", ".join(commands)]
            )
    if rows:
        yield Table(["not measured", "not installed", "installed by"], rows)

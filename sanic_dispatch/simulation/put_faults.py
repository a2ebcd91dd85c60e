"""Fault injection: how an instance misbehaves at a PUT to its callback."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Faults:
    """What goes wrong with each PUT; nothing by default. May be changed at any time.

    Faults apply in this order: the job is taken or not, the answer is delayed, sent, or not sent.
    """

    take: bool = True
    """Whether the job is taken (and the process advances) before anything else goes wrong."""
    delay_s: float = 0.0
    """Seconds between taking and answering."""
    status: int | None = None
    """The status to answer instead of the right one."""
    close: bool = False
    """Close the connection instead of answering."""
    hang: bool = False
    """Never answer and keep the connection open."""
